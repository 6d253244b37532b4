/**
 * Sockets that are listening already when the process starts, from systemd or a compatible supervisor
 * (sd_listen_fds(3)): descriptors from 3 on, LISTEN_FDS of them, for the process LISTEN_PID. They are identified by their
 * place, a path or an address and port: a listener there uses the descriptor. Files of Unix sockets are neither created
 * nor removed by us.
 */
import { fstatSync, readFileSync } from 'node:fs';
import type { Server } from 'node:net';
import { parseAddress } from '../services/address-text.ts';
import { allListening, PROC_TABLES } from './listening-tables.ts';

const FIRST_FD = 3;
const MAX_FDS = 64;

export class InheritError extends Error {
  readonly code = 'ERR_HAWSER_INHERITED_SOCKET';
}

const byPlace = new Map<string, number>();

/**
 * Called once, at the start: adopt the descriptors, and remove the variables, which are not for children.
 *
 * @returns their places: paths, and {@link tcpPlace}s
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
  const table = count === 0 ? '' : unixTable();
  for (let fd = FIRST_FD; fd < FIRST_FD + count; fd++) byPlace.set(placeOf(fd, table), fd);
  return [...byPlace.keys()];
}

/**
 * A Unix socket that listens on a descriptor that was inherited.
 *
 * @returns its path
 * @throws InheritError
 */
export function listenerPath(fd: number): string {
  const path = pathOf(inodeOf(fd), unixTable());
  if (path !== undefined) return path;
  throw new InheritError(`descriptor ${fd} is no Unix socket with a path`);
}

/** Have a listener on its path use the descriptor. @throws InheritError */
export function adoptListener(fd: number): void {
  byPlace.set(listenerPath(fd), fd);
}

/** The place of a TCP socket that listens at an address, which may be written in several forms. */
export function tcpPlace(host: string, port: number): string {
  const address = parseAddress(host)?.toString() ?? host;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

export const isInherited = (place: string): boolean => byPlace.has(place);

/** The descriptor inherited for `path`, for those that Node's servers do not take. */
export const inheritedDescriptor = (path: string): number | undefined => byPlace.get(path);

/** Listen on the socket inherited for `place`. @returns false when there is none */
export function listenOnInherited(server: Server, place: string): boolean {
  const fd = byPlace.get(place);
  if (fd === undefined) return false;
  server.listen({ fd });
  return true;
}

const unixTable = (): string => readFileSync('/proc/self/net/unix', 'latin1');

function placeOf(fd: number, unix: string): string {
  const inode = inodeOf(fd);
  const path = pathOf(inode, unix);
  if (path !== undefined) return path;
  const tcp = allListening(PROC_TABLES)?.find((entry) => entry.inode === `${inode}`);
  if (tcp !== undefined) return tcpPlace(tcp.address, tcp.port);
  const what = 'neither a Unix socket with a path nor a TCP socket that listens';
  throw new InheritError(`descriptor ${fd} is ${what}`);
}

function inodeOf(fd: number): number {
  try {
    return fstatSync(fd).ino;
  } catch {
    throw new InheritError(`descriptor ${fd} is not open`);
  }
}

function pathOf(inode: number, table: string): string | undefined {
  // Num RefCount Protocol Flags Type St Inode Path
  const [, path] = new RegExp(`^(?:\\S+ +){6}${inode} (/.*)$`, 'm').exec(table) ?? [];
  return path;
}
