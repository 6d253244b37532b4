/** What must hold while one guest attacks. */
import type { Left } from './daemon-watch.ts';
import {
  BACK_DESCRIPTORS,
  type Back,
  type Baseline,
  type Measured,
  type Phase,
  type Struck,
} from './measure.ts';
import type { Services } from './steady.ts';

export interface Bounds {
  readonly answeredPct: number;
  readonly p99Ms: number;
  /** Of the p99 beside no attack, on a machine as busy. */
  readonly p99Factor: number;
  readonly turnMs: number;
  readonly apiP99Ms: number;
  /** Above idle. */
  readonly rssMb: number;
}
export const BOUNDS: Bounds = {
  answeredPct: 99,
  p99Ms: 50,
  p99Factor: 3,
  turnMs: 20,
  apiP99Ms: 100,
  rssMb: 600,
};

/** Kinds of requests of the good guest, by what the table shows. */
export const GROUPS: Readonly<Record<string, readonly string[]>> = {
  TCP: ['tcp', 'connect'],
  UDP: ['udp', 'binding', 'fragments'],
  DNS: ['dns'],
  ping: ['ping'],
};

/** The least share of a group's kinds, percent. */
export function answeredPct(services: Services, kinds: readonly string[]): number {
  const shares = kinds.map((kind) => {
    const { sent = 0, answered = 0 } = services[kind] ?? {};
    return sent === 0 ? 0 : (100 * answered) / sent;
  });
  return Math.min(...shares);
}

export const worstP99Ms = (services: Services, kinds: readonly string[]): number =>
  Math.max(...kinds.map((kind) => services[kind]?.p99 ?? 0));

/** Each kind on its own: the worst factor. */
export function worstFactor(services: Services, base: Services): number {
  const factors = Object.keys(services).map(
    (kind) => (services[kind]?.p99 ?? 0) / Math.max(base[kind]?.p99 ?? 0, 0.01),
  );
  return Math.max(...factors);
}

export const ALL_KINDS: readonly string[] = Object.values(GROUPS).flat();

function serviceFailures({ services }: Phase, when: string, bounds: Bounds): string[] {
  return Object.entries(GROUPS).flatMap(([group, kinds]) => {
    const pct = answeredPct(services, kinds);
    if (pct >= bounds.answeredPct) return [];
    return [`${group} ${when}: ${pct.toFixed(1)} % answered (${countsOf(services, kinds)})`];
  });
}

/** Of those kinds of which some were lost: `udp 59 of 60`. */
const countsOf = (services: Services, kinds: readonly string[]): string =>
  kinds
    .map((kind) => ({ kind, sent: 0, answered: 0, ...services[kind] }))
    .filter(({ sent, answered }) => sent === 0 || answered < sent)
    .map(({ kind, sent, answered }) => `${kind} ${answered} of ${sent}`)
    .join(', ');

/** @returns a line for each bound that does not hold while it lasts, and right after it */
export function strikeFailures(struck: Struck, busy: Services, bounds: Bounds = BOUNDS): string[] {
  const { during, after, idle, died, limit } = struck;
  if (died !== undefined) return [`the daemon ended: ${died}`];
  const found = [
    ...serviceFailures(during, 'during', bounds),
    ...serviceFailures(after, 'after', bounds),
  ];
  const check = (what: string, value: number, most: number, unit: string): void => {
    if (value > most) found.push(`${what}: ${value.toFixed(1)} of ${most.toFixed(0)} ${unit}`);
  };
  const { services, seen } = during;
  check('p99', worstP99Ms(services, ALL_KINDS), bounds.p99Ms, 'ms');
  check('p99 factor', worstFactor(services, busy), bounds.p99Factor, 'times');
  check('longest turn', seen.turnMs, bounds.turnMs, 'ms');
  check('API p99', seen.apiP99Ms, bounds.apiP99Ms, 'ms');
  if (seen.apiFailed > 0) found.push(`API: ${seen.apiFailed} failed`);
  check('RSS above idle', seen.rssMb - idle.rssMb, bounds.rssMb, 'MB');
  check('descriptors', seen.descriptors, limit - 1, 'of the limit');
  return found;
}

export function backFailures(back: Back, idle: Left): string[] {
  const { end, aboveMb } = back;
  const found: string[] = [];
  if (back.rssBackS === undefined) {
    const more = (end.rssMb - idle.rssMb).toFixed(0);
    found.push(`RSS stays ${more} MB above idle (${aboveMb} are allowed)`);
  }
  if (back.descriptorsBackS === undefined) {
    const more = end.descriptors - idle.descriptors;
    found.push(`descriptors stay ${more} above idle (${BACK_DESCRIPTORS} are allowed)`);
  }
  if (back.linksBackS === undefined) {
    found.push(`${end.links} links stay attached, of ${idle.links} before`);
  }
  return found;
}

export const failures = (measured: Measured, { busy }: Baseline): string[] => [
  ...strikeFailures(measured, busy.services),
  ...(measured.died === undefined ? backFailures(measured, measured.idle) : []),
];
