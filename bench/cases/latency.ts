/** Round trips and connections a second. */
import { PORTS } from '../rig/lab.ts';
import { netbench } from '../rig/netbench.ts';
import {
  type Case,
  type CaseRun,
  carrierOf,
  type Direction,
  targetOf,
  type Values,
  withCpu,
  wordsOf,
} from './case.ts';

/** Round trips settle sooner than bulk. */
const SHARE_OF_SECONDS = 0.6;
const TCP_BYTES = 1;
const UDP_BYTES = 16;

type Mode = 'rr' | 'udprr' | 'crr';

/** @param extra bytes of a message; for `crr`, connections at once */
export async function measureRoundTrips(
  { lab, peer, seconds }: CaseRun,
  direction: Direction,
  mode: Mode,
  extra: number,
): Promise<Values> {
  const toHost = direction === 'to-host';
  const port = toHost ? PORTS.host.echo : PORTS.guest.echo;
  const duration = Math.max(1, seconds * SHARE_OF_SECONDS);
  const args = [mode, targetOf(peer, direction), port, duration, extra];
  const { result, cpuS } = await withCpu(peer, () =>
    netbench(lab, toHost ? lab.guest : lab.host, args, duration),
  );
  const { n = 0, rate = 0, p50_us = 0, p99_us = 0, failed = 0 } = result;
  if (n === 0) throw new Error(`no answer; ${failed} failed`);
  const counts = { sent: n + failed, answered: n };
  return { rate, p50Us: p50_us, p99Us: p99_us, ...counts, cpuUsEach: (1e6 * cpuS) / n };
}

const roundTrips = (mode: 'rr' | 'udprr', direction: Direction, quick: boolean): Case => ({
  name: `${mode}-${carrierOf(direction)}`,
  about: `${mode === 'rr' ? 'TCP' : 'UDP'} request and response, ${wordsOf(direction)}`,
  direction,
  quick,
  run: (run) => measureRoundTrips(run, direction, mode, mode === 'rr' ? TCP_BYTES : UDP_BYTES),
});

const connections = (direction: Direction, atOnce: number, quick: boolean): Case => ({
  name: `crr-${carrierOf(direction)}-${atOnce}`,
  about: `connect, request, response, close, ${wordsOf(direction)}, ${atOnce} at once`,
  direction,
  quick,
  run: (run) => measureRoundTrips(run, direction, 'crr', atOnce),
});

export const LATENCY: readonly Case[] = [
  roundTrips('rr', 'to-host', true),
  roundTrips('rr', 'to-guest', true),
  roundTrips('udprr', 'to-host', false),
  connections('to-host', 1, false),
  connections('to-host', 32, true),
  connections('to-guest', 1, false),
  connections('to-guest', 32, true),
];
