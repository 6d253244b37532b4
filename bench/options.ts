/** What `hawser bench` is asked to do, checked. */
import { join } from 'node:path';
import type { BenchCommandRequest } from '../src/cli/commands/bench.ts';
import { UsageError } from '../src/network/errors.ts';
import { decimal } from '../src/network/parsed.ts';
import { CASES } from './cases/all.ts';
import type { Case } from './cases/case.ts';
import { DROP_INS, PEERS } from './peers/all.ts';
import type { Peer } from './peers/peer.ts';

export interface BenchOptions {
  readonly quick: boolean;
  readonly peers: readonly Peer[];
  readonly cases: readonly Case[];
  readonly mtus: readonly number[];
  /** Of a case; some take less. */
  readonly seconds: number;
  readonly repetitions: number;
  readonly outDir: string;
}

const MTU = [576, 65_520] as const;
const SECONDS = [1, 600] as const;
const REPETITIONS = [1, 100] as const;
const FULL = { mtus: [1500, 65_520], seconds: 5, repetitions: 3 };
const QUICK = { mtus: [1500], seconds: 2, repetitions: 1 };

interface Named {
  readonly name: string;
}

function choose<T extends Named>(
  flag: string,
  text: string | undefined,
  known: readonly T[],
  problems: string[],
): readonly T[] | undefined {
  if (text === undefined) return undefined;
  const names = text.split(',');
  for (const name of names.filter((wanted) => !known.some((one) => one.name === wanted))) {
    problems.push(`${flag} ${name}: must be among ${known.map((one) => one.name).join(', ')}`);
  }
  return known.filter(({ name }) => names.includes(name));
}

function integers(
  flag: string,
  text: string | undefined,
  [least, most]: readonly [number, number],
  problems: string[],
): readonly number[] | undefined {
  if (text === undefined) return undefined;
  return text.split(',').map((part) => {
    const value = decimal(part, least, most);
    if (value === undefined)
      problems.push(`${flag} ${part}: must be an integer from ${least} to ${most}`);
    return value ?? least;
  });
}

function integer(
  flag: string,
  text: string | undefined,
  range: readonly [number, number],
  problems: string[],
): number | undefined {
  const values = integers(flag, text, range, problems);
  if (values !== undefined && values.length > 1)
    problems.push(`${flag} ${text}: must be one integer`);
  return values?.[0];
}

/** @throws UsageError that says what is allowed */
export function benchOptions(request: BenchCommandRequest): BenchOptions {
  const { quick, out } = request;
  const defaults = quick ? QUICK : FULL;
  const problems: string[] = [];
  const peers = choose('--peers', request.peers, [...PEERS, ...DROP_INS], problems);
  const cases = choose('--cases', request.cases, CASES, problems);
  const mtus = integers('--mtu', request.mtu, MTU, problems);
  const seconds = integer('--duration', request.duration, SECONDS, problems);
  const repetitions = integer('--repetitions', request.repetitions, REPETITIONS, problems);
  if (problems.length > 0) throw new UsageError(problems);
  const isPart = peers !== undefined || cases !== undefined || mtus !== undefined;
  const kind = quick ? 'quick' : isPart ? 'part' : 'full';
  return {
    quick,
    peers: peers ?? PEERS,
    cases: cases ?? CASES.filter((one) => !quick || one.quick),
    mtus: mtus ?? defaults.mtus,
    seconds: seconds ?? defaults.seconds,
    repetitions: repetitions ?? defaults.repetitions,
    outDir: out ?? join('bench', 'results', kind),
  };
}
