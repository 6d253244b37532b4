/** {@link HostStream} over any Node stream that was created elsewhere, and may have been read from. */
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { STREAM_BINDINGS, type StreamBindings, type StreamHandle } from './bindings.ts';
import { HandleStream } from './handle-stream.ts';
import { type HostStream, READ_BUFFER } from './host-stream.ts';
import { SocketStream } from './socket-stream.ts';

export interface StreamOverDuplex {
  readonly stream: HostStream;
  /** Bytes read before, to be processed before any other of the stream. */
  readonly received: Uint8Array;
}

/**
 * A socket that is idle is read and written without Node's stream machinery.
 *
 * @param duplex it belongs to the stream from now on
 */
export function streamOverDuplex(
  duplex: Duplex,
  bindings: StreamBindings | null = STREAM_BINDINGS,
): StreamOverDuplex {
  const handle = bindings === null ? undefined : idleHandle(duplex);
  if (bindings === null || handle === undefined) {
    return { stream: new SocketStream(duplex, false), received: READ_BUFFER.subarray(0, 0) };
  }
  handle.readStop();
  const received: Buffer[] = [];
  for (;;) {
    const chunk: unknown = duplex.read();
    if (!Buffer.isBuffer(chunk)) break;
    received.push(chunk);
  }
  handle.readStop(); // the processing of what was read may have started another
  Reflect.set(duplex, '_handle', null);
  duplex.destroy(); // without its handle: this only emits `close`
  return { stream: new HandleStream(bindings, handle), received: Buffer.concat(received) };
}

/** Plain sockets only: the handle of a derived class (TLS) carries other bytes. */
function idleHandle(duplex: Duplex): StreamHandle | undefined {
  if (!(duplex instanceof Socket) || Object.getPrototypeOf(duplex) !== Socket.prototype) {
    return undefined;
  }
  const { connecting, readableEnded, writable, writableLength, readableEncoding } = duplex;
  const isIdle = !connecting && !readableEnded && writable && writableLength === 0;
  if (!isIdle || readableEncoding !== null) return undefined;
  const handle: unknown = Reflect.get(duplex, '_handle');
  return isStreamHandle(handle) ? handle : undefined;
}

const isStreamHandle = (handle: unknown): handle is StreamHandle =>
  typeof handle === 'object' &&
  handle !== null &&
  'useUserBuffer' in handle &&
  'writeBuffer' in handle &&
  'readStop' in handle;
