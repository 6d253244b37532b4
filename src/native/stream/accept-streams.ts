/**
 * The connections of a server, as {@link HostStream}s. `net.Server` creates a socket for each connection, which
 * costs more than the accept itself; so its handle is made to pass them to us instead.
 */
import type { Server } from 'node:net';
import { reportFault } from '../../base/faults.ts';
import { STREAM_BINDINGS, type StreamBindings, type StreamHandle } from './bindings.ts';
import { HandleStream } from './handle-stream.ts';
import type { HostStream } from './host-stream.ts';
import { type KeepaliveHandle, setKeepalive } from './keepalive.ts';
import { KEEPALIVE_DEFAULT_S } from './keepalive-options.ts';
import { SocketStream } from './socket-stream.ts';

/** On these systems an accepted socket inherits the options of the listening one. */
const INHERITS = process.platform === 'linux';

interface ServerHandle extends KeepaliveHandle {
  setNoDelay?(on: boolean): number;
  onconnection: (status: number, handle: StreamHandle | undefined) => void;
}

export interface AcceptEvents {
  onStream(stream: HostStream): void;
  /** An accept failed; the next one may not. */
  onFailed(): void;
}

export interface AcceptOptions {
  /** Idle time before a client is probed, in s; 0: never. */
  readonly keepaliveS?: number;
  readonly bindings?: StreamBindings | null;
}

/**
 * Take over a listening server, made with `pauseOnConnect` and `allowHalfOpen`. Accepted sockets have Nagle's
 * algorithm off and keepalive on.
 */
export function acceptStreams(
  server: Server,
  events: AcceptEvents,
  options: AcceptOptions = {},
): void {
  const { keepaliveS = KEEPALIVE_DEFAULT_S, bindings = STREAM_BINDINGS } = options;
  const handle: unknown = Reflect.get(server, '_handle');
  if (bindings === null || !isServerHandle(handle)) {
    server.on('connection', (socket) => {
      socket.setNoDelay(true);
      if (keepaliveS > 0) socket.setKeepAlive(true, keepaliveS * 1000);
      accepted(events, new SocketStream(socket));
    });
    return;
  }
  let isInherited = INHERITS && setKeepalive(handle, keepaliveS);
  if (INHERITS) handle.setNoDelay?.(true);
  handle.onconnection = (status, connection): void => {
    if (status !== 0 || connection === undefined) {
      events.onFailed();
      return;
    }
    if (!INHERITS) connection.setNoDelay?.(true);
    if (!isInherited) {
      setKeepalive(connection, keepaliveS);
      isInherited = INHERITS && setKeepalive(handle, keepaliveS);
    }
    accepted(events, new HandleStream(bindings, connection));
  };
}

function accepted(events: AcceptEvents, stream: HostStream): void {
  try {
    events.onStream(stream);
  } catch (fault) {
    stream.reset(); // first: where nobody watches, the fault is thrown on
    reportFault('accept', fault);
  }
}

const isServerHandle = (handle: unknown): handle is ServerHandle =>
  typeof handle === 'object' && handle !== null && 'onconnection' in handle;
