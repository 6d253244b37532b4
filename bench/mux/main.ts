/**
 * Multiplexers beside each other, in one run: `node dist/bench/mux/main.js [--mb 256] [--runs 3]
 * [--yamux DIR]`. Two processes and one Unix socket each; MB/s and CPU s/GB (both ends) for 1 and 100
 * channels, opens a second (open, echo, close; 16 at a time), round trips idle and beside bulk, and
 * what a channel buffers whose reader stands still (both ends' memory). Medians of the runs.
 */
import { fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type BenchClient, type Contender, ECHO, SINK, STALL } from './contender.ts';
import { hawser, hawserStreams } from './hawser.ts';
import { http2Raised, raw } from './streams.ts';
import { yamuxFrom } from './yamux.ts';

const { values } = parseArgs({
  options: {
    mb: { type: 'string', default: '256' },
    runs: { type: 'string', default: '3' },
    only: { type: 'string' },
    yamux: { type: 'string' },
    serve: { type: 'string' },
    path: { type: 'string' },
  },
});
const TOTAL = Number(values.mb) << 20;
const contenders: Contender[] = [raw, hawser, hawserStreams, http2Raised];
if (values.yamux !== undefined) contenders.push(await yamuxFrom(values.yamux));

interface Usage {
  readonly cpuMs: number;
  readonly rss: number;
}

const usage = (): Usage => {
  const { user, system } = process.cpuUsage();
  return { cpuMs: (user + system) / 1000, rss: process.memoryUsage().rss };
};

if (values.serve !== undefined) {
  const contender = contenders.find(({ name }) => name === values.serve);
  await contender?.serve(values.path ?? '');
  process.on('message', () => process.send?.(usage()));
  process.on('disconnect', () => process.exit(0));
  process.send?.('ready');
} else await main();

async function main(): Promise<void> {
  const all = new Map<string, Array<Record<string, number>>>();
  for (let run = 0; run < Number(values.runs); run++) {
    for (const contender of contenders) {
      if (values.only !== undefined && !contender.name.startsWith(values.only)) continue;
      const results = all.get(contender.name) ?? [];
      results.push(await measure(contender));
      all.set(contender.name, results);
    }
  }
  const keys = Object.keys([...all.values()][0]?.[0] ?? {});
  process.stdout.write(`${''.padEnd(20)}${keys.map((key) => key.padStart(16)).join('')}\n`);
  for (const [name, results] of all) {
    const cells = keys.map((key) => {
      const sorted = results.map((result) => result[key] ?? 0).sort((a, b) => a - b);
      return (sorted[sorted.length >> 1] ?? 0).toPrecision(4).padStart(16);
    });
    process.stdout.write(`${name.padEnd(20)}${cells.join('')}\n`);
  }
}

async function measure(contender: Contender): Promise<Record<string, number>> {
  const dir = mkdtempSync(join(tmpdir(), 'mux-bench-'));
  const path = join(dir, 's');
  const extra = values.yamux === undefined ? [] : ['--yamux', values.yamux];
  const child = fork(fileURLToPath(import.meta.url), [
    '--serve',
    contender.name,
    '--path',
    path,
    ...extra,
  ]);
  await new Promise((resolve) => child.once('message', resolve));
  const server = (): Promise<Usage> =>
    new Promise((resolve) => {
      child.once('message', (message: Usage) => resolve(message));
      child.send('usage');
    });
  const client = await contender.connect(path);
  await bulk(client, 1, 32 << 20); // warm up
  await bulk(client, 100, 32 << 20);
  const one = await timed(server, () => bulk(client, 1, TOTAL));
  const hundred = await timed(server, () => bulk(client, 100, TOTAL));
  await opens(client, 1000);
  const opensPerSecond = await opens(client, 6000);
  const idle = await latency(client, 2000);
  const busy = bulk(client, 1, TOTAL * 2);
  let running = true;
  void busy.then(() => {
    running = false;
  });
  const beside = await latency(client, 3000, () => running);
  await busy;
  const before = await server();
  const ownBefore = usage();
  const stalled = await client.open(STALL);
  await stalled.stuff(300);
  const after = await server();
  const rows = {
    '1: MB/s': TOTAL / 1e3 / one.ms,
    '1: CPU s/GB': (one.cpuMs * 1e6) / TOTAL,
    '100: MB/s': TOTAL / 1e3 / hundred.ms,
    '100: CPU s/GB': (hundred.cpuMs * 1e6) / TOTAL,
    'opens/s': opensPerSecond,
    'idle p50 us': at(idle, 0.5),
    'loaded p50 us': at(beside, 0.5),
    'loaded p99 us': at(beside, 0.99),
    'stalled MB': (after.rss - before.rss + usage().rss - ownBefore.rss) / 1e6,
  };
  client.close();
  child.disconnect();
  await new Promise((resolve) => child.once('exit', resolve));
  rmSync(dir, { recursive: true });
  return rows;
}

async function bulk(client: BenchClient, channels: number, total: number): Promise<void> {
  const opened = await Promise.all(Array.from({ length: channels }, () => client.open(SINK)));
  await Promise.all(opened.map((channel) => channel.bulk(Math.ceil(total / channels))));
}

async function timed(
  server: () => Promise<Usage>,
  work: () => Promise<void>,
): Promise<{ ms: number; cpuMs: number }> {
  const before = await server();
  const own = usage();
  const from = performance.now();
  await work();
  const ms = performance.now() - from;
  const ownCpu = usage().cpuMs - own.cpuMs;
  return { ms, cpuMs: (await server()).cpuMs - before.cpuMs + ownCpu };
}

async function opens(client: BenchClient, count: number): Promise<number> {
  const from = performance.now();
  let left = count;
  const worker = async (): Promise<void> => {
    while (left-- > 0) {
      const channel = await client.open(ECHO);
      await channel.ping();
      channel.close();
    }
  };
  await Promise.all(Array.from({ length: 16 }, worker));
  return (count * 1000) / (performance.now() - from);
}

async function latency(
  client: BenchClient,
  count: number,
  more: () => boolean = () => true,
): Promise<number[]> {
  const channel = await client.open(ECHO);
  await channel.ping();
  const times: number[] = [];
  while (times.length < count && more()) {
    const from = performance.now();
    await channel.ping();
    times.push((performance.now() - from) * 1000);
  }
  channel.close();
  return times.sort((a, b) => a - b);
}

function at(sorted: readonly number[], share: number): number {
  return sorted[Math.floor(sorted.length * share)] ?? 0;
}
