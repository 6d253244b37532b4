/** {@link HostStream} over a socket that Node, or a package, has connected. */
import { type LinkSocket, takeHandle } from '../socket-over-handle.ts';
import { STREAM_BINDINGS, type StreamBindings, type StreamHandle } from './bindings.ts';
import { HandleStream } from './handle-stream.ts';
import type { HostStream } from './host-stream.ts';
import { SocketStream } from './socket-stream.ts';

/**
 * Nagle's algorithm is off on it.
 *
 * @param socket connected and paused, without buffered bytes; it belongs to the stream from now on
 */
export function streamOverSocket(
  socket: LinkSocket,
  bindings: StreamBindings | null = STREAM_BINDINGS,
): HostStream {
  socket.setNoDelay?.(true);
  const handle = bindings === null ? undefined : takeHandle(socket, isStreamHandle);
  if (bindings === null || handle === undefined) return new SocketStream(socket);
  handle.readStop(); // libuv refuses to start twice
  return new HandleStream(bindings, handle);
}

const isStreamHandle = (handle: object): handle is StreamHandle =>
  'useUserBuffer' in handle && 'writeBuffer' in handle && 'readStop' in handle;
