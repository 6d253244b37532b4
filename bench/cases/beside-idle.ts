/** Bulk and round trips while many idle connections are open. */
import { PORTS } from '../rig/lab.ts';
import { holdConnections } from '../rig/netbench.ts';
import { type Case, type CaseRun, targetOf, type Values } from './case.ts';
import { measureRoundTrips } from './latency.ts';
import { measureBulk } from './tcp-bulk.ts';

const COUNT = 1000;

async function besideIdle(run: CaseRun, measure: () => Promise<Values>): Promise<Values> {
  const { lab, peer } = run;
  const target = targetOf(peer, 'to-host');
  const connections = await holdConnections(lab, lab.guest, target, PORTS.host.echo, COUNT);
  try {
    return { ...(await measure()), held: connections.held };
  } finally {
    await connections.release();
  }
}

export const BESIDE_IDLE: readonly Case[] = [
  {
    name: 'idle-1000-tcp-g2h-1',
    about: `tcp-g2h-1 with ${COUNT} idle connections open`,
    direction: 'to-host',
    quick: false,
    run: (run) => besideIdle(run, () => measureBulk(run, 'to-host', ['-P', '1'])),
  },
  {
    name: 'idle-1000-rr-g2h',
    about: `rr-g2h with ${COUNT} idle connections open`,
    direction: 'to-host',
    quick: false,
    run: (run) => besideIdle(run, () => measureRoundTrips(run, 'to-host', 'rr', 1)),
  },
];
