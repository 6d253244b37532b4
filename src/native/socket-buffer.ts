import * as n from './constants.ts';
import type { Libc } from './libc.ts';

/** As large a buffer as the system allows, up to `bytes` of payload: the kernel doubles the value for its own overhead. */
export function setReceiveBuffer(c: Libc, fd: number, bytes: number): void {
  setBuffer(c, fd, n.SO_RCVBUFFORCE, n.SO_RCVBUF, bytes);
}

/** See {@link setReceiveBuffer}. */
export function setSendBuffer(c: Libc, fd: number, bytes: number): void {
  setBuffer(c, fd, n.SO_SNDBUFFORCE, n.SO_SNDBUF, bytes);
}

/** The forced option exceeds the system's limit, but only for root; the other is capped. */
function setBuffer(c: Libc, fd: number, forced: number, plain: number, bytes: number): void {
  const value = new Uint8Array(Int32Array.of(bytes).buffer);
  if (c.setsockopt(fd, n.SOL_SOCKET, forced, value, 4) < 0) {
    c.setsockopt(fd, n.SOL_SOCKET, plain, value, 4);
  }
}
