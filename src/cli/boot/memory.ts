/**
 * How a daemon's memory is kept, so that it stops no turn of the event loop for long. As flags and a variable of the
 * start, since neither V8 nor the C library takes them later; so of the second start of a sandboxed daemon.
 *
 * - A young generation of 2 MiB, collected by the thread itself: a pause of 1 to 2 ms. Of 16 MiB, which V8 lets it grow to
 *   while flows come and go, it is 8 to 25 ms, half of that waiting for helpers that wait for a processor.
 * - One helper where processors are few: with V8's four, marking takes the processor from the event loop for 100 ms.
 * - No fast bins of the C library: it puts them together all at once, in up to 15 ms, where 10,000 sockets have closed.
 */
import { availableParallelism } from 'node:os';
import { setFlagsFromString } from 'node:v8';

const YOUNG_MIB = '--max-semi-space-size=';
const COLLECT_ALONE = '--no-parallel-scavenge';
const YOUNG = [`${YOUNG_MIB}2`, COLLECT_ALONE];
const HELPERS = '--v8-pool-size=';
const FEW_PROCESSORS = 4;
const TUNABLES = 'GLIBC_TUNABLES';
const FAST_BINS = 'glibc.malloc.mxfast=';

/** For Node, before the arguments that it was started with: these, and those of NODE_OPTIONS, hold instead of ours. */
export function memoryArgs(
  execArgv: readonly string[],
  env: NodeJS.ProcessEnv,
  processors: number = availableParallelism(),
): readonly string[] {
  const given = [...execArgv, env['NODE_OPTIONS'] ?? ''].join(' ').replaceAll('_', '-');
  const args = given.includes('semi-space-size') ? [] : [...YOUNG];
  const isFew = processors <= FEW_PROCESSORS;
  return isFew && !given.includes(HELPERS.slice(2, -1)) ? [...args, `${HELPERS}1`] : args;
}

export function withAllocator(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const given = env[TUNABLES];
  if (given?.includes(FAST_BINS) === true) return env;
  return { ...env, [TUNABLES]: given ? `${given}:${FAST_BINS}0` : `${FAST_BINS}0` };
}

/**
 * The thread collects its young generation itself from here on, unless the user says otherwise: so in programs that are
 * started without arguments of ours too, and while they start, when the helpers' processor is most wanted.
 */
export function collectAlone(
  execArgv: readonly string[] = process.execArgv,
  env: NodeJS.ProcessEnv = process.env,
): void {
  const given = [...execArgv, env['NODE_OPTIONS'] ?? ''].join(' ').replaceAll('_', '-');
  if (!given.includes('parallel-scavenge')) setFlagsFromString(COLLECT_ALONE);
}

/** The heap has its size. V8 takes a code cache only with the flags that it was made with, of which this is one. */
export function forgetYoungSize(execArgv: readonly string[] = process.execArgv): void {
  if (execArgv.some((arg) => arg.startsWith(YOUNG_MIB))) setFlagsFromString(`${YOUNG_MIB}0`);
}
