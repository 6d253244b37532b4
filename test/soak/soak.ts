/**
 * Soak: a real `hawser run` with two guests on one segment. One is hostile and never stops; the
 * other, a real kernel, keeps fetching and comparing sums. Meanwhile metrics are scraped and memory
 * is sampled. At the end the daemon must still run, have logged no error, have kept its memory, and
 * serve; and it must end by SIGTERM with status 0.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { parseAddress } from '../../src/services/address-text.ts';
import { download, upload } from '../system/support/clients.ts';
import type { Daemon } from '../system/support/daemon.ts';
import { GATEWAY, type Guest, HOST, Lab } from '../system/support/lab.ts';

const HOSTILE = fileURLToPath(new URL('./hostile-peer.js', import.meta.url));
const SAMPLE_MS = 2000;
const TRANSFER_BYTES = 1 << 20;
const MIB = 1 << 20;
/**
 * Memory may grow to its working size in the first third. Then the median of the last third may be
 * above that of the middle third by this much: what a heap breathes, and less than a leak of ten
 * bytes a frame over ten minutes.
 */
const GROWTH_BYTES = 48 * MIB;
/**
 * A connection that the hostile guest leaves open is no leak, and their number is limited: until it is reached,
 * each may cost what an idle one may.
 */
const CONNECTION_BYTES = 64 * 1024;
/** Never more than this, whatever a guest sends. */
const MOST_BYTES = 768 * MIB;
const REASONS_SHOWN = 12;
/** For a mebibyte of the good guest's, whatever the other does. */
const SLOWEST_MS = 15_000;
/** Of the good guest's server: the hostile guest keeps the other one busy, which is not ours to help. */
const GOOD_PORT = 8100;

interface HostileCounts {
  readonly sent: number;
  readonly received: number;
  /** Frames that answer the daemon's. */
  readonly answered: number;
  readonly connections: number;
}
const Counts: z.ZodType<HostileCounts> = z.object({
  sent: z.number(),
  received: z.number(),
  answered: z.number(),
  connections: z.number(),
});

export interface SoakReport {
  readonly seconds: number;
  /** Of the hostile guest. */
  readonly frames: HostileCounts;
  /** The most frequent first. */
  readonly drops: readonly (readonly [string, number])[];
  readonly rssMiB: { readonly start: number; readonly max: number; readonly end: number };
  /** Median of the last third less that of the middle third. */
  readonly growthMiB: number;
  /** The same for connections, and their number at the end. */
  readonly growthConnections: number;
  readonly connections: number;
  readonly transfers: number;
  readonly slowestTransferMs: number;
  readonly scrapes: number;
  readonly slowestScrapeMs: number;
}

export interface SoakOptions {
  readonly durationMs: number;
  readonly seed: number;
  /** Called with each sample. */
  readonly onSample?: (text: string) => void;
}

/** @throws when the daemon broke, grew, logged an error, or served badly */
export async function runSoak(options: SoakOptions): Promise<SoakReport> {
  const lab = await Lab.open();
  try {
    return await soak(lab, options);
  } finally {
    await lab.close();
  }
}

async function soak(lab: Lab, { durationMs, seed, onSample }: SoakOptions): Promise<SoakReport> {
  const socket = lab.path('qemu.sock');
  const guest = await lab.addGuest();
  await lab.startServers(lab.host);
  await lab.startServers(lab.host, '0.0.0.0', GOOD_PORT);
  const args = ['--listen', guest.link, '--listen', `qemu:${socket}`];
  const daemon = await lab.startDaemon([...args, '--log-format', 'json', '--log-level', 'info']);
  const errors = errorLines(daemon);
  const { address } = await guest.lease();
  await serves(guest);

  const spared = parseAddress(address)?.d ?? 0;
  const begin = performance.now();
  const end = begin + durationMs;
  const samples = new Samples(daemon);
  const hostile = lab.host.start([process.execPath, HOSTILE, socket, String(seed), String(spared)]);
  const transfers = new Transfers(guest, end);
  const transferring = transfers.run();
  transferring.catch(() => {}); // awaited below
  while (performance.now() < end) {
    assert.ok(daemon.isRunning, `the daemon ended: ${daemon.stderr.slice(-2000)}`);
    assert.ok(hostile.isRunning, `the hostile guest ended: ${hostile.stderr.slice(-2000)}`);
    await samples.take();
    onSample?.(`${samples.last} transfers=${transfers.done}`);
    await sleep(SAMPLE_MS);
  }
  await transferring;
  await samples.take();
  hostile.kill('SIGTERM');
  assert.equal(await hostile.exited, 0, hostile.stderr.slice(-2000));
  await serves(guest);
  assert.deepEqual(errors, [], 'log lines of level error');
  assert.equal(await daemon.stop('SIGTERM'), 0, 'status after SIGTERM');
  const report: SoakReport = {
    seconds: Math.round((performance.now() - begin) / 1000),
    frames: Counts.parse(JSON.parse(hostile.stdout)),
    drops: samples.topDrops(),
    rssMiB: samples.rssMiB(),
    growthMiB: growth(samples.rss) / MIB,
    growthConnections: growth(samples.connections),
    connections: samples.connections.at(-1) ?? 0,
    transfers: transfers.done,
    slowestTransferMs: Math.round(transfers.slowestMs),
    scrapes: samples.count,
    slowestScrapeMs: Math.round(samples.slowestMs),
  };
  checkReport(report);
  return report;
}

