import type { Socket } from 'node:dgram';

/**
 * The descriptor of a bound datagram socket, for socket options and the error queue. Node keeps the
 * handle under a symbol (`_handle` itself warns of deprecation): confined to this file.
 *
 * @returns undefined when this Node keeps it elsewhere, or the socket is closed
 */
export function dgramFd(socket: Socket): number | undefined {
  for (const symbol of Object.getOwnPropertySymbols(socket)) {
    const state: unknown = Reflect.get(socket, symbol);
    if (typeof state !== 'object' || state === null || !('handle' in state)) continue;
    const handle = state.handle;
    if (typeof handle !== 'object' || handle === null || !('fd' in handle)) continue;
    if (typeof handle.fd === 'number' && handle.fd >= 0) return handle.fd;
  }
  return undefined;
}
