/** A daemon under attack, from outside: turns of its loop, memory, descriptors, log, and how fast its API answers. */
import { readdirSync } from 'node:fs';
import { get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiClient } from '../../src/control/client.ts';
import { guestsSchema, infoSchema } from '../../src/control/schema.ts';
import { memoryOf } from '../rig/proc.ts';
import type { Running } from '../rig/running.ts';

const API_EVERY_MS = 100;
const API_PATHS = ['/v1/health', '/v1/flows'];
const API_TIMEOUT_MS = 5_000;
const LOOK_EVERY_MS = 100;
/** For the end of a turn. */
const PATIENCE_MS = 20_000;

export interface DaemonWatchOptions {
  readonly probeFd: number;
  readonly api: string;
  /** `ulimit -n`. */
  readonly descriptors: number;
}

export interface Held {
  readonly rssMb: number;
  readonly descriptors: number;
}
/** What is there without an attack, and should be all that is there after one. */
export interface Left extends Held {
  /** Attached links. */
  readonly links: number;
}
/** What was seen in a phase: of what is held, the most. */
export interface Seen extends Held {
  /** CPU time of the loop's longest turn. */
  readonly turnMs: number;
  /** Turns above 20 ms. */
  readonly longTurns: number;
  /** Of the daemon's own thread, percent. */
  readonly cpuPct: number;
  readonly apiP99Ms: number;
  readonly apiFailed: number;
  readonly logKb: number;
}

export class DaemonWatch {
  readonly options: DaemonWatchOptions;
  readonly daemon: Running;
  private readonly client: ApiClient;
  private readonly timers: NodeJS.Timeout[] = [];
  private turnMs = 0;
  private longTurns = 0;
  private cpuMs = 0;
  private cpuAtBeginMs = 0;
  private begunAt = performance.now();
  private apiMs: number[] = [];
  private apiFailed = 0;
  private rssMb = 0;
  private descriptors = 0;
  private logBytes = 0;
  private asked = 0;
  private askedAtBegin = 0;
  private probed = 0;

  constructor(daemon: Running, options: DaemonWatchOptions) {
    this.daemon = daemon;
    this.options = options;
    this.client = new ApiClient({ kind: 'unix', path: options.api });
    let rest = '';
    daemon.child.stdio[options.probeFd]?.on('data', (chunk: Buffer) => {
      const lines = `${rest}${chunk.toString()}`.split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.onProbe(line);
    });
    daemon.child.stderr?.on('data', (chunk: Buffer) => {
      this.logBytes += chunk.length;
    });
    this.timers.push(
      setInterval(() => this.look(), LOOK_EVERY_MS),
      setInterval(() => this.ask(), API_EVERY_MS),
    );
  }

  get isRunning(): boolean {
    return this.daemon.isRunning;
  }

  /** Now, and not the most of a phase. */
  current(): Held {
    return { rssMb: memoryOf([this.daemon.pid]).rssMb, descriptors: this.openDescriptors() };
  }

  /**
   * Now, without the sockets of the guest at `address`: what others have left behind.
   */
  async leftByOthers(address: string): Promise<Left> {
    const { guests } = await this.client.get('/v1/guests', guestsSchema);
    const info = await this.client.get('/v1/info', infoSchema);
    const own = guests.find(({ addresses }) => addresses.includes(address));
    const { rssMb, descriptors } = this.current();
    return {
      rssMb,
      descriptors: descriptors - (own?.shares['sockets']?.held ?? 0),
      links: info.links.reduce((sum, { attachedGuests }) => sum + attachedGuests, 0),
    };
  }

  /** A phase begins. */
  begin(): void {
    this.begunAt = performance.now();
    this.askedAtBegin = this.asked;
    this.cpuAtBeginMs = this.cpuMs;
    this.turnMs = this.longTurns = this.apiFailed = this.rssMb = this.descriptors = 0;
    this.logBytes = 0;
    this.apiMs = [];
  }

  /** It ends. A turn that has not ended yet, and an answer that has not come, are waited for. */
  async end(): Promise<Seen> {
    this.look();
    const { asked, probed } = this;
    const deadline = performance.now() + PATIENCE_MS;
    while (this.isRunning && performance.now() < deadline) {
      if (this.probed > probed && this.apiMs.length >= asked - this.askedAtBegin) break;
      await sleep(LOOK_EVERY_MS);
    }
    const sorted = this.apiMs.toSorted((a, b) => a - b);
    return {
      turnMs: this.turnMs,
      longTurns: this.longTurns,
      cpuPct: (100 * (this.cpuMs - this.cpuAtBeginMs)) / (performance.now() - this.begunAt),
      apiP99Ms: sorted[Math.floor((sorted.length - 1) * 0.99)] ?? 0,
      apiFailed: this.apiFailed,
      rssMb: this.rssMb,
      descriptors: this.descriptors,
      logKb: this.logBytes / 1024,
    };
  }

  close(): void {
    for (const timer of this.timers) clearInterval(timer);
  }

  private onProbe(line: string): void {
    const [worst = 0, long = 0, cpu = 0] = line.split(' ').map(Number);
    this.turnMs = Math.max(this.turnMs, worst);
    this.longTurns += long;
    this.cpuMs = cpu;
    this.probed++;
  }

  private look(): void {
    if (!this.isRunning) return;
    const { rssMb, descriptors } = this.current();
    this.rssMb = Math.max(this.rssMb, rssMb);
    this.descriptors = Math.max(this.descriptors, descriptors);
  }

  private openDescriptors(): number {
    try {
      return readdirSync(`/proc/${this.daemon.pid}/fd`).length;
    } catch {
      return 0; // it has ended
    }
  }

  private ask(): void {
    if (!this.isRunning) return;
    const began = performance.now();
    const path = API_PATHS[this.asked++ % API_PATHS.length];
    const done = (failed: boolean): void => {
      this.apiMs.push(performance.now() - began);
      if (failed) this.apiFailed++;
    };
    const options = { socketPath: this.options.api, path, agent: false, timeout: API_TIMEOUT_MS };
    const request = get(options, (response) => {
      response.resume();
      response.on('end', () => done(response.statusCode !== 200));
    });
    request.on('timeout', () => request.destroy(new Error('no answer')));
    request.on('error', () => done(true));
  }
}
