/**
 * Zones with records, changed while they are served: those of gvproxy's API. A zone has, in this order, names and patterns
 * of what stands before it, each with an address, and perhaps an address for every other name. It knows all names below
 * it: others do not exist.
 *
 * Bounded: zones, records in all, the length of each text, and what patterns are made of. Guests choose the names: a
 * pattern takes time in proportion to a name's length and to its own steps (RE2), and a query may have to try them all.
 */
import type { IpAddress } from '../../base/ip-address.ts';

export const ZONE_LIMITS = {
  zones: 1_024,
  records: 16_384,
  textChars: 1_024,
  /** Of all patterns: some milliseconds for the longest name. Simple patterns have a dozen. */
  patternSteps: 8_192,
} as const;

export interface ZoneRecord {
  /** Of the labels before the zone; empty: see `pattern`. */
  readonly name: string;
  /** Undefined: the name exists, and has none. */
  readonly address: IpAddress | undefined;
  readonly pattern: NamePattern | undefined;
}

export interface NamePattern {
  readonly text: string;
  /** What it is made of: a measure of its memory and time. */
  readonly steps: number;
  /** @param name in lower case */
  matches(name: string): boolean;
}

export interface RecordZone {
  /** As it was given: in any case, mostly with a last dot. */
  readonly name: string;
  readonly records: readonly ZoneRecord[];
  readonly defaultAddress: IpAddress | undefined;
}

/** Of a name below a zone. `zone`: in lower case, no last dot, empty for the root. */
export interface ZoneMatch {
  readonly zone: string;
  readonly address: IpAddress | undefined;
  /** No record has the name: the address, if any, is that of all others. */
  readonly isDefault: boolean;
}

interface Known {
  readonly zone: RecordZone;
  readonly suffix: string;
}

export type ZoneLimit = 'zones' | 'records' | 'text' | 'patterns';

export class ZoneTable {
  private known: readonly Known[] = [];
  private recordCount = 0;
  private patternSteps = 0;

  get zones(): readonly RecordZone[] {
    return this.known.map(({ zone }) => zone);
  }

  /** How many more patterns may have. */
  get freePatternSteps(): number {
    return ZONE_LIMITS.patternSteps - this.patternSteps;
  }

  /**
   * Of a zone that is there already, the new records come before the old, and the address for all other names is the new
   * one, or none.
   *
   * @returns the limit that it is beyond; nothing has changed then
   */
  add(zone: RecordZone): ZoneLimit | undefined {
    const records = this.recordCount + zone.records.length;
    if (records > ZONE_LIMITS.records) return 'records';
    const texts = [
      zone.name,
      ...zone.records.flatMap((one) => [one.name, one.pattern?.text ?? '']),
    ];
    if (texts.some((text) => text.length > ZONE_LIMITS.textChars)) return 'text';
    const steps = zone.records.reduce((sum, { pattern }) => sum + (pattern?.steps ?? 0), 0);
    if (steps > this.freePatternSteps) return 'patterns';
    const at = this.known.findIndex((known) => known.zone.name === zone.name);
    if (at < 0 && this.known.length >= ZONE_LIMITS.zones) return 'zones';
    this.recordCount = records;
    this.patternSteps += steps;
    const before = this.known[at]?.zone.records ?? [];
    const made: Known = {
      zone: { ...zone, records: [...zone.records, ...before] },
      suffix: zone.name.toLowerCase().replace(/\.$/, ''),
    };
    this.known = at < 0 ? [...this.known, made] : this.known.with(at, made);
    return undefined;
  }

  /**
   * By the first zone that the name is in or below, and that has an address for it: one that has none hides no other, for Lima
   * adds `internal.` and `lima.internal.` in any order.
   *
   * @param name in lower case, no last dot
   */
  find(name: string): ZoneMatch | undefined {
    let without: ZoneMatch | undefined;
    for (const { zone, suffix } of this.known) {
      const label = labelsBefore(name, suffix);
      if (label === undefined) continue;
      const record = label === '' ? undefined : zone.records.find((one) => isOf(one, label));
      if (record !== undefined) return { zone: suffix, address: record.address, isDefault: false };
      const match = { zone: suffix, address: zone.defaultAddress, isDefault: true };
      if (match.address !== undefined) return match;
      without ??= match;
    }
    return without;
  }
}

function labelsBefore(name: string, suffix: string): string | undefined {
  if (suffix === '' || name === suffix) return name === suffix ? '' : name;
  return name.endsWith(`.${suffix}`) ? name.slice(0, -suffix.length - 1) : undefined;
}

const isOf = ({ name, pattern }: ZoneRecord, label: string): boolean =>
  (name !== '' && name.toLowerCase() === label) || (pattern?.matches(label) ?? false);
