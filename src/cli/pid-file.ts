/**
 * The pid file: refuses that of a live daemon, takes over that of a dead one, safely against races.
 *
 * It is linked into place, so that it is never read half written; a stale one is replaced under a lock, so
 * that exactly one of several starting daemons wins.
 */
import { readFileSync, rmSync, statSync } from 'node:fs';
import { createWhole, isAlive, withPathLock } from '../control/path-lock.ts';
import { readSmallFile } from '../native/read-small-file.ts';
import { errorCode, messageOf, RunError } from '../network/errors.ts';
import { replaceFile } from '../proxy/replace-file.ts';

/** Slack of the boot time that the kernel reports, in ms. */
const START_SLACK_MS = 2_000;
/** USER_HZ, the unit of /proc times; 100 on every Linux that Node runs on. */
const TICKS_PER_S = 100;

/**
 * @param end behind the process id
 * @throws RunError that states the owner and what to do
 */
export async function claimPidFile(path: string, end: '' | '\n' = '\n'): Promise<void> {
  const text = `${process.pid}${end}`;
  try {
    if (createWhole(path, text)) return;
    await withPathLock(path, () => replaceStale(path, text));
  } catch (error) {
    if (error instanceof RunError) throw error;
    throw new RunError(
      `cannot write the pid file ${path}: ${messageOf(error)}; choose another path`,
      {
        cause: error,
      },
    );
  }
}

/** Under the lock nobody else replaces the file; its owner may still remove it. */
function replaceStale(path: string, text: string): void {
  const holder = readHolder(path);
  if (holder !== undefined && holder !== process.pid && holds(holder, path)) {
    throw new RunError(
      `the pid file ${path} belongs to the running process ${holder}: end it, or choose another path`,
    );
  }
  replaceFile(path, text, 0o644);
}

/** @returns the pid in the file, or undefined when it is empty or gone */
function readHolder(path: string): number | undefined {
  let text: string;
  try {
    text = readSmallFile(path).trim();
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  if (text === '') return undefined;
  if (!/^[1-9]\d{0,9}$/.test(text)) {
    throw new RunError(`${path} is not a pid file: remove it, or choose another path`);
  }
  return Number(text);
}

/** Whether process `pid` is the one that wrote the file, and not a later one with its number. */
function holds(pid: number, path: string): boolean {
  if (!isAlive(pid)) return false;
  const startedAtMs = processStart(pid);
  return startedAtMs === undefined || startedAtMs <= statSync(path).mtimeMs + START_SLACK_MS;
}

/** @returns ms since the Unix epoch, or undefined where it is not available */
function processStart(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The fields after the command, which may hold anything: state is the first, starttime the 20th.
    const ticks = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
    const boot = Number(/^btime (\d+)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1]);
    const startMs = boot * 1_000 + (ticks * 1_000) / TICKS_PER_S;
    return Number.isFinite(startMs) ? startMs : undefined;
  } catch {
    return undefined;
  }
}

/** Remove the file if it is still ours. */
export function releasePidFile(path: string): void {
  try {
    if (readSmallFile(path).trim() === String(process.pid)) rmSync(path);
  } catch {
    // Gone already, which is what we want.
  }
}
