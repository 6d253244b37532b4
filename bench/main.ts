/**
 * `hawser bench`: hawser and its peers beside each other, in one run.
 *
 * Each peer carries traffic between two real kernels, in namespaces that are made and removed for it.
 * Repetitions are the outer loop: what changes on the machine in the course of a run meets all peers.
 */
import { setPriority } from 'node:os';
import type { BenchCommandRequest } from '../src/cli/commands/bench.ts';
import { messageOf, RunError } from '../src/network/errors.ts';
import { CASES } from './cases/all.ts';
import { describeMachine, describeSettings, describeVersions } from './machine.ts';
import { measurePeer } from './measure-peer.ts';
import { type BenchOptions, benchOptions } from './options.ts';
import { DROP_INS, PEERS } from './peers/all.ts';
import type { Peer } from './peers/peer.ts';
import { writeReport } from './report/write.ts';
import { missingRequirements } from './requirements.ts';
import { allowCubic } from './rig/congestion.ts';
import { Lab } from './rig/lab.ts';
import { disturbance } from './rig/noise.ts';
import { tool } from './rig/tools.ts';
import type { Contender, Results, Sample } from './sample.ts';

const PRIORITY = -5;
const SIGNALS = ['SIGINT', 'SIGTERM'] as const;
const EXIT_INTERRUPTED = 1;

interface Plan {
  readonly runs: readonly { readonly peer: Peer; readonly mtu: number }[];
  readonly leftOut: readonly string[];
}

/** What can be run, each peer at each MTU that it works with. */
function makePlan({ peers, mtus }: BenchOptions): Plan {
  const leftOut: string[] = [];
  const present = peers.filter((peer) => {
    const why = peer.missing();
    if (why !== undefined) leftOut.push(`${peer.name}: ${why}`);
    return why === undefined;
  });
  const runs = mtus.flatMap((mtu) =>
    present
      .filter(({ name, onlyMtu = mtu }) => {
        if (onlyMtu !== mtu) leftOut.push(`${name} at MTU ${mtu}: it works at ${onlyMtu} only`);
        return onlyMtu === mtu;
      })
      .map((peer) => ({ peer, mtu })),
  );
  return { runs, leftOut };
}

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

function saySample({ peer, repetition, case: name, values, noise, error }: Sample): void {
  const figures = Object.entries(values).map(([key, value]) => `${key}=${value.toPrecision(3)}`);
  const text = error === undefined ? figures.join(' ') : `FAILED: ${error}`;
  const about = `${peer.padEnd(18)} #${repetition} ${name.padEnd(18)}`;
  say(`${about} ${text}  [others ${disturbance(noise).toFixed(0)} %]`);
}

function list(): number {
  for (const peer of [...PEERS, ...DROP_INS]) {
    const why = peer.missing();
    process.stdout.write(
      `${peer.name.padEnd(22)} ${why === undefined ? 'peer' : `peer, left out: ${why}`}\n`,
    );
  }
  for (const { name, about } of CASES) process.stdout.write(`${name.padEnd(22)} ${about}\n`);
  return 0;
}

/** @returns the exit status */
export async function runBench(request: BenchCommandRequest): Promise<number> {
  if (request.list) return list();
  const options = benchOptions(request);
  const missing = missingRequirements();
  if (missing.length > 0) throw new RunError(`the benchmark needs: ${missing.join('; ')}`);
  const { runs, leftOut } = makePlan(options);
  for (const line of leftOut) say(`left out: ${line}`);
  if (runs.length === 0) throw new RunError('none of the peers can be measured here');
  for (const name of ['tapbridge', 'netbench'] as const) tool(name);
  try {
    setPriority(PRIORITY);
  } catch {
    say('measured at normal priority: a higher one was refused');
  }
  const results = await measureAll(options, runs, leftOut);
  process.stdout.write(`${await writeReport(results, options.outDir)}\n`);
  return results.samples.some(({ error }) => error === undefined) ? 0 : 1;
}

async function measureAll(
  options: BenchOptions,
  runs: Plan['runs'],
  leftOut: readonly string[],
): Promise<Results> {
  const contenders = runs.map(
    ({ peer: { name, ours }, mtu }): Contender => ({ id: `${name}@${mtu}`, name, mtu, ours }),
  );
  const samples: Sample[] = [];
  let congestion = '';
  let lab: Lab | undefined;
  const restore = allowCubic();
  const leave = (): void => {
    lab?.abandon();
    restore();
    process.exit(EXIT_INTERRUPTED);
  };
  for (const signal of SIGNALS) process.on(signal, leave);
  try {
    for (let repetition = 1; repetition <= options.repetitions; repetition++) {
      for (const { peer, mtu } of runs) {
        const onSample = (sample: Sample): void => {
          samples.push(sample);
          saySample(sample);
        };
        lab = new Lab();
        try {
          congestion = lab.build();
          await measurePeer(lab, { options, peer, mtu, repetition, onSample });
        } catch (error) {
          const noise = { foreignPct: 0, stealPct: 0 };
          const id = { peer: `${peer.name}@${mtu}`, repetition, case: 'peer' };
          onSample({ ...id, values: {}, noise, error: messageOf(error) });
        } finally {
          await lab.close();
          lab = undefined;
        }
      }
    }
  } finally {
    for (const signal of SIGNALS) process.off(signal, leave);
    restore();
  }
  return {
    made: new Date().toISOString(),
    machine: describeMachine(),
    settings: describeSettings(options, congestion),
    versions: describeVersions([...new Set(runs.map(({ peer }) => peer))]),
    leftOut,
    contenders,
    samples,
  };
}
