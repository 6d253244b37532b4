/** What is measured of one contender, each in processes that have run nothing else. */
import { type BenchClient, ECHO, SINK, STALL } from './contender.ts';
import type { Ends } from './ends.ts';

const MANY = 100;
/** So that the compiler is done before the clock runs. */
const WARM_UP_BYTES = 512 << 20;
const OPENS = 6000;
/** Most of what an open runs is run once for each: fewer are still measured while they are being compiled. */
const WARM_UP_OPENS = 20_000;
const OPENS_AT_A_TIME = 16;
const IDLE_PINGS = 3000;
const LOADED_PINGS = 5000;
/** Their windows, of up to 1 MiB each, fit into that of node:http2's connection. */
const STALLED = 15;
const STALLED_AFTER_MS = 300;

export type Values = Readonly<Record<string, number>>;

/** @param total bytes of a bulk transfer */
export async function measureSpeed(ends: Ends, total: number): Promise<Values> {
  const { client } = ends;
  await bulk(client, 1, WARM_UP_BYTES);
  await bulk(client, MANY, WARM_UP_BYTES);
  const one = await timed(ends, () => bulk(client, 1, total));
  const many = await timed(ends, () => bulk(client, MANY, total));
  await opens(client, WARM_UP_OPENS);
  const opensPerSecond = await opens(client, OPENS);
  const idle = await latency(client, IDLE_PINGS);
  let running = true;
  const busy = bulk(client, 1, total * 2).then(() => {
    running = false;
  });
  const loaded = await latency(client, LOADED_PINGS, () => running);
  await busy;
  return {
    oneMBps: total / 1e3 / one.ms,
    oneCpu: (one.cpuMs * 1e6) / total,
    manyMBps: total / 1e3 / many.ms,
    manyCpu: (many.cpuMs * 1e6) / total,
    opens: opensPerSecond,
    idleP50: at(idle, 0.5),
    idleP99: at(idle, 0.99),
    loadedP50: at(loaded, 0.5),
    loadedP99: at(loaded, 0.99),
  };
}

/** Channels whose reader stands still: what each of them takes, and what it costs both ends. */
export async function measureStall(ends: Ends): Promise<Values> {
  const { client } = ends;
  await latency(client, IDLE_PINGS); // compiled code is no part of it
  const before = await ends.usage('memory');
  let taken = 0;
  for (let i = 0; i < STALLED; i++) {
    const channel = await client.open(STALL);
    taken += await channel.stuff(STALLED_AFTER_MS);
  }
  const after = await ends.usage('memory');
  await latency(client, IDLE_PINGS); // or the others stand still too
  return {
    stalledTaken: taken / STALLED / 1024,
    stalledMemory: (after.memoryBytes - before.memoryBytes) / STALLED / 1024,
  };
}

async function bulk(client: BenchClient, channels: number, total: number): Promise<void> {
  const opened = await Promise.all(Array.from({ length: channels }, () => client.open(SINK)));
  await Promise.all(opened.map((channel) => channel.bulk(Math.ceil(total / channels))));
}

async function timed(
  ends: Ends,
  work: () => Promise<void>,
): Promise<{ ms: number; cpuMs: number }> {
  const before = await ends.usage('cpu');
  const from = performance.now();
  await work();
  const ms = performance.now() - from;
  return { ms, cpuMs: (await ends.usage('cpu')).cpuMs - before.cpuMs };
}

/** Open, echo, close. */
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
  await Promise.all(Array.from({ length: OPENS_AT_A_TIME }, worker));
  return (count * 1000) / (performance.now() - from);
}

/** @returns round trips in microseconds, sorted */
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
