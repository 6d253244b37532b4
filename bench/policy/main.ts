/**
 * What an egress policy costs: verdicts in the process; and two daemons with a guest each, one with 10,000 rules of all
 * kinds and one with none, as many names asked for by either guest, case by case in turn. What V8 makes of the same code
 * differs by a tenth from one start to the next, so that both are started many times.
 *
 * DNS is asked for 100 of these names, which are in the cache: what is left of an answer is what the policy costs.
 * And what hooks and the audit log cost (`asked`).
 *
 *     npm run bench:policy -- [verdicts,bulk,connections,dns,asked|all] [starts] [pairs] [seconds]
 */
import { measureRoundTrips } from '../cases/latency.ts';
import { measureBulk } from '../cases/tcp-bulk.ts';
import { inTurn } from '../pairs.ts';
import { figureOf } from '../report/statistics.ts';
import { missingRequirements } from '../requirements.ts';
import { Lab } from '../rig/lab.ts';
import { askedRows } from './asked.ts';
import { NAMES, type Subject, startSubject } from './subject.ts';
import { verdictRows } from './verdicts.ts';

const PARTS = ['verdicts', 'bulk', 'connections', 'dns', 'asked'] as const;
const [, , WANTED = 'all', ...COUNTS] = process.argv;
const [STARTS = 6, PAIRS = 3, SECONDS = 2] = COUNTS.map(Number);
const ASKED = 100;
const QUERIES = 8_000;
/** Rounds that are not counted: a policy is more code, which V8 compiles meanwhile, for some seconds of connections. */
const WARM_UP = 6;
/** Slices of DNS are short, and there are as many times more of them. */
const DNS_SLICES = 4;

const wants = (part: (typeof PARTS)[number]): boolean =>
  WANTED === 'all' || WANTED.split(',').includes(part);

/** What is measured at once: a figure for each label. */
interface Row {
  readonly labels: readonly string[];
  readonly better: 'more' | 'less';
  readonly pairs: number;
  measure(subject: Subject): Promise<readonly number[]>;
}

const ROWS: readonly (readonly [(typeof PARTS)[number], Row])[] = [
  [
    'bulk',
    {
      labels: ['TCP guest to host, Gbit/s'],
      better: 'more',
      pairs: PAIRS,
      measure: async ({ lab, peer }) => [
        (await measureBulk({ lab, peer, seconds: SECONDS }, 'to-host', ['-P', '1']))['gbps'] ?? 0,
      ],
    },
  ],
  [
    'connections',
    {
      labels: ['connections/s guest to host, 32 at once'],
      better: 'more',
      pairs: PAIRS,
      measure: async ({ lab, peer }) => [
        (await measureRoundTrips({ lab, peer, seconds: SECONDS }, 'to-host', 'crr', 32))['rate'] ??
          0,
      ],
    },
  ],
  [
    'dns',
    {
      labels: [`DNS, ${ASKED} names, median us`, `DNS, ${ASKED} names, CPU of the daemon, us each`],
      better: 'less',
      pairs: DNS_SLICES * PAIRS,
      measure: ({ asker }) => asker.ask(ASKED, QUERIES),
    },
  ],
];

/** Of each row, what was measured without a policy and with it. */
type Pair = readonly [without: readonly number[], withPolicy: readonly number[]];
type Pairs = Map<Row, Pair[]>;

/** @param isReverse whether the one with a policy is started before the other, and the first to be measured */
async function measureStart(isReverse: boolean, pairs: Pairs): Promise<void> {
  const labs = ['0', '1'].map((name) => new Lab([], name));
  try {
    const subjects: Subject[] = [];
    for (const [i, lab] of labs.entries()) {
      subjects.push(await startSubject(lab, (i === 1) !== isReverse));
    }
    const [without, withPolicy] = isReverse ? subjects.reverse() : subjects;
    if (without === undefined || withPolicy === undefined) throw new Error('two were started');
    for (const [row, list] of pairs) {
      for (let round = -WARM_UP; round < row.pairs; round++) {
        const isFirst = (round % 2 === 0) === isReverse;
        const pair = await inTurn((one) => row.measure(one), without, withPolicy, isFirst);
        if (round >= 0) list.push(pair);
      }
    }
  } finally {
    for (const lab of labs) await lab.close();
  }
}

function rowOf({ labels, better }: Row, list: readonly Pair[]): string {
  return labels
    .map((label, n) => {
      const without = list.map(([one]) => one[n] ?? 0);
      const withPolicy = list.map(([, other]) => other[n] ?? 0);
      return lineOf(label, better, without, withPolicy);
    })
    .join('');
}

function lineOf(
  label: string,
  better: Row['better'],
  without: readonly number[],
  withPolicy: readonly number[],
): string {
  const ratios = without.map((value, i) =>
    better === 'more' ? (withPolicy[i] ?? 0) / value : value / (withPolicy[i] ?? 1),
  );
  const [none, some, ratio] = [figureOf(without), figureOf(withPolicy), figureOf(ratios)];
  if (none === undefined || some === undefined || ratio === undefined) return '';
  const digits = (value: number): string => `${Number(value.toPrecision(4))}`;
  const spread = `${ratio.min.toFixed(3)}–${ratio.max.toFixed(3)}, ${ratio.count} pairs`;
  return `| ${label} | ${digits(none.median)} | ${digits(some.median)} | **${ratio.median.toFixed(3)}** (${spread}) |\n`;
}

async function measureDaemons(rows: readonly Row[]): Promise<void> {
  const pairs: Pairs = new Map(rows.map((row) => [row, []]));
  for (let start = 0; start < STARTS; start++) await measureStart(start % 2 === 1, pairs);
  process.stdout.write(
    `\nMedians of ${STARTS} starts (least–most), ${NAMES} rules and names; more is better in the last column.\n\n`,
  );
  process.stdout.write('| | without | with | with over without |\n|---|---|---|---|\n');
  for (const [row, list] of pairs) process.stdout.write(rowOf(row, list));
}

const missing = missingRequirements();
if (missing.length > 0) throw new Error(missing.join('\n'));
if (wants('verdicts')) process.stdout.write(verdictRows());
const rows = ROWS.filter(([part]) => wants(part)).map(([, row]) => row);
if (rows.length > 0) await measureDaemons(rows);
if (wants('asked')) process.stdout.write(await askedRows(STARTS, SECONDS));
