/**
 * Unix sockets that accept, and have their mode, from the moment they exist: launchers look for the file, and connect once.
 *
 * bind(2) makes the file, and only after listen(2) is a connection not refused; so a socket is made beside its place, and
 * linked into it when it listens. Where that cannot be (no hard links, no room in the name), it is made in its place.
 *
 * The system derives the mode from the umask, which the whole process shares. Node binds within `listen`, as bind(2) does, so the umask
 * is restrictive for that call only; a file that another thread creates during it gets a more restrictive mode, never a
 * less restrictive one. A wider mode is set afterwards. In a worker thread, which may not set the umask, every mode is
 * set afterwards.
 */
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  linkSync,
  lstatSync,
  renameSync,
  rmSync,
} from 'node:fs';
import type { ListenOptions, Server } from 'node:net';
import { dirname, join } from 'node:path';
import { isMainThread } from 'node:worker_threads';

export const PRIVATE_SOCKET_MODE = 0o600;
const PRIVATE_UMASK = 0o177;
/** Of `sun_path`, without the NUL. */
const PATH_MAX = 107;

/** Like `server.listen`: failures are the server's `error` event. @param mode permission bits of the socket */
export function listenOnUnixPath(
  server: Server,
  options: ListenOptions & { readonly path: string },
  mode: number,
): void {
  const { path } = options;
  const draft = draftOf(path);
  makePrivately(draft ?? path, mode, () => {
    server.listen({ ...options, path: draft ?? path });
    return server.listening;
  });
  if (draft === undefined || !server.listening) return;
  try {
    moveInto(path, draft);
  } catch (error) {
    server.close(); // before it was said to listen
    process.nextTick(() => server.emit('error', error));
    return;
  }
  removeWithServer(server, path);
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

/** @returns a name beside `path`; undefined where binding to `path` itself is the way, or says best why not */
export function draftOf(path: string): string | undefined {
  const dir = dirname(path);
  const draft = join(dir, `.${Math.random().toString(36).slice(2, 8)}`);
  if (path.startsWith('\0') || Buffer.byteLength(draft) > PATH_MAX || existsSync(path)) {
    return undefined;
  }
  try {
    accessSync(dir, constants.W_OK);
    return draft;
  } catch {
    return undefined;
  }
}

/** @throws Error with the code EADDRINUSE where another has taken the place meanwhile */
export function moveInto(path: string, draft: string): void {
  try {
    linkSync(draft, path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') {
      throw Object.assign(new Error(`listen EADDRINUSE: address already in use ${path}`), {
        code: 'EADDRINUSE',
      });
    }
    renameSync(draft, path); // a file system without hard links
    return;
  }
  rmSync(draft);
}

/** As Node does with a socket at the place where it was bound. */
function removeWithServer(server: Server, path: string): void {
  const { dev, ino } = lstatSync(path);
  const close = server.close.bind(server);
  server.close = (onClosed) => {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found?.dev === dev && found.ino === ino) rmSync(path, { force: true });
    return close(onClosed);
  };
}
