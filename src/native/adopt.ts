/**
 * Descriptors that Node's own classes refuse (TAP, packet socket, datagram Unix socket), read by
 * its event loop: libuv's pipe handle polls any of them and reads message by message.
 * The handle is internal to Node; its use is confined to this file.
 *
 * Reads only. Writing through the stream would merge messages (writev): use `Posix.write`.
 */
import { fstatSync } from 'node:fs';
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
  if (!isPollable(fd)) {
    throw new NativeUnavailableError(
      `poll descriptor ${fd}`,
      'it is a file, or a device like /dev/null',
    );
  }
  const handle = new (pipeBinding().Pipe)(PIPE_SOCKET);
  const errno = handle.open(fd);
  if (errno !== 0) {
    throw new NativeUnavailableError(`poll descriptor ${fd}`, `libuv refuses it (${errno})`);
  }
  return handle;
}

/** Devices of memory: null, zero, full. */
const MEMORY_MAJOR = 1;

/** Whether epoll takes it: libuv ends the process when it does not. */
export function isPollable(fd: number): boolean {
  const stat = fstatSync(fd);
  if (stat.isFile() || stat.isDirectory() || stat.isBlockDevice()) return false;
  return !(stat.isCharacterDevice() && stat.rdev >> 8 === MEMORY_MAJOR);
}

function pipeBinding(): PipeBinding {
  const binding: unknown = Reflect.get(process, 'binding');
  if (typeof binding !== 'function') {
    throw new NativeUnavailableError('poll a descriptor', 'this Node has no process.binding');
  }
  return binding.call(process, 'pipe_wrap');
}
