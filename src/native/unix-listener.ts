/**
 * Unix sockets that have their mode from the moment they exist.
 *
 * The system derives the mode from the umask, which the whole process shares. Node binds within `listen`, as bind(2) does, so the umask
 * is restrictive for that call only; a file that another thread creates during it gets a more restrictive mode, never a
 * less restrictive one. A wider mode is set afterwards. In a worker thread, which may not set the umask, every mode is
 * set afterwards.
 */
import { chmodSync } from 'node:fs';
import type { ListenOptions, Server } from 'node:net';
import { isMainThread } from 'node:worker_threads';
import { UNIX_PATH_MAX } from './unix-path.ts';

export const PRIVATE_SOCKET_MODE = 0o600;
const PRIVATE_UMASK = 0o177;

/** Like `server.listen`: failures are the server's `error` event. @param mode permission bits of the socket */
export function listenOnUnixPath(
  server: Server,
  options: ListenOptions & { readonly path: string },
  mode: number,
): void {
  if (Buffer.byteLength(options.path) > UNIX_PATH_MAX) {
    const fault = new Error(`the path is longer than ${UNIX_PATH_MAX} bytes`);
    process.nextTick(() => server.emit('error', Object.assign(fault, { code: 'ENAMETOOLONG' })));
    return;
  }
  makePrivately(options.path, mode, () => {
    server.listen(options);
    return server.listening;
  });
}

/** @param make makes the socket at `path`, and returns whether it did */
export function makePrivately(path: string, mode: number, make: () => boolean): void {
  const before = isMainThread ? process.umask(PRIVATE_UMASK) : undefined;
  let isMade = false;
  try {
    isMade = make();
  } finally {
    if (before !== undefined) process.umask(before);
  }
  const isAsWanted = before !== undefined && mode === PRIVATE_SOCKET_MODE;
  if (isMade && !isAsWanted) chmodSync(path, mode);
}