function checkReport(report: SoakReport): void {
  const text = JSON.stringify(report);
  assert.ok(report.transfers > 0, `nothing was transferred: ${text}`);
  assert.ok(report.slowestTransferMs < SLOWEST_MS, `service stood still: ${text}`);
  assert.ok(report.frames.sent > 1000, `hardly a frame was sent: ${text}`);
  assert.ok(report.frames.answered > 0, `no connection went further than its SYN: ${text}`);
  const mayGrow = GROWTH_BYTES + Math.max(report.growthConnections, 0) * CONNECTION_BYTES;
  assert.ok(report.growthMiB * MIB < mayGrow, `memory grows: ${text}`);
  assert.ok(report.rssMiB.max * MIB < MOST_BYTES, `memory is not bounded: ${text}`);
}

/** Collects the daemon's log lines of level error or above, as they come. */
function errorLines(daemon: Daemon): readonly string[] {
  const found: string[] = [];
  let rest = '';
  daemon.child.stderr?.on('data', (chunk) => {
    const lines = `${rest}${chunk}`.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const isLog = line.startsWith('{');
      if (!isLog || /"level":"(error|fatal)"/.test(line)) found.push(line);
    }
  });
  return found;
}

/** Everything that a guest uses, once. */
async function serves(guest: Guest): Promise<void> {
  const server = `http://${HOST}:${GOOD_PORT}`;
  await download(guest, server, TRANSFER_BYTES);
  await upload(guest, server, TRANSFER_BYTES);
  const name = await guest.run('dig', '+short', '+time=2', `@${GATEWAY}`, 'host.hawser.internal');
  assert.equal(name.trim(), HOST);
  assert.match(await guest.run('ping', '-c', '3', '-i', '0.1', '-w', '5', HOST), /3 received/);
}

/** Downloads, one after the other, until the time is over; each is compared with its sum. */
class Transfers {
  done = 0;
  slowestMs = 0;
  private readonly guest: Guest;
  private readonly end: number;

  constructor(guest: Guest, end: number) {
    this.guest = guest;
    this.end = end;
  }

  async run(): Promise<void> {
    while (performance.now() < this.end) {
      const begin = performance.now();
      await download(this.guest, `http://${HOST}:${GOOD_PORT}`, TRANSFER_BYTES);
      this.slowestMs = Math.max(this.slowestMs, performance.now() - begin);
      this.done++;
    }
  }
}

class Samples {
  slowestMs = 0;
  private readonly daemon: Daemon;
  readonly rss: number[] = [];
  readonly connections: number[] = [];
  private drops: (readonly [string, number])[] = [];

  constructor(daemon: Daemon) {
    this.daemon = daemon;
    this.rss.push(daemon.residentBytes);
  }

  get count(): number {
    return this.rss.length - 1;
  }

  get last(): string {
    const rss = Math.round((this.rss.at(-1) ?? 0) / MIB);
    return `rss=${rss}MiB dropped=${this.drops.reduce((sum, [, n]) => sum + n, 0)}`;
  }

  async take(): Promise<void> {
    const begin = performance.now();
    const text = await this.daemon.request('/metrics');
    this.slowestMs = Math.max(this.slowestMs, performance.now() - begin);
    const found = text.matchAll(/^hawser_drops_total\{reason="([^"]+)"\} (\d+)/gm);
    this.drops = [...found].map(([, reason = '', n]) => [reason, Number(n)] as const);
    const open = /^hawser_events_total\{group="stack",name="connections"\} (\d+)/m.exec(text)?.[1];
    this.connections.push(Number(open ?? Number.NaN));
    this.rss.push(this.daemon.residentBytes);
  }

  topDrops(): readonly (readonly [string, number])[] {
    return this.drops.toSorted((a, b) => b[1] - a[1]).slice(0, REASONS_SHOWN);
  }

  rssMiB(): SoakReport['rssMiB'] {
    const round = (bytes: number | undefined): number => Math.round((bytes ?? 0) / MIB);
    const { rss } = this;
    return { start: round(rss[0]), max: round(Math.max(...rss)), end: round(rss.at(-1)) };
  }
}

/** Median of the last third less that of the middle third. */
function growth(values: readonly number[]): number {
  const third = Math.floor(values.length / 3);
  return median(values.slice(2 * third)) - median(values.slice(third, 2 * third));
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
