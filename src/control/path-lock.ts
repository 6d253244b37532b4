/**
 * A short exclusive section over a path, among processes: for taking over the files of a dead predecessor.
 *
 * The lock is the file `PATH.lock` with its holder's pid in it, linked into place so that it is never seen
 * without. A holder that was killed inside its section is recognised by its pid.
 */
import { linkSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { readSmallFile } from '../native/read-small-file.ts';
import { draftPath } from '../proxy/replace-file.ts';

const RETRY_MS = 10;
const GIVE_UP_MS = 5_000;

export class PathLockError extends Error {
  readonly code = 'ERR_HAWSER_PATH_LOCKED';
}

/** Errors of `link` on file systems without hard links. */
const NO_LINKS: ReadonlySet<string> = new Set([
  'EPERM',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
  'EMLINK',
]);

const errorCode = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : '';

/** Whether a process `pid` exists; one that we may not signal does. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errorCode(error) === 'EPERM';
  }
}

/**
 * Create `path` holding `text`, all at once.
 *
 * @returns false when it exists
 */
export function createWhole(path: string, text: string): boolean {
  const draft = draftPath(path);
  try {
    writeFileSync(draft, text, { flag: 'wx', mode: 0o644 });
    linkSync(draft, path);
    return true;
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
    if (NO_LINKS.has(errorCode(error))) return createInPlace(path, text);
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

/** For file systems without hard links: exclusive too, but empty for a moment. */
function createInPlace(path: string, text: string): boolean {
  try {
    writeFileSync(path, text, { flag: 'wx', mode: 0o644 });
    return true;
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
    const isOurs = error instanceof Error && 'syscall' in error && error.syscall === 'write';
    if (isOurs) rmSync(path, { force: true });
    throw error;
  }
}

function dropStale(lock: string): void {
  let holder: number;
  try {
    holder = Number(readSmallFile(lock));
  } catch {
    return; // released in the meantime
  }
  if (!isAlive(holder)) rmSync(lock, { force: true });
}

/** Run `section` while no other process runs one for the same `path`. */
export async function withPathLock<T>(path: string, section: () => T | Promise<T>): Promise<T> {
  const lock = `${path}.lock`;
  for (let waitedMs = 0; !createWhole(lock, String(process.pid)); waitedMs += RETRY_MS) {
    if (waitedMs >= GIVE_UP_MS) {
      throw new PathLockError(`${lock} is held by a live process: remove it if none uses ${path}`);
    }
    dropStale(lock);
    await delay(RETRY_MS);
  }
  try {
    return await section();
  } finally {
    rmSync(lock, { force: true });
  }
}
