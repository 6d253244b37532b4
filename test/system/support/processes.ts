/** The processes of a lab: started in a namespace, killed by id when the lab closes. */
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { type CommandResult, runCommand } from '../../../src/lab/guest/run-command.ts';
import { until } from './until.ts';

const KEEP_CHARS = 200_000;
const COMMAND_TIMEOUT_MS = 120_000;

export class Background {
  readonly argv: readonly string[];
  readonly child: ChildProcess;
  stdout = '';
  stderr = '';
  readonly exited: Promise<number>;

  constructor(argv: readonly string[], options: SpawnOptions) {
    this.argv = argv;
    const [program = '', ...args] = argv;
    const stdio = options.stdio ?? ['ignore', 'pipe', 'pipe'];
    this.child = spawn(program, args, { stdio, env: { ...process.env, ...options.env } });
    this.child.stdout?.on('data', (chunk) => {
      this.stdout = `${this.stdout}${chunk}`.slice(-KEEP_CHARS);
    });
    this.child.stderr?.on('data', (chunk) => {
      this.stderr = `${this.stderr}${chunk}`.slice(-KEEP_CHARS);
    });
    this.exited = new Promise((resolve) => {
      this.child.once('error', (error) => {
        this.stderr += error.message;
        resolve(-1);
      });
      this.child.once('close', (status) => resolve(status ?? -1));
    });
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null && this.pid !== 0;
  }

  /** Wait until it has printed `pattern`. */
  async prints(pattern: RegExp, timeoutMs?: number): Promise<RegExpExecArray> {
    const found = await until(
      `${this.argv.join(' ')} to print ${pattern}`,
      () => {
        const match = pattern.exec(this.stdout) ?? pattern.exec(this.stderr);
        if (match === null && !this.isRunning) {
          throw new Error(`it ended: ${this.stderr.slice(-1000)}`);
        }
        return match ?? undefined;
      },
      timeoutMs,
    );
    return found;
  }

  kill(signal: NodeJS.Signals): void {
    if (this.isRunning) this.child.kill(signal);
  }

  async stop(signal: NodeJS.Signals = 'SIGKILL'): Promise<number> {
    this.kill('SIGCONT');
    this.kill(signal);
    return await this.exited;
  }
}

export interface SpawnOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdio?: StdioOptions;
}

export type { CommandResult };

/** Run to the end. Killed after two minutes. */
export async function command(argv: readonly string[]): Promise<CommandResult> {
  return await runCommand(argv, undefined, AbortSignal.timeout(COMMAND_TIMEOUT_MS));
}

/** Run to the end. @throws Error when it fails. @returns stdout */
export async function succeed(argv: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await command(argv);
  if (status === 0) return stdout;
  throw new Error(
    `${argv.join(' ')}: status ${status}: ${stderr.slice(-800)}${stdout.slice(-800)}`,
  );
}

/** Resident memory in bytes. */
export function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
}

/** CPU time used so far, in user mode and the kernel. */
export function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // After the name, which may hold spaces: utime and stime are the 12th and 13th, in ticks of 10 ms.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
