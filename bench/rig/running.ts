/** A program that runs beside the benchmark: watched for what it prints, ended by id. */
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { ENVIRONMENT } from './environment.ts';

const KEEP_CHARS = 1 << 20;
const GRACE_MS = 3000;

export interface RunningOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Descriptors from 3 on; each is a pipe to the program. */
  readonly extraPipes?: number;
}

export class Running {
  readonly child: ChildProcess;
  stdout = '';
  stderr = '';
  private readonly name: string;
  private readonly ended: Promise<unknown>;
  private wake: () => void = () => {};

  constructor(argv: readonly string[], options: RunningOptions = {}) {
    const [program = '', ...args] = argv;
    this.name = argv.join(' ');
    const pipes = Array.from({ length: options.extraPipes ?? 0 }, (): 'pipe' => 'pipe');
    const stdio: StdioOptions = ['pipe', 'pipe', 'pipe', ...pipes];
    this.child = spawn(program, args, { stdio, env: { ...ENVIRONMENT, ...options.env } });
    this.child.stdin?.on('error', () => {}); // it may end before it has read all
    this.child.stdout?.on('data', (chunk) => {
      this.stdout = `${this.stdout}${chunk}`.slice(-KEEP_CHARS);
      this.wake();
    });
    this.child.stderr?.on('data', (chunk) => {
      this.stderr = `${this.stderr}${chunk}`.slice(-KEEP_CHARS);
      this.wake();
    });
    this.child.on('error', (error) => {
      this.stderr += error.message;
    });
    this.ended = new Promise<void>((resolve) => {
      this.child.once('close', () => {
        resolve();
        this.wake();
      });
    });
  }

  /** 0 when it did not start. */
  get pid(): number {
    return this.child.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.pid !== 0 && this.child.exitCode === null && this.child.signalCode === null;
  }

  /** @throws when it ends, or `timeoutMs` pass, before it has printed `pattern` */
  async prints(pattern: RegExp, timeoutMs = 10_000): Promise<RegExpExecArray> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const found = pattern.exec(this.stdout) ?? pattern.exec(this.stderr);
      if (found !== null) return found;
      const left = deadline - performance.now();
      if (!this.isRunning || left <= 0) {
        const why = this.isRunning ? `did not print ${pattern}` : 'ended';
        throw new Error(`${this.name} ${why}: ${this.stderr.slice(-500)}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** First bytes that the program writes to a descriptor of `extraPipes`. */
  async says(fd: number): Promise<string> {
    const pipe = this.child.stdio[fd];
    if (pipe === null || pipe === undefined) throw new Error(`no pipe at descriptor ${fd}`);
    const chunk: unknown = await Promise.race([
      once(pipe, 'data').then(([data]: unknown[]) => data),
      this.ended,
    ]);
    if (chunk === undefined) throw new Error(`${this.name} ended: ${this.stderr.slice(-500)}`);
    return String(chunk);
  }

  /** Wait for its end; kill it when that takes longer than `timeoutMs`. @returns whether it ended by itself */
  async finish(timeoutMs: number): Promise<boolean> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.child.kill('SIGKILL');
    }, timeoutMs);
    await this.ended;
    clearTimeout(timer);
    return !late;
  }

  async stop(): Promise<void> {
    if (this.isRunning) this.child.kill('SIGTERM');
    await this.finish(GRACE_MS);
  }
}
