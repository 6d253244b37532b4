/** Two contenders, case by case in turn, so that what changes from one moment to the next is in both. */
import { CASES } from './cases/all.ts';
import type { Case, Values } from './cases/case.ts';
import type { Started } from './peers/peer.ts';
import { figureOf } from './report/statistics.ts';
import { type Lab, PORTS } from './rig/lab.ts';
import { netbench } from './rig/netbench.ts';

const PROBE_S = 10;

/** What is compared of each case, and whether more is better. */
const ALL_ROWS: readonly Row[] = [
  ['tcp-g2h-1', 'gbps', 'TCP guest to host, Gbit/s', 'more'],
  ['tcp-g2h-1', 'cpuSPerGb', 'CPU s/GB', 'less'],
  ['tcp-h2g-1', 'gbps', 'TCP host to guest, Gbit/s', 'more'],
  ['tcp-h2g-1', 'cpuSPerGb', 'CPU s/GB', 'less'],
  ['rr-g2h', 'p50Us', 'request and response guest to host, p50 us', 'less'],
  ['rr-h2g', 'p50Us', 'request and response host to guest, p50 us', 'less'],
  ['crr-g2h-32', 'rate', 'connections/s guest to host, 32 at once', 'more'],
  ['crr-g2h-32', 'cpuUsEach', 'CPU us each', 'less'],
  ['crr-h2g-32', 'rate', 'connections/s host to guest, 32 at once', 'more'],
  ['crr-h2g-32', 'cpuUsEach', 'CPU us each', 'less'],
  ['udp-1400-g2h', 'kpps', 'UDP guest to host, 1400 bytes, kpps', 'more'],
  ['udp-1400-g2h', 'cpuUsEach', 'CPU us each', 'less'],
  ['udp-1400-h2g', 'kpps', 'UDP host to guest, 1400 bytes, kpps', 'more'],
  ['udp-1400-h2g', 'cpuUsEach', 'CPU us each', 'less'],
];

type Row = readonly [name: string, key: string, label: string, better: 'more' | 'less'];

export interface Contender {
  readonly lab: Lab;
  readonly peer: Started;
}

export interface PairsRequest {
  /** How often each case runs for each. */
  readonly rounds: number;
  /** Of one run. */
  readonly seconds: number;
  /** Of cases, with commas; `all`. */
  readonly names: string;
  /** Whether the second is the first to run. */
  readonly isReverse?: boolean;
}

function caseNamed(name: string): Case {
  const found = CASES.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no case ${name}`);
  return found;
}

const digits = (value: number): string => `${Number(value.toPrecision(3))}`;

/** The ratio is that of what is better when it is more. */
function rowOf(pairs: readonly (readonly [Values, Values])[], [, key, label, better]: Row): string {
  const [one, two] = [pairs.map(([a]) => a[key] ?? 0), pairs.map(([, b]) => b[key] ?? 0)];
  const ratios = one.map((value, i) =>
    better === 'more' ? (two[i] ?? 0) / value : value / (two[i] ?? 0),
  );
  const [first, second, ratio] = [figureOf(one), figureOf(two), figureOf(ratios)];
  if (first === undefined || second === undefined || ratio === undefined) return '';
  const spread = `${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)}`;
  return `| ${label} | ${digits(first.median)} | ${digits(second.median)} | **${ratio.median.toFixed(2)}** (${spread}) |\n`;
}

/** Until it answers. */
async function reach({ lab, peer }: Contender): Promise<void> {
  const args = ['probe', peer.toHost ?? '', PORTS.host.echo, PROBE_S * 1000];
  await netbench(lab, lab.guest, args, PROBE_S);
}

/** @param isReverse whether the second is measured before the first */
export async function inTurn<Subject, T>(
  measure: (subject: Subject) => Promise<T>,
  first: Subject,
  second: Subject,
  isReverse: boolean,
): Promise<[T, T]> {
  const early = isReverse ? undefined : await measure(first);
  const two = await measure(second);
  return [early ?? (await measure(first)), two];
}

/** Of each case, what was measured of the first and of the second. */
export type Pairs = Map<string, [Values, Values][]>;

const rowsOf = (names: string): readonly Row[] =>
  ALL_ROWS.filter(([name]) => names === 'all' || names.split(',').includes(name));

/**
 * Each round begins with the other one; the first is not counted: code is compiled meanwhile.
 *
 * @param pairs what was measured before; added to
 */
export async function measurePairs(
  first: Contender,
  second: Contender,
  { rounds, seconds, names, isReverse = false }: PairsRequest,
  pairs: Pairs = new Map(),
): Promise<Pairs> {
  for (const contender of [first, second]) await reach(contender);
  for (let round = 0; round <= rounds; round++) {
    for (const name of new Set(rowsOf(names).map(([of]) => of))) {
      const run = ({ lab, peer }: Contender): Promise<Values> =>
        caseNamed(name).run({ lab, peer, seconds });
      const pair = await inTurn(run, first, second, (round % 2 === 0) === isReverse);
      if (round > 0) pairs.set(name, [...(pairs.get(name) ?? []), pair]);
    }
  }
  return pairs;
}

/** @returns a table of Markdown: medians, and the second over the first */
export function tableOf(about: string, first: string, second: string, pairs: Pairs): string {
  const head = `| ${about} | ${first} | ${second} | ${second} over ${first} |`;
  const body = ALL_ROWS.map((row) => rowOf(pairs.get(row[0]) ?? [], row)).join('');
  return `${head}\n|---|---|---|---|\n${body}`;
}
