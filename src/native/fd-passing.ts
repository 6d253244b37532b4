import * as n from './constants.ts';
import { PosixError } from './errors.ts';
import type { Libc } from './libc.ts';
import { CMSG_HDR_LEN, Message } from './message.ts';

/** CMSG_SPACE of one descriptor. */
const CONTROL_LEN = CMSG_HDR_LEN + 8;

/** See `Posix.sendFd`. */
export function sendFd(c: Libc, socketFd: number, fd: number): void {
  const message = new Message(c);
  const view = message.control.view;
  view.setBigUint64(0, BigInt(CMSG_HDR_LEN + 4), true);
  view.setInt32(8, n.SOL_SOCKET, true);
  view.setInt32(12, n.SCM_RIGHTS, true);
  view.setInt32(CMSG_HDR_LEN, fd, true);
  const sent = message.send(socketFd, 1, CONTROL_LEN, n.MSG_NOSIGNAL);
  if (sent < 0) throw new PosixError('cannot pass a descriptor', -sent);
}

/** See `Posix.receiveWithFds`. */
export function receiveWithFds(
  message: Message,
  socketFd: number,
  bytes: Uint8Array,
  off: number,
  maxLen: number,
  fds: number[],
): number {
  const len = message.receive(socketFd, n.MSG_DONTWAIT | n.MSG_CMSG_CLOEXEC, maxLen);
  if (len < 0) return len;
  const at = message.findControl(n.SOL_SOCKET, n.SCM_RIGHTS);
  if (at >= 0) {
    const view = message.control.view;
    const end = at + Number(view.getBigUint64(at, true));
    for (let p = at + CMSG_HDR_LEN; p < end; p += 4) fds.push(view.getInt32(p, true));
  }
  bytes.set(message.data.bytes.subarray(0, len), off);
  return len;
}

/** See `Posix.sendWithFds`. */
export function sendWithFds(
  message: Message,
  socketFd: number,
  bytes: Uint8Array,
  fds: readonly number[],
): number {
  const view = message.control.view;
  const controlLen = CMSG_HDR_LEN + 4 * fds.length;
  view.setBigUint64(0, BigInt(controlLen), true);
  view.setInt32(8, n.SOL_SOCKET, true);
  view.setInt32(12, n.SCM_RIGHTS, true);
  fds.forEach((fd, i) => {
    view.setInt32(CMSG_HDR_LEN + 4 * i, fd, true);
  });
  message.data.bytes.set(bytes);
  const space = fds.length === 0 ? 0 : (controlLen + 7) & ~7;
  return message.send(socketFd, bytes.length, space, n.MSG_NOSIGNAL);
}

/** See `Posix.recvFd`. */
export function recvFd(c: Libc, socketFd: number): number | undefined {
  const message = new Message(c);
  const len = message.receive(socketFd, n.MSG_DONTWAIT | n.MSG_CMSG_CLOEXEC);
  if (len === -n.EAGAIN || len === 0) return undefined;
  if (len < 0) throw new PosixError('cannot receive a descriptor', -len);
  const at = message.findControl(n.SOL_SOCKET, n.SCM_RIGHTS);
  return at < 0 ? undefined : message.control.view.getInt32(at + CMSG_HDR_LEN, true);
}
