/**
 * Unix sockets that others may connect to only as far as their mode allows, from their first moment.
 *
 * The system takes the mode from the umask, which the whole process shares. Node binds within `listen`, so the umask
 * is narrow for that call alone, and what another thread makes meanwhile is narrower than it asked for, never wider.
 * A wider mode is set afterwards. In a worker thread, which may not set the umask, any mode is.
 */
import { chmodSync } from 'node:fs';
import type { ListenOptions, Server } from 'node:net';
import { isMainThread } from 'node:worker_threads';

export const PRIVATE_SOCKET_MODE = 0o600;
const PRIVATE_UMASK = 0o177;

/** As `server.listen`: failures are the server's `error` event. @param mode permission bits of the socket */
export function listenOnUnixPath(
  server: Server,
  options: ListenOptions & { readonly path: string },
  mode: number,
): void {
  const before = isMainThread ? process.umask(PRIVATE_UMASK) : undefined;
  try {
    server.listen(options);
  } finally {
    if (before !== undefined) process.umask(before);
  }
  const isAsWanted = before !== undefined && mode === PRIVATE_SOCKET_MODE;
  if (server.listening && !isAsWanted) chmodSync(options.path, mode);
}
