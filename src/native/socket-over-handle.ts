/**
 * Sockets over handles that Node made or was given. `net.Socket` takes a `handle`, and `net.Server`
 * keeps one in `_handle`; both are internal to Node, and their use for stream sockets is confined to this
 * file.
 */
import { type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net';
import type { Duplex } from 'node:stream';

/** The stream of a link: a `net.Socket`, or an equivalent. */
export interface LinkSocket extends Duplex {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  setNoDelay?(noDelay: boolean): unknown;
  /** Where the protocol has a reset. */
  resetAndDestroy?(): unknown;
}

export interface SocketReader {
  /** The destination of reads. */
  readonly buffer: Uint8Array;
  /**
   * `len` bytes are at the start of `buffer`.
   *
   * @returns false to stop reading until `resume`
   */
  readonly callback: (len: number, buffer: Uint8Array) => boolean;
}

export interface AdoptOptions {
  readonly allowHalfOpen?: boolean;
  /** The socket reads only after `resume`. */
  readonly paused?: boolean;
}

/** @returns a socket that reads from `handle`; it owns the handle */
export function socketOverHandle(
  handle: object,
  reader: SocketReader,
  { allowHalfOpen = false, paused = false }: AdoptOptions = {},
): Socket {
  const options: SocketConstructorOpts & {
    handle: object;
    onread: OnReadOpts;
    pauseOnCreate: boolean;
  } = { handle, onread: reader, allowHalfOpen, pauseOnCreate: paused };
  return new Socket(options);
}

/**
 * `net.Server` cannot be given `onread`, and without it every read costs a buffer of its own. So the
 * handle of an accepted socket is moved into a new socket that has one. Where no handle can
 * be found, `data` events are used, somewhat slower.
 *
 * @param accepted from a server with `pauseOnConnect`, in its `connection` event
 * @returns the socket to use instead of `accepted`
 */
export function adoptAccepted<S extends LinkSocket>(
  accepted: S,
  reader: SocketReader,
  options: AdoptOptions = {},
): S | Socket {
  const handle = takeHandle(accepted, isObject);
  if (handle === undefined) {
    feedData(accepted, reader);
    if (options.paused === true) accepted.pause();
    return accepted;
  }
  return socketOverHandle(handle, reader, options);
}

const isObject = (_handle: object): _handle is object => true;

/** @returns the handle, which now belongs to the caller; undefined where there is no suitable one */
export function takeHandle<H extends object>(
  socket: LinkSocket,
  isWanted: (handle: object) => handle is H,
): H | undefined {
  const handle: unknown = Reflect.get(socket, '_handle');
  if (typeof handle !== 'object' || handle === null || !isWanted(handle)) return undefined;
  Reflect.set(socket, '_handle', null);
  socket.destroy(); // without its handle: this only decrements a server's count of connections
  return handle;
}

/** The same contract on top of `data` events; the socket reads. */
export function feedData(socket: LinkSocket, { buffer, callback }: SocketReader): void {
  socket.on('data', (chunk: Uint8Array) => {
    for (let off = 0; off < chunk.length && !socket.destroyed; ) {
      const part = chunk.subarray(off, off + buffer.length);
      off += part.length;
      buffer.set(part);
      if (callback(part.length, buffer)) continue;
      socket.pause();
      if (off < chunk.length && !socket.destroyed) socket.unshift(chunk.subarray(off));
      return;
    }
  });
  socket.resume();
}
