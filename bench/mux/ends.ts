/** The two processes of a measurement: the client's forks the server's, and asks what it has used. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BenchClient, Contender } from './contender.ts';

export interface Usage {
  readonly cpuMs: number;
  /**
   * What garbage collections leave: of the heap, outside of it, and of the contender's own. Not what is
   * resident: V8 gives pages back when it likes, many more than a channel holds.
   */
  readonly memoryBytes: number;
}

type Question = 'cpu' | 'memory';

/** What lies outside of the heap goes some time after the object that held it. */
const COLLECTIONS = 5;
const COLLECTION_MS = 20;

async function use(question: Question, { ownMemory }: Contender): Promise<Usage> {
  const { user, system } = process.cpuUsage();
  const cpuMs = (user + system) / 1000;
  if (question === 'cpu') return { cpuMs, memoryBytes: 0 };
  if (globalThis.gc === undefined) throw new Error('memory is measured with --expose-gc only');
  for (let i = 0; i < COLLECTIONS; i++) {
    globalThis.gc();
    await sleep(COLLECTION_MS);
  }
  const { heapUsed, external } = process.memoryUsage();
  return { cpuMs, memoryBytes: heapUsed + external + (ownMemory?.() ?? 0) };
}

/** Runs in the server's process, until the client's ends. */
export async function serveUntilLeft(contender: Contender, path: string): Promise<void> {
  await contender.serve(path);
  process.on('message', (question: Question) => {
    void use(question, contender).then((usage) => process.send?.(usage));
  });
  process.on('disconnect', () => process.exit(0));
  process.send?.('ready');
}

/** Both ends of a contender, in two processes that have done nothing else. */
export class Ends {
  readonly client: BenchClient;
  private readonly contender: Contender;
  private readonly server: ChildProcess;

  private constructor(contender: Contender, client: BenchClient, server: ChildProcess) {
    this.contender = contender;
    this.client = client;
    this.server = server;
  }

  /** @param serverArgs of this program, for the server's process; its socket's path is added */
  static async run<T>(
    contender: Contender,
    serverArgs: readonly string[],
    work: (ends: Ends) => Promise<T>,
  ): Promise<T> {
    const dir = mkdtempSync(join(tmpdir(), 'mux-bench-'));
    const path = join(dir, 's');
    const [, main = ''] = process.argv;
    const server = fork(main, [...serverArgs, '--path', path]);
    try {
      await once(server, 'message');
      const client = await contender.connect(path);
      const result = await work(new Ends(contender, client, server));
      client.close();
      return result;
    } finally {
      server.disconnect();
      await once(server, 'exit');
      rmSync(dir, { recursive: true });
    }
  }

  /** Of both. */
  async usage(question: Question): Promise<Usage> {
    this.server.send(question);
    const [theirs]: Usage[] = await once(this.server, 'message');
    const own = await use(question, this.contender);
    if (theirs === undefined) throw new Error('the server said nothing');
    return {
      cpuMs: own.cpuMs + theirs.cpuMs,
      memoryBytes: own.memoryBytes + theirs.memoryBytes,
    };
  }
}
