/** UDP as fast as the sender can: what counts is what arrives. */
import {
  type Case,
  type CaseRun,
  carrierOf,
  type Direction,
  type Values,
  wordsOf,
} from './case.ts';
import { runIperf } from './iperf-run.ts';

async function measureFlood(run: CaseRun, direction: Direction, size: number): Promise<Values> {
  const { result, cpuS } = await runIperf(run, direction, ['-u', '-b', '0', '-l', String(size)]);
  const received = result.packets - result.lostPackets;
  if (received <= 0) throw new Error('no packet came through');
  return {
    kpps: received / result.seconds / 1e3,
    lossPct: (100 * result.lostPackets) / result.packets,
    cpuUsEach: (1e6 * cpuS) / received,
  };
}

const flood = (direction: Direction, size: number, quick: boolean): Case => ({
  name: `udp-${size}-${carrierOf(direction)}`,
  about: `UDP flood of ${size} bytes, ${wordsOf(direction)}`,
  direction,
  quick,
  run: (run) => measureFlood(run, direction, size),
});

export const UDP_FLOOD: readonly Case[] = [
  flood('to-host', 1400, true),
  flood('to-guest', 1400, false),
  flood('to-host', 64, false),
];
