import type { Socket } from 'node:dgram';

/** What libuv has of a bound datagram socket. */
export interface DatagramHandle {
  /** For socket options and the error queue; -1 where there is none. */
  readonly fd: number;
  /** Datagrams are read, or wait in the kernel; no more are read of a poll that is under way either. */
  setReading(isReading: boolean): void;
}

/** Where Node keeps it elsewhere, or the socket is closed. */
const NO_HANDLE: DatagramHandle = { fd: -1, setReading: () => {} };

/** Node keeps the handle under a symbol (`_handle` itself warns of deprecation): confined to this file. */
export function datagramHandle(socket: Socket): DatagramHandle {
  for (const symbol of Object.getOwnPropertySymbols(socket)) {
    const state: unknown = Reflect.get(socket, symbol);
    if (typeof state !== 'object' || state === null || !('handle' in state)) continue;
    const { handle } = state;
    if (isUdpHandle(handle) && handle.fd >= 0) return new OfNode(handle);
  }
  return NO_HANDLE;
}

/** Of Node. */
interface UdpHandle {
  readonly fd: number;
  recvStart?(): number;
  recvStop?(): number;
}

const isUdpHandle = (handle: unknown): handle is UdpHandle =>
  typeof handle === 'object' && handle !== null && 'fd' in handle && typeof handle.fd === 'number';

class OfNode implements DatagramHandle {
  readonly fd: number;
  private readonly handle: UdpHandle;

  constructor(handle: UdpHandle) {
    this.fd = handle.fd;
    this.handle = handle;
  }

  setReading(isReading: boolean): void {
    if (isReading) this.handle.recvStart?.();
    else this.handle.recvStop?.();
  }
}
