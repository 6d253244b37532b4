/**
 * Readiness of a descriptor, without reading it: for sockets with passed descriptors, which Node's own read
 * would lose, and for event counters.
 *
 * libuv has the reader supply a buffer; given an empty one it reports ENOBUFS, reads nothing, and
 * reports again as long as there is something to read. The methods of the handle are internal to
 * Node; their use is confined to this file.
 */
import type { Socket } from 'node:net';
import { pipeOver } from './adopt.ts';
import { NativeUnavailableError } from './errors.ts';
import { STREAM_BINDINGS, type WriteRequest } from './stream/bindings.ts';

/** `waits`: it is called when the message was sent, or cannot be. `cannot`: nothing has happened, and nothing will. */
export type LaterSend = 'sent' | 'waits' | 'cannot';

interface PollHandle {
  readonly fd: number;
  onread: () => void;
  useUserBuffer(buffer: Uint8Array): void;
  readStart(): number;
  readStop(): number;
  unref(): void;
  close(): void;
  writeBuffer(request: WriteRequest, bytes: Uint8Array): number;
}

export interface Watch {
  readonly fd: number;
  /** Stop watching and close the descriptor. May be called from within `onReadable`. */
  close(): void;
  pause(): void;
  resume(): void;
  /**
   * Send a message as soon as there is room for it: for connected sockets, which report that.
   *
   * @param bytes stay as they are until it is sent
   * @param onSent its status is 0, or -errno
   */
  sendLater(bytes: Uint8Array, onSent: (status: number) => void): LaterSend;
  /** Do not keep the process up. */
  unref(): void;
  /** Stop watching, and leave the descriptor open until the process ends. */
  abandon(): void;
}

/**
 * @param fd it belongs to the watch from now on
 * @param onReadable called repeatedly until there is nothing to read: read until EAGAIN
 */
export const watchReadable = (fd: number, onReadable: () => void): Watch =>
  watch(pipeOver(fd), onReadable);

/** Watch a socket that a server with `pauseOnConnect` accepted, instead of letting Node read it. */
export function watchAccepted(accepted: Socket, onReadable: () => void): Watch {
  const handle: unknown = Reflect.get(accepted, '_handle');
  Reflect.set(accepted, '_handle', null);
  accepted.destroy(); // without its handle: this only decrements the server's count of connections
  return watch(handle, onReadable);
}

function watch(handle: unknown, onReadable: () => void): Watch {
  if (!isPollHandle(handle)) {
    throw new NativeUnavailableError('watch a descriptor', 'this Node keeps its handles elsewhere');
  }
  handle.onread = onReadable;
  handle.useUserBuffer(new Uint8Array(0));
  handle.readStart();
  let open = true;
  return {
    fd: handle.fd,
    close: () => {
      if (open) handle.close();
      open = false;
    },
    pause: () => {
      handle.readStop();
    },
    resume: () => {
      if (open) handle.readStart();
    },
    sendLater: (bytes, onSent) => (open ? sendLater(handle, bytes, onSent) : 'cannot'),
    unref: () => {
      handle.unref();
    },
    abandon: () => {
      open = false;
      handle.readStop();
      handle.unref();
    },
  };
}

function sendLater(
  handle: PollHandle,
  bytes: Uint8Array,
  onSent: (status: number) => void,
): LaterSend {
  if (STREAM_BINDINGS === null) return 'cannot';
  const { WriteWrap, streamBaseState, kLastWriteWasAsync } = STREAM_BINDINGS;
  const request = new WriteWrap();
  request.bytes = bytes;
  request.oncomplete = onSent;
  if (handle.writeBuffer(request, bytes) !== 0) return 'cannot';
  return streamBaseState[kLastWriteWasAsync] === 0 ? 'sent' : 'waits';
}

function isPollHandle(handle: unknown): handle is PollHandle {
  return (
    typeof handle === 'object' &&
    handle !== null &&
    'useUserBuffer' in handle &&
    'readStart' in handle &&
    'writeBuffer' in handle &&
    'fd' in handle
  );
}
