/** Memory and CPU of a peer that has little to do. */
import { setTimeout as sleep } from 'node:timers/promises';
import { PORTS } from '../rig/lab.ts';
import { holdConnections } from '../rig/netbench.ts';
import { cpuSeconds, memoryOf } from '../rig/proc.ts';
import { type Case, type CaseRun, daemonPids, targetOf, type Values } from './case.ts';

/** After the start: what it does then belongs to the start. */
const SETTLE_MS = 1000;
const IDLE_MS = 2000;

async function measureIdle({ peer }: CaseRun): Promise<Values> {
  await sleep(SETTLE_MS);
  const memory = memoryOf(daemonPids(peer));
  const before = cpuSeconds(daemonPids(peer));
  await sleep(IDLE_MS);
  const cpuS = cpuSeconds(daemonPids(peer)) - before;
  return { ...memory, cpuPct: (100_000 * cpuS) / IDLE_MS };
}

async function measureHeld({ lab, peer }: CaseRun, count: number): Promise<Values> {
  const target = targetOf(peer, 'to-host');
  const connections = await holdConnections(lab, lab.guest, target, PORTS.host.echo, count);
  const memory = memoryOf(daemonPids(peer));
  await connections.release();
  return { ...memory, held: connections.held };
}

const held = (count: number, quick: boolean): Case => ({
  name: `hold-${count}`,
  about: `memory with ${count} idle connections open`,
  direction: 'to-host',
  quick,
  run: (run) => measureHeld(run, count),
});

export const IDLE: Case = {
  name: 'idle',
  about: 'memory and CPU with nothing to do',
  direction: 'none',
  quick: true,
  run: measureIdle,
};

export const HOLD_1000: Case = held(1000, true);
export const HOLD_10000: Case = held(10_000, false);

export const AFTER_LOAD: Case = {
  name: 'after-load',
  about: 'memory after the cases before',
  direction: 'none',
  quick: true,
  run: ({ peer }) => Promise.resolve({ ...memoryOf(daemonPids(peer)) }),
};
