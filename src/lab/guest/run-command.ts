/** Run a program to its end, reading what it says line by line. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface CommandResult {
  /** -1 when it was ended by a signal or did not start. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

const KEEP_CHARS = 1 << 20;

/**
 * @param onLine each line of stdout as it comes
 * @param signal kills the program
 */
export function runCommand(
  argv: readonly string[],
  onLine?: (line: string) => void,
  signal?: AbortSignal,
): Promise<CommandResult> {
  const [program = '', ...args] = argv;
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    const kill = (): void => {
      child.kill('SIGKILL');
    };
    signal?.addEventListener('abort', kill);
    if (onLine !== undefined) createInterface({ input: child.stdout }).on('line', onLine);
    child.stdout.on('data', (chunk) => {
      if (stdout.length < KEEP_CHARS) stdout += chunk;
    });
    child.stderr.on('data', (chunk) => {
      if (stderr.length < KEEP_CHARS) stderr += chunk;
    });
    const finish = (status: number): void => {
      signal?.removeEventListener('abort', kill);
      resolve({ status, stdout, stderr });
    };
    child.once('error', (error) => {
      stderr += error.message;
      finish(-1);
    });
    child.once('close', (status) => finish(status ?? -1));
  });
}
