/**
 * TCP from a socket of the guest to the container. Nothing is read from a client before the container
 * has answered, and a container that refuses resets the client. An end is passed on as an end, each
 * direction for itself; a reset as a reset. Node's own flow control bounds what is in between.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { keepaliveOptions } from '../../native/stream/keepalive-options.ts';
import type { Admits, Endpoint, ListenAt, Listening } from './listening.ts';

const BACKLOG = 1024;
const CONNECTIONS_MAX = 16_384;

export function forwardTcp(
  at: ListenAt,
  container: Endpoint,
  admits: Admits = () => true,
): Promise<Listening> {
  const open = new Set<Socket>();
  const server = createServer({
    pauseOnConnect: true,
    allowHalfOpen: true,
    noDelay: true,
    ...keepaliveOptions(),
  });
  server.maxConnections = CONNECTIONS_MAX;
  server.on('connection', (client) => {
    if (!admits(client.remoteAddress ?? '')) {
      reset(client);
      return;
    }
    open.add(client);
    client.once('close', () => open.delete(client));
    splice(client, container);
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    const target =
      at.fd !== undefined
        ? { fd: at.fd }
        : { host: at.address, port: at.port, ipv6Only: true, exclusive: true };
    server.listen({ ...target, backlog: BACKLOG }, () => {
      server.off('error', reject);
      server.on('error', () => {}); // an accept failed; the next one may not
      const close = (): void => {
        server.close();
        for (const client of open) reset(client);
      };
      resolve({ port: portOf(server), close });
    });
  });
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function splice(client: Socket, { address, port }: Endpoint): void {
  const container = connect({
    host: address,
    port,
    allowHalfOpen: true,
    noDelay: true,
    ...keepaliveOptions(),
  });
  const pairs = [
    [client, container],
    [container, client],
  ] as const;
  for (const [one, other] of pairs) {
    one.on('error', () => reset(other));
    // Not after two ends: then both have ended, and close by themselves.
    one.on('close', (hadError) => {
      if (hadError) reset(other);
    });
  }
  container.once('connect', () => {
    for (const [one, other] of pairs) one.pipe(other);
  });
}

function reset(socket: Socket): void {
  if (socket.connecting || socket.destroyed) socket.destroy();
  else socket.resetAndDestroy();
}
