/** One peer through all its cases, in a lab of its own. */
import { messageOf } from '../src/network/errors.ts';
import type { Case, Values } from './cases/case.ts';
import type { BenchOptions } from './options.ts';
import type { Peer, Started } from './peers/peer.ts';
import { type Lab, PORTS } from './rig/lab.ts';
import { netbench, startEchoServers } from './rig/netbench.ts';
import { disturbance, listenForNoise, type Noise, QUIET_PCT, quiet } from './rig/noise.ts';
import { READY, type Sample } from './sample.ts';

const PROBE_S = 10;
/** A sample that was disturbed is taken again. */
const ATTEMPTS = { quick: 1, full: 3 };
const PATIENCE_MS = { quick: 5000, full: 60_000 };

export interface MeasureRequest {
  readonly options: BenchOptions;
  readonly peer: Peer;
  readonly mtu: number;
  readonly repetition: number;
  onSample(sample: Sample): void;
}

interface Attempt {
  readonly values: Values;
  readonly noise: Noise;
  readonly error?: string;
}

async function attempt(work: () => Promise<Values>): Promise<Attempt> {
  const noise = listenForNoise();
  try {
    return { values: await work(), noise: noise() };
  } catch (error) {
    return { values: {}, noise: noise(), error: messageOf(error) };
  }
}

/** The attempt that was least disturbed; one that failed only when all did. */
function better(one: Attempt | undefined, other: Attempt): Attempt {
  if (one === undefined || other.error === undefined) {
    const isWorse =
      one !== undefined &&
      one.error === undefined &&
      disturbance(one.noise) < disturbance(other.noise);
    return isWorse ? one : other;
  }
  return one;
}

async function repeatUntilQuiet(
  kind: 'quick' | 'full',
  work: () => Promise<Values>,
): Promise<Attempt> {
  let best: Attempt | undefined;
  for (let left = ATTEMPTS[kind]; left > 0; left--) {
    await quiet(PATIENCE_MS[kind]);
    best = better(best, await attempt(work));
    if (best.error === undefined && disturbance(best.noise) <= QUIET_PCT) break;
  }
  return best ?? (await attempt(work));
}

/** Whether connections of the case can be made through the peer. */
const applies = (one: Case, peer: Started): boolean =>
  one.direction !== 'to-host' || peer.toHost !== undefined;

export async function measurePeer(lab: Lab, request: MeasureRequest): Promise<void> {
  const { options, peer, mtu, repetition, onSample } = request;
  const kind = options.quick ? 'quick' : 'full';
  const id = { peer: `${peer.name}@${mtu}`, repetition };
  await startEchoServers(lab);
  await quiet(PATIENCE_MS[kind]);
  const starting: { peer?: Started } = {};
  const ready = await attempt(async () => {
    const from = performance.now();
    const made = await peer.start(lab, mtu);
    starting.peer = made;
    const toHost = made.toHost !== undefined;
    const port = toHost ? PORTS.host.echo : PORTS.guest.echo;
    const target = made.toHost ?? made.toGuest;
    const args = ['probe', target, port, PROBE_S * 1000];
    await netbench(lab, toHost ? lab.guest : lab.host, args, PROBE_S);
    return { ms: performance.now() - from };
  });
  onSample({ ...id, case: READY, ...ready });
  const { peer: started } = starting;
  if (ready.error !== undefined || started === undefined) return;
  await started.publish?.();
  for (const one of options.cases.filter((wanted) => applies(wanted, started))) {
    const run = { lab, peer: started, seconds: options.seconds };
    const best = await repeatUntilQuiet(kind, () => one.run(run));
    onSample({ ...id, case: one.name, ...best });
    const dead = started.daemons.find(({ isRunning }) => !isRunning);
    if (dead !== undefined) throw new Error(`ended during ${one.name}: ${dead.stderr.slice(-300)}`);
  }
}
