/**
 * Descriptors that Node's own classes refuse (TAP, packet socket, datagram Unix socket), read by
 * its event loop: libuv's pipe handle polls any of them and reads message by message.
 * The handle is internal to Node; its use is confined to this file.
 *
 * Reads only. Writing through the stream would merge messages (writev): use `Posix.write`.
 */
import type { Socket } from 'node:net';
import { NativeUnavailableError } from './errors.ts';
import { socketOverHandle } from './socket-over-handle.ts';

interface PipeBinding {
  readonly Pipe: new (type: number) => { open(fd: number): number };
}

/** Kind of handle in libuv's wrapper: an ordinary socket, not a server or an IPC channel. */
const PIPE_SOCKET = 0;

/**
 * @param fd readable, non-blocking; it now belongs to the socket, whose `destroy` closes it
 * @param buffer the destination of each message; it must hold the largest
 * @param onRead a message of `len` bytes is at the start of `buffer`. @returns false to read no more until `resume`
 * @returns the socket, for its events `error` and `close`
 */
export function adoptReadable(
  fd: number,
  buffer: Uint8Array,
  onRead: (len: number) => boolean,
): Socket {
  const handle = pipeOver(fd);
  return socketOverHandle(handle, { buffer, callback: onRead });
}

/** A libuv pipe handle that owns `fd`. */
export function pipeOver(fd: number): object {
  const handle = new (pipeBinding().Pipe)(PIPE_SOCKET);
  const errno = handle.open(fd);
  if (errno !== 0) {
    throw new NativeUnavailableError(`poll descriptor ${fd}`, `libuv refuses it (${errno})`);
  }
  return handle;
}

function pipeBinding(): PipeBinding {
  const binding: unknown = Reflect.get(process, 'binding');
  if (typeof binding !== 'function') {
    throw new NativeUnavailableError('poll a descriptor', 'this Node has no process.binding');
  }
  return binding.call(process, 'pipe_wrap');
}
