/**
 * What a server accepts, as {@link HostStream}s. `net.Server` makes a socket for each connection, at
 * more than the price of the accept; so its handle is told to hand them to us instead.
 */
import type { Server } from 'node:net';
import { STREAM_BINDINGS, type StreamBindings, type StreamHandle } from './bindings.ts';
import { HandleStream } from './handle-stream.ts';
import type { HostStream } from './host-stream.ts';
import { SocketStream } from './socket-stream.ts';

/** There a socket that is accepted has the options of the one that listens. */
const INHERITS = process.platform === 'linux';

interface ServerHandle {
  setNoDelay?(on: boolean): number;
  onconnection: (status: number, handle: StreamHandle | undefined) => void;
}

/**
 * Take over a server that listens, made with `pauseOnConnect` and `allowHalfOpen`. Nagle's algorithm
 * is off on what it accepts.
 *
 * @param onFailed an accept failed; the next one may not
 */
export function acceptStreams(
  server: Server,
  onStream: (stream: HostStream) => void,
  onFailed: () => void,
  bindings: StreamBindings | null = STREAM_BINDINGS,
): void {
  const handle: unknown = Reflect.get(server, '_handle');
  if (bindings === null || !isServerHandle(handle)) {
    server.on('connection', (socket) => {
      socket.setNoDelay(true);
      onStream(new SocketStream(socket));
    });
    return;
  }
  if (INHERITS) handle.setNoDelay?.(true);
  handle.onconnection = (status, accepted): void => {
    if (status !== 0 || accepted === undefined) {
      onFailed();
      return;
    }
    if (!INHERITS) accepted.setNoDelay?.(true);
    onStream(new HandleStream(bindings, accepted));
  };
}

const isServerHandle = (handle: unknown): handle is ServerHandle =>
  typeof handle === 'object' && handle !== null && 'onconnection' in handle;
