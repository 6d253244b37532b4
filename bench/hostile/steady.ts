/** The good guest's traffic, by `bench/tools/steady.c`: phases, and how its requests fared in each. */
import * as z from 'zod';
import type { Running } from '../rig/running.ts';

const Kind = z.object({
  sent: z.number(),
  answered: z.number(),
  p50: z.number(),
  p99: z.number(),
  max: z.number(),
});
const Line = z.object({ phase: z.string(), kinds: z.record(z.string(), Kind) });
const SETTLE_MS = 15_000;

/** Milliseconds. */
export interface Service {
  readonly sent: number;
  readonly answered: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}
export type Services = Readonly<Record<string, Service>>;

export class Steady {
  private readonly process: Running;
  private count = 0;

  constructor(process: Running) {
    this.process = process;
  }

  /** End a phase, and begin the next. @param name its own; the text of the regular expression of the one that reads it */
  begin(name: string): string {
    const unique = `${name}-${++this.count}`;
    this.process.child.stdin?.write(`${unique}\n`);
    return unique;
  }

  /** Of a phase that has been ended: its last requests are waited for. */
  async services(phase: string): Promise<Services> {
    const pattern = new RegExp(`^\\{"phase":"${phase}".*$`, 'm');
    const [line] = await this.process.prints(pattern, SETTLE_MS);
    return Line.parse(JSON.parse(line)).kinds;
  }

  async stop(): Promise<void> {
    await this.process.stop();
  }
}
