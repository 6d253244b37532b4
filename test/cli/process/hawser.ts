/** `hawser` as users start it, for tests of its behaviour as a process. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const HAWSER: string = fileURLToPath(new URL('../../../bin/hawser.js', import.meta.url));

export interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class Program {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  stdout = '';
  stderr = '';
  private onText: () => void = () => {};

  constructor(command: string, args: readonly string[], options: SpawnOptions = {}) {
    this.child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe', 'pipe'], ...options });
    this.child.stdout?.on('data', (chunk) => this.add('stdout', chunk));
    this.child.stderr?.on('data', (chunk) => this.add('stderr', chunk));
    this.ended = once(this.child, 'close').then(([status, signal]) => ({ status, signal }));
    void this.ended.then(() => this.onText());
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** @throws Error when it ends before that was written */
  async says(pattern: RegExp, where: 'stdout' | 'stderr' = 'stderr'): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this[where]);
      if (match !== null) return match;
      const isOver = this.child.exitCode !== null || this.child.signalCode !== null;
      if (isOver) throw new Error(`ended without ${pattern}: ${this.stdout}${this.stderr}`);
      await new Promise<void>((resolve) => {
        this.onText = resolve;
      });
    }
  }

  private add(where: 'stdout' | 'stderr', chunk: unknown): void {
    this[where] += String(chunk);
    this.onText();
  }
}

/** A directory, and the programs started in it; none outlives the test. */
export class Workplace {
  readonly dir: string = mkdtempSync(join(tmpdir(), 'hawser-test-'));
  private readonly programs: Program[] = [];

  path(name: string): string {
    return join(this.dir, name);
  }

  start(command: string, args: readonly string[], options: SpawnOptions = {}): Program {
    const env = { ...process.env, XDG_RUNTIME_DIR: this.dir, ...options.env };
    const program = new Program(command, args, { ...options, env });
    this.programs.push(program);
    return program;
  }

  hawser(args: readonly string[], options: SpawnOptions = {}): Program {
    return this.start(process.execPath, [HAWSER, ...args], options);
  }

  /** `hawser run`, ready. */
  async daemon(args: readonly string[] = [], options: SpawnOptions = {}): Promise<Program> {
    const program = this.hawser(['run', '--log-format', 'json', ...args], options);
    await program.says(/hawser is ready/);
    return program;
  }

  async close(): Promise<void> {
    for (const { child } of this.programs) child.kill('SIGKILL');
    await Promise.all(this.programs.map(({ ended }) => ended));
    rmSync(this.dir, { recursive: true, force: true });
  }
}
