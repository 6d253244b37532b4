/**
 * A second start of the program in this process: what the first has given up is then given up by every thread, V8's and
 * libuv's too, which are there before the first line of a program runs.
 */
import { PosixError } from '../errors.ts';
import { CALLS } from './calls.ts';
import { type Kernel, memory } from './kernel.ts';
import { SERVICE_CALLS } from './service-calls.ts';

const FD_CLOEXEC = 1;
const F_GETFD = 1;
const F_SETFD = 2;
/** The kernel's struct sigaction: handler, flags, restorer, mask. */
const SIGACTION_LEN = 32;
const SIGSET_LEN = 8;

/** Node closes what it inherits when it starts another program. @returns false when it is not open */
export function keepOpen(kernel: Kernel, fd: number): boolean {
  const flags = kernel.try(CALLS.fcntl, fd, F_GETFD);
  if (flags < 0) return false;
  return kernel.try(CALLS.fcntl, fd, F_SETFD, flags & ~FD_CLOEXEC) === 0;
}

/**
 * From here on these signals end the process, as they do one without handlers: what a handler of libuv has taken waits for
 * the loop, and is lost with it.
 *
 * @param signals by number
 * @throws PosixError
 */
export function dieOfSignals(kernel: Kernel, signals: readonly number[]): void {
  const action = memory(SIGACTION_LEN); // SIG_DFL, without flags
  for (const signal of signals) {
    const address = kernel.address(action);
    kernel.call(
      'leave signals to the kernel',
      SERVICE_CALLS.rt_sigaction,
      signal,
      address,
      0,
      SIGSET_LEN,
    );
  }
}

/**
 * @param nodeArgs more of Node's, before those of this start
 * @returns only when it fails
 */
export function restart(
  kernel: Kernel,
  env: NodeJS.ProcessEnv,
  nodeArgs: readonly string[] = [],
): PosixError {
  const { execPath, execArgv, argv, argv0 } = process;
  const path = textOf(execPath);
  const args = listOf(kernel, [argv0, ...nodeArgs, ...execArgv, ...argv.slice(1)]);
  const variables = listOf(
    kernel,
    Object.entries(env).map(([name, value]) => `${name}=${value ?? ''}`),
  );
  const failed = kernel.try(
    CALLS.execve,
    kernel.address(path),
    kernel.address(args.pointers),
    kernel.address(variables.pointers),
  );
  return new PosixError(`cannot start ${execPath} again`, -failed);
}

function textOf(text: string): DataView<ArrayBuffer> {
  const bytes = Buffer.from(`${text}\0`);
  const copy = memory(bytes.length);
  new Uint8Array(copy.buffer).set(bytes);
  return copy;
}

/** As of `argv`: the texts are referenced until the call, too. */
function listOf(kernel: Kernel, texts: readonly string[]) {
  const kept = texts.map(textOf);
  const pointers = memory((texts.length + 1) * 8);
  for (const [i, text] of kept.entries()) {
    pointers.setBigUint64(i * 8, kernel.address(text), true);
  }
  return { pointers, kept };
}
