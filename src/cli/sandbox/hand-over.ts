/**
 * What the first start of the program hands to the second, by a descriptor that a variable of the environment names: a
 * configuration that is read and checked already, perhaps from files that the second may not read, and what only the
 * first had the right to open.
 */
import { closeSync, fstatSync, readFileSync, writeSync } from 'node:fs';
import type { OpenedTap } from '../../native/opened-taps.ts';
import { CALLS } from '../../native/sandbox/calls.ts';
import { type Kernel, memory } from '../../native/sandbox/kernel.ts';
import type { PartState } from '../../native/sandbox/parts.ts';
import { UsageError } from '../../network/errors.ts';
import type { CommandLine } from '../config.ts';
import type { DaemonConfig } from '../daemon-config.ts';
import { HAND_OVER_VARIABLE } from './second-start.ts';

/** What a pipe holds unless it is enlarged. */
const PIPE_LEN = 65_536;
const F_SETPIPE_SZ = 1031;

export interface HandOver {
  readonly options: DaemonConfig;
  readonly commandLine: CommandLine;
  readonly config: string | undefined;
  /** Of a drop-in: what its dialect has beyond the options, as plain data. */
  readonly dialect?: unknown;
  readonly parts: readonly PartState[];
  readonly taps: readonly OpenedTap[];
  /** Directories made for sockets, each before its parents. */
  readonly made: readonly string[];
}

/**
 * Through a pipe, for it needs no place in a file system and is subject to no limit of file sizes.
 *
 * @returns the environment of the second start
 */
export function giveHandOver(
  kernel: Kernel,
  handOver: HandOver,
  env: NodeJS.ProcessEnv,
): NodeJS.ProcessEnv {
  const text = Buffer.from(JSON.stringify(handOver));
  const ends = memory(8);
  kernel.call('make a pipe', CALLS.pipe2, kernel.address(ends), 0);
  const [readEnd, writeEnd] = [ends.getInt32(0, true), ends.getInt32(4, true)];
  if (text.length > PIPE_LEN) {
    kernel.call(
      `hand over ${text.length} bytes of configuration`,
      CALLS.fcntl,
      writeEnd,
      F_SETPIPE_SZ,
      text.length,
    );
  }
  writeSync(writeEnd, text);
  closeSync(writeEnd);
  return { ...env, [HAND_OVER_VARIABLE]: `${readEnd}` };
}

/** Called once. @throws UsageError when nothing was handed over */
export function takeHandOver(env: NodeJS.ProcessEnv): HandOver {
  const text = env[HAND_OVER_VARIABLE] ?? '';
  Reflect.deleteProperty(env, HAND_OVER_VARIABLE);
  const fd = Number(text);
  try {
    if (!/^\d+$/.test(text) || !fstatSync(fd).isFIFO()) throw new Error('no pipe');
    const handOver: HandOver = JSON.parse(readFileSync(fd, 'utf8'));
    closeSync(fd);
    return handOver;
  } catch {
    const why = `${HAND_OVER_VARIABLE}=${text}: is for hawser itself, when it starts a second time: unset it`;
    throw new UsageError([why]);
  }
}
