/**
 * The names that one guest has asked for to find one address, of which a content network has hundreds. They have a limit:
 * each is decided on for a new flow. One too many pushes out a name that is granted no longer, or the oldest.
 */
import type { Chained } from '../../base/chain.ts';
import type { IpAddress } from '../../base/ip-address.ts';
import { type Instant, NEVER } from '../../base/time.ts';

export const NAMES_OF_ADDRESS = 512;

export interface NameTerms {
  readonly name: string;
  /** Until then it is shown, and until `granted` a flow may go there by it. */
  readonly until: Instant;
  readonly granted: Instant;
}

/** In a chain of all names of its guest. */
export class KnownName implements Chained<KnownName> {
  chainNext: KnownName | undefined = undefined;
  chainPrev: KnownName | undefined = undefined;
  readonly at: AddressNames;
  readonly name: string;
  until: Instant;
  granted: Instant;

  constructor(at: AddressNames, { name, until, granted }: NameTerms) {
    this.at = at;
    this.name = name;
    this.until = until;
    this.granted = granted;
  }
}

export class AddressNames {
  readonly address: IpAddress;
  /** Connections to it. */
  flows = 0;
  private newest: KnownName | undefined = undefined;
  /** All, in the order in which they were asked for; undefined: there was never more than the newest, as in most cases. */
  private many: Map<string, KnownName> | undefined = undefined;
  /** Those that are granted, until the first of them is no longer: every flow there is recorded with this one list. */
  private granted: readonly string[] | undefined = undefined;
  private grantedUntil: Instant = NEVER;

  constructor(address: IpAddress) {
    this.address = address;
  }

  get size(): number {
    return this.many?.size ?? (this.newest === undefined ? 0 : 1);
  }

  get(name: string): KnownName | undefined {
    if (this.many !== undefined) return this.many.get(name);
    return this.newest?.name === name ? this.newest : undefined;
  }

  values(): Iterable<KnownName> {
    return this.many?.values() ?? (this.newest === undefined ? [] : [this.newest]);
  }

  /** @param one may be there already: it is the newest from now on */
  add(one: KnownName): void {
    this.granted = undefined;
    if (this.newest === one) return;
    if (this.newest !== undefined) this.many ??= new Map([[this.newest.name, this.newest]]);
    this.many?.delete(one.name);
    this.many?.set(one.name, one);
    this.newest = one;
  }

  delete(one: KnownName): void {
    this.granted = undefined;
    this.many?.delete(one.name);
    if (this.newest === one) this.newest = undefined;
  }

  /** The name asked for last. */
  find(now: Instant): string | undefined {
    if (this.newest !== undefined && this.newest.until >= now) return this.newest.name;
    let found: string | undefined;
    for (const { name, until } of this.values()) if (until >= now) found = name;
    return found;
  }

  all(now: Instant): readonly string[] {
    if (this.granted === undefined || now > this.grantedUntil) this.granted = this.list(now);
    return this.granted;
  }

  /** One that is granted no longer, or the oldest. */
  firstToGo(now: Instant): KnownName | undefined {
    let oldest: KnownName | undefined;
    for (const one of this.values()) {
      if (one.granted < now) return one;
      oldest ??= one;
    }
    return oldest;
  }

  private list(now: Instant): readonly string[] {
    this.grantedUntil = NEVER;
    const { newest } = this;
    if (newest !== undefined && this.size === 1 && newest.granted >= now) {
      this.grantedUntil = newest.granted;
      return [newest.name]; // most have one, and a list that grows takes room for 17
    }
    const all: string[] = [];
    for (const { granted, name } of this.values()) {
      if (granted < now) continue;
      this.grantedUntil = Math.min(this.grantedUntil, granted);
      all.push(name);
    }
    return all;
  }
}
