/**
 * Listening on a Unix path or a TCP address. A Unix socket left behind by a process that has died is
 * taken over; one that answers is not.
 */
import { existsSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname, resolve } from 'node:path';
import { isInherited, listenOnInherited, tcpPlace } from '../native/inherited-listeners.ts';
import { refuseDescriptors } from '../native/refuse-descriptors.ts';
import { KEEPALIVE_DEFAULT_S, keepaliveOptions } from '../native/stream/keepalive-options.ts';
import { listenOnUnixPath } from '../native/unix-listener.ts';
import { LinkError, LinkInUseError } from './link-context.ts';
import { type PlaceTaken, removeStaleSocket } from './stale-socket.ts';
import { formatStreamAddress, type StreamAddress, unixPathProblem } from './stream-address.ts';

/**
 * @param socketMode of a Unix socket: its permissions decide who may connect
 * @param onSocket called with each accepted socket, paused; absent for `acceptStreams`
 * @param keepaliveS idle time before the peer of such a socket is probed, in s
 */
export async function openServer(
  address: StreamAddress,
  socketMode: number,
  onSocket?: (socket: Socket) => void,
  keepaliveS: number = KEEPALIVE_DEFAULT_S,
): Promise<Server> {
  const server = createServer(
    { pauseOnConnect: true, noDelay: true, ...keepaliveOptions(keepaliveS) },
    onSocket,
  );
  if ('path' in address && !isInherited(resolve(address.path))) {
    await freePlace(resolve(address.path));
  }
  await startServer(server, address, socketMode);
  return server;
}

/** @throws LinkInUseError, LinkError */
export async function startServer(
  server: Server,
  address: StreamAddress,
  socketMode: number,
): Promise<void> {
  try {
    await listen(server, address, socketMode);
  } catch (cause) {
    const where = formatStreamAddress(address);
    const code = errorCode(cause);
    if (code === 'EADDRINUSE') throw inUse(where, cause);
    throw new LinkError(`cannot listen on ${where}: ${code}`, { cause });
  }
}

/** Stop listening. A Unix socket's file is removed. Connections must be closed by their owner. */
export const closeServer = (server: Server): Promise<void> =>
  new Promise((done) => {
    server.close(() => done());
  });

export const inUse = (where: string, cause?: unknown): LinkInUseError =>
  new LinkInUseError(where, 'is in use by another process; stop it, or choose another place', {
    cause,
  });

/**
 * Remove the socket at `path` that nobody serves any more.
 *
 * @throws LinkError, LinkInUseError
 */
export async function freePlace(path: string): Promise<void> {
  const problem = unixPathProblem(path);
  if (problem !== undefined) throw new LinkError(`cannot listen on ${path}: it ${problem}`);
  if (!existsSync(dirname(path))) {
    throw new LinkError(`cannot listen on ${path}: make the directory ${dirname(path)} first`);
  }
  let taken: PlaceTaken | undefined;
  try {
    taken = await removeStaleSocket(path);
  } catch (cause) {
    throw new LinkError(`cannot probe ${path}: ${errorCode(cause)}`, { cause });
  }
  if (taken === 'not-a-socket') throw new LinkInUseError(path, 'exists and is not a socket');
  if (taken === 'live') throw inUse(path);
}

function listen(server: Server, address: StreamAddress, socketMode: number): Promise<void> {
  return new Promise((done, fail) => {
    server.once('error', fail);
    server.once('listening', () => {
      server.off('error', fail);
      server.on('error', () => {}); // an accept failed; the next one may not
      if ('path' in address) refuseDescriptors(server);
      done();
    });
    if ('path' in address) {
      if (listenOnInherited(server, resolve(address.path))) return;
      listenOnUnixPath(server, { path: address.path }, socketMode);
    } else if (!listenOnInherited(server, tcpPlace(address.host, address.port))) {
      server.listen({ ...address });
    }
  });
}

const errorCode = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : String(error);
