/** The listener of the control API: a Unix socket of mode 0600 or a TCP port. */
import type { Server } from 'node:http';
import type { AddressInfo, Server as NetServer } from 'node:net';
import { errorCode } from '../native/errors.ts';
import { isInherited, listenOnInherited, tcpPlace } from '../native/inherited-listeners.ts';
import { refuseDescriptors } from '../native/refuse-descriptors.ts';
import { listenOnUnixPath, PRIVATE_SOCKET_MODE } from '../native/unix-listener.ts';
import { type PlaceTaken, removeStaleSocket } from '../transports/stale-socket.ts';
import { withPathLock } from './path-lock.ts';

export class ListenError extends Error {
  override name = 'ApiListenError';
  readonly code = 'ERR_HAWSER_API_LISTEN';
}

export interface ApiListener {
  /** `unix:PATH` or `tcp:ADDRESS:PORT`, with the port actually bound. */
  readonly where: string;
  /** The TCP port bound; undefined on a Unix socket. */
  readonly tcp: { readonly address: string; readonly port: number } | undefined;
  /** End every connection once its answer is sent, and remove the socket. */
  close(): Promise<void>;
}

/** Of a {@link ListenError}: another process has the path, or another file is there. */
export class PathTakenError extends Error {}

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

const NO_DIRECTORY = 'its directory does not exist: make it, or choose another path';

function reasonOf(error: unknown): string {
  const code = error instanceof Error ? errorCode(error) : '';
  return code === 'ENOENT' || code === 'ENOTDIR' ? NO_DIRECTORY : messageOf(error);
}

const ADVICE: Readonly<Record<PlaceTaken, string>> = {
  live: 'a process serves it already; end that one, or choose another path',
  'not-a-socket': 'it exists and is not a socket; remove it, or choose another path',
};

/** Serve on the Unix socket `path`: a stale one is taken over, a live one refused. */
export async function listenUnix(server: Server, path: string): Promise<ApiListener> {
  await bindUnix(server, path, 'the control API');
  return { where: `unix:${path}`, tcp: undefined, close: () => closeServer(server) };
}

/** @throws ListenError that names `what` is served */
export async function bindUnix(server: NetServer, path: string, what: string): Promise<void> {
  try {
    if (isInherited(path)) await bound(server, () => listenOnInherited(server, path));
    else
      await withPathLock(path, async () => {
        await free(path);
        await bound(server, () => listenOnUnixPath(server, { path }, PRIVATE_SOCKET_MODE));
      });
  } catch (error) {
    throw new ListenError(`cannot serve ${what} at ${path}: ${reasonOf(error)}`, {
      cause: error,
    });
  }
  refuseDescriptors(server);
}

async function free(path: string): Promise<void> {
  const taken = await removeStaleSocket(path);
  if (taken !== undefined) throw new PathTakenError(ADVICE[taken]);
}

export async function listenTcp(
  server: Server,
  address: string,
  port: number,
): Promise<ApiListener> {
  try {
    await bound(server, () => {
      if (!listenOnInherited(server, tcpPlace(address, port)))
        server.listen({ host: address, port });
    });
  } catch (error) {
    throw new ListenError(
      `cannot serve the control API at ${address} port ${port}: ${messageOf(error)}; choose another`,
      { cause: error },
    );
  }
  const actual: AddressInfo | string | null = server.address();
  const actualPort = typeof actual === 'object' && actual !== null ? actual.port : port;
  const host = address.includes(':') ? `[${address}]` : address;
  return {
    where: `tcp:${host}:${actualPort}`,
    tcp: { address, port: actualPort },
    close: () => closeServer(server),
  };
}

function bound(server: NetServer, listen: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.once('listening', () => {
      server.off('error', reject);
      server.on('error', () => {}); // an accept failed; the next one may not
      resolve();
    });
    listen();
  });
}

/** Pending answers get this long to be sent. */
const CLOSE_GRACE_MS = 500;

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const force = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS);
    server.close(() => {
      clearTimeout(force);
      resolve();
    });
    server.closeIdleConnections();
  });
}
