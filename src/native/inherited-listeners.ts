/**
 * Unix sockets that are listening already when the process starts, from systemd or a compatible supervisor
 * (sd_listen_fds(3)): descriptors from 3 on, LISTEN_FDS of them, for the process LISTEN_PID. They are identified by their
 * path: a listener on that path uses the descriptor. Their files are neither created nor removed by us.
 */
import { fstatSync, readFileSync } from 'node:fs';
import type { Server } from 'node:net';

const FIRST_FD = 3;
const MAX_FDS = 64;

export class InheritError extends Error {
  readonly code = 'ERR_HAWSER_INHERITED_SOCKET';
}

const byPath = new Map<string, number>();

/**
 * Called once, at the start: adopt the descriptors, and remove the variables, which are not for children.
 *
 * @returns the paths
 * @throws InheritError
 */
export function inheritListeners(env: NodeJS.ProcessEnv, pid: number): string[] {
  const { LISTEN_PID: forPid, LISTEN_FDS: countText = '' } = env;
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES'])
    Reflect.deleteProperty(env, name);
  if (forPid !== String(pid)) return [];
  const count = Number(countText);
  if (!Number.isInteger(count) || count < 0 || count > MAX_FDS) {
    throw new InheritError(`LISTEN_FDS=${countText}: must be a number of 0 to ${MAX_FDS}`);
  }
  const table = count === 0 ? '' : readFileSync('/proc/self/net/unix', 'latin1');
  for (let fd = FIRST_FD; fd < FIRST_FD + count; fd++) byPath.set(pathOf(fd, table), fd);
  return [...byPath.keys()];
}

/**
 * A Unix socket that listens on a descriptor that was inherited.
 *
 * @returns its path
 * @throws InheritError
 */
export const listenerPath = (fd: number): string =>
  pathOf(fd, readFileSync('/proc/self/net/unix', 'latin1'));

/** Have a listener on its path use the descriptor. @throws InheritError */
export function adoptListener(fd: number): void {
  byPath.set(listenerPath(fd), fd);
}

export const isInherited = (path: string): boolean => byPath.has(path);

/** The descriptor inherited for `path`, for those that Node's servers do not take. */
export const inheritedDescriptor = (path: string): number | undefined => byPath.get(path);

/** Listen on the socket inherited for `path`. @returns false when there is none */
export function listenOnInherited(server: Server, path: string): boolean {
  const fd = byPath.get(path);
  if (fd === undefined) return false;
  server.listen({ fd });
  return true;
}

function pathOf(fd: number, table: string): string {
  let inode: number;
  try {
    inode = fstatSync(fd).ino;
  } catch {
    throw new InheritError(`descriptor ${fd} is not open`);
  }
  // Num RefCount Protocol Flags Type St Inode Path
  const [, path] = new RegExp(`^(?:\\S+ +){6}${inode} (/.*)$`, 'm').exec(table) ?? [];
  if (path !== undefined) return path;
  throw new InheritError(`descriptor ${fd} is no Unix socket with a path`);
}
