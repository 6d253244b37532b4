/** The attack table, for people. */
import { ATTACKS } from './attacks.ts';
import type { Baseline, Measured, Phase } from './measure.ts';
import { ALL_KINDS, answeredPct, failures, GROUPS, worstFactor, worstP99Ms } from './verdict.ts';

const HEAD = [
  'attack',
  ...Object.keys(GROUPS).map((group) => `${group}, %`),
  'p99, ms',
  'times',
  'turn, ms',
  'API p99, ms',
  'RSS, MB',
  'back, s',
  'descriptors',
  'back, s',
  'after, %',
];

/** Of no answer at all there is no time. */
const ms = (value: number): string => (value === 0 ? '–' : value.toFixed(1));
const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
const shares = ({ services }: Phase): string[] =>
  Object.values(GROUPS).map((kinds) => answeredPct(services, kinds).toFixed(1));
const seconds = (value: number | undefined): string =>
  value === undefined ? 'no' : value.toFixed(0);

function attackRow(measured: Measured, base: Baseline): string {
  const { during, after, idle, limit } = measured;
  const about = ATTACKS.find(({ name }) => name === measured.attack)?.about ?? '';
  const isGood = failures(measured, base).length === 0;
  return row([
    `${isGood ? '' : '**'}${measured.attack}${isGood ? '' : '**'}: ${about}`,
    ...shares(during),
    ms(worstP99Ms(during.services, ALL_KINDS)),
    ms(worstFactor(during.services, base.busy.services)),
    during.seen.turnMs.toFixed(1),
    during.seen.apiP99Ms.toFixed(0),
    (during.seen.rssMb - idle.rssMb).toFixed(0),
    seconds(measured.rssBackS),
    `${during.seen.descriptors} of ${limit}`,
    seconds(measured.descriptorsBackS),
    answeredPct(after.services, ALL_KINDS).toFixed(1),
  ]);
}

function baseRow(name: string, { services, seen }: Phase, busy: Phase): string {
  return row([
    name,
    ...shares({ services, seen, noise: busy.noise }),
    worstP99Ms(services, ALL_KINDS).toFixed(1),
    worstFactor(services, busy.services).toFixed(1),
    seen.turnMs.toFixed(1),
    seen.apiP99Ms.toFixed(0),
    ...['', '', `${seen.descriptors}`, '', ''],
  ]);
}

/** Markdown, for `docs/security.md`. */
export function attackTable(base: Baseline, attacks: readonly Measured[]): string {
  return [
    row(HEAD),
    row(HEAD.map(() => '---')),
    baseRow('none', base.quiet, base.busy),
    baseRow('none, the machine as busy', base.busy, base.busy),
    ...attacks.map((measured) => attackRow(measured, base)),
  ].join('\n');
}

const BEGIN = '<!-- attacks: npm run bench:hostile -- --docs -->';
const END = '<!-- end of attacks -->';

/** Put the table where a document has its place. @throws Error when it has none */
export function replaceTable(document: string, table: string): string {
  const begin = document.indexOf(BEGIN);
  const end = document.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`no place for the table: ${BEGIN} ... ${END}`);
  return `${document.slice(0, begin)}${BEGIN}\n${table}\n${document.slice(end)}`;
}
