/**
 * What a TAP is made with, from a network namespace that this process cannot enter: a process with several threads, as every
 * Node is, enters no user namespace; and the root of one cannot come back from a network namespace to one that is not its
 * own. A program inside, started by nsenter(1), opens them and passes them out. It needs no rights there: making the TAP is
 * allowed to the user who made the user namespace, from outside too.
 */
import { spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { loadPosix } from '../../native/load.ts';
import type { TapTools } from '../../native/posix.ts';
import { errorCode, RunError } from '../../network/errors.ts';
import { distFile } from '../../network/own-files.ts';

export interface TapPlace {
  /** Paths of namespaces, such as those of a process in /proc. */
  readonly netns: string;
  /** Undefined: ours. */
  readonly userns: string | undefined;
}

const OPENER = fileURLToPath(distFile('bin/tap-tools.js'));

const START_MS = 10_000;

/** @throws RunError, PosixError, NativeUnavailableError */
export function openTapTools({ netns, userns }: TapPlace): TapTools {
  const posix = loadPosix(`open a TAP in ${netns}`);
  try {
    return posix.openTapTools(netns);
  } catch (error) {
    if (errorCode(error) !== 'EPERM') throw error;
  }
  const [ours, theirs] = posix.socketPair('stream');
  try {
    const user =
      userns === undefined || isOurs(userns) ? [] : [`--user=${userns}`, '--preserve-credentials'];
    const enter = [...user, `--net=${netns}`, '--'];
    const { error, stderr, status } = spawnSync('nsenter', [...enter, process.execPath, OPENER], {
      stdio: ['ignore', 'ignore', 'pipe', theirs],
      timeout: START_MS,
      encoding: 'utf8',
    });
    const what = `cannot open a TAP in ${netns}`;
    if (error !== undefined && errorCode(error) === 'ENOENT') {
      const why = 'nsenter is missing, by which namespaces are entered; install util-linux';
      throw new RunError(`${what}: ${why}`, { cause: error });
    }
    const fds: number[] = [];
    posix.makeFdReceiver(ours).receive(new Uint8Array(1), 0, 1, fds);
    const [tunnel, control] = fds;
    if (tunnel !== undefined && control !== undefined) return { tunnel, control };
    const said = error?.message ?? (stderr.trim() || `nsenter ended with status ${status}`);
    throw new RunError(`${what}: ${said}`);
  } finally {
    posix.close(ours);
    posix.close(theirs);
  }
}

function isOurs(userns: string): boolean {
  try {
    return statSync(userns).ino === statSync('/proc/self/ns/user').ino;
  } catch {
    return false; // nsenter says what is wrong with it
  }
}
