/**
 * A drop-in that goes to the background once it serves: Node cannot fork, so the program is started a second time, in a
 * session of its own, and this process ends when that one has said that it serves, or why it does not.
 */
import { spawn } from 'node:child_process';
import { RunError } from '../../network/errors.ts';

const READY_FD = 3;

/**
 * @param argv of which `--foreground` and `--ready-fd` are understood
 * @returns the exit status
 */
export function startInBackground(argv: readonly string[]): Promise<number> {
  const [, program = ''] = process.argv;
  const own = ['--foreground', `--ready-fd=${READY_FD}`];
  const child = spawn(process.execPath, [...process.execArgv, program, ...own, ...argv], {
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
  });
  const { stderr } = child;
  stderr?.pipe(process.stderr);
  const end = (): void => void child.kill();
  process.once('exit', end);
  return new Promise((resolve, reject) => {
    child.on('error', (cause) => {
      reject(new RunError(`cannot start ${program} again: ${cause.message}`, { cause }));
    });
    child.on('close', (status) => resolve(status ?? 1));
    child.stdio[READY_FD]?.once('data', () => {
      process.off('exit', end);
      resolve(0);
    });
  });
}
