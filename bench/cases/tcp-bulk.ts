/** TCP throughput, and what it costs the peer. */
import {
  type Case,
  type CaseRun,
  carrierOf,
  type Direction,
  type Values,
  wordsOf,
} from './case.ts';
import { runIperf } from './iperf-run.ts';

const LEAST_BYTES = 1e5;

export async function measureBulk(
  run: CaseRun,
  direction: Direction,
  args: readonly string[],
): Promise<Values> {
  const { result, cpuS } = await runIperf(run, direction, args);
  if (result.receivedBytes < LEAST_BYTES) throw new Error('no data came through');
  const gb = result.receivedBytes / 1e9;
  return { gbps: result.bitsPerSecond / 1e9, cpuSPerGb: cpuS / gb };
}

function bulk(direction: Direction, streams: number, quick: boolean): Case {
  return {
    name: `tcp-${carrierOf(direction)}-${streams}`,
    about: `TCP throughput ${wordsOf(direction)}, ${streams} at once`,
    direction,
    quick,
    run: (run) => measureBulk(run, direction, ['-P', String(streams)]),
  };
}

export const TCP_BULK: readonly Case[] = [
  bulk('to-host', 1, true),
  bulk('to-host', 8, false),
  bulk('to-guest', 1, true),
  bulk('to-guest', 8, false),
  {
    name: 'tcp-h2g-1-back',
    about: 'TCP throughput guest to host on a connection that the host opened',
    direction: 'to-guest',
    quick: true,
    run: (run) => measureBulk(run, 'to-guest', ['-R']),
  },
];
