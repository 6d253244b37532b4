/**
 * Addresses that stand for names which only a proxy resolves: a guest that asks for a name gets one of
 * {@link SYNTHETIC_RANGE}, and what it sends there goes to the proxy by that name. Each guest has the whole range for
 * itself, so that it learns nothing of others' names.
 *
 * An address stays with its name for as long as it is used, and for {@link KEPT_MS} after its last use at least, far
 * beyond the {@link SYNTHETIC_TTL_S} of answers; addresses are handed out in turn, so that one is reused as late as can
 * be. Names are shares of guests: whoever has the most forgets its oldest first. What is sent to an address that stands
 * for nothing is refused.
 */
import { type IpAddress, ipv4 } from '../../base/ip-address.ts';
import { type Account, Budget } from '../../base/shares/budget.ts';
import type { Instant } from '../../base/time.ts';
import { isInside, type Prefix } from '../../services/address-text.ts';
import type { Guest } from '../../stack/guest.ts';

/** The upper half of the networks for benchmarks (RFC 2544), where nobody is. */
const SYNTHETIC_RANGE: Prefix = { address: ipv4(0xc613_0000 | 0), bits: 16 };
export const SYNTHETIC_TTL_S = 60;
export const KEPT_MS = 3_600_000;
const FIRST = 1;
const LAST = 0xfffe;
/** Of all guests; a guest alone has half of its range, so that addresses are reused late. */
const SYNTHETIC_MAX = 32_768;

interface Entry {
  readonly name: string;
  readonly index: number;
  usedAt: Instant;
}

class NamesOfGuest {
  readonly share: Account;
  /** Those used last at the end. */
  private readonly byName = new Map<string, Entry>();
  private readonly byIndex = new Map<number, Entry>();
  private next = FIRST;

  constructor({ owner }: Guest, budget: Budget) {
    this.share = owner.share(budget, { evict: () => this.forgetOldest(), recycles: true });
  }

  indexOf(now: Instant, name: string): number | undefined {
    const known = this.byName.get(name);
    if (known !== undefined) return this.use(now, known).index;
    this.expire(now);
    if (!this.share.take()) return undefined;
    const entry = { name, index: this.free(), usedAt: now };
    this.byName.set(name, entry);
    this.byIndex.set(entry.index, entry);
    return entry.index;
  }

  nameOf(now: Instant, index: number): string | undefined {
    const entry = this.byIndex.get(index);
    return entry && this.use(now, entry).name;
  }

  clear(): void {
    this.share.give(this.byName.size);
    this.byName.clear();
    this.byIndex.clear();
  }

  private use(now: Instant, entry: Entry): Entry {
    entry.usedAt = now;
    this.byName.delete(entry.name);
    this.byName.set(entry.name, entry);
    return entry;
  }

  /** One for each that comes is enough. */
  private expire(now: Instant): void {
    for (const { usedAt } of this.byName.values()) {
      if (now - usedAt >= KEPT_MS) this.forgetOldest();
      return;
    }
  }

  private free(): number {
    while (this.byIndex.has(this.next)) this.advance();
    const index = this.next;
    this.advance();
    return index;
  }

  private advance(): void {
    this.next = this.next === LAST ? FIRST : this.next + 1;
  }

  private forgetOldest(): boolean {
    for (const entry of this.byName.values()) {
      this.byName.delete(entry.name);
      this.byIndex.delete(entry.index);
      this.share.give();
      return true;
    }
    return false;
  }
}

export class SyntheticNames {
  readonly budget: Budget;
  private readonly byGuest = new WeakMap<Guest, NamesOfGuest>();

  constructor(limit: number = SYNTHETIC_MAX) {
    this.budget = new Budget('synthetic-names', limit);
  }

  /** @returns undefined where there is no room */
  addressOf(now: Instant, guest: Guest, name: string): IpAddress | undefined {
    let names = this.byGuest.get(guest);
    if (names === undefined) {
      names = new NamesOfGuest(guest, this.budget);
      this.byGuest.set(guest, names);
    }
    const index = names.indexOf(now, name);
    return index === undefined ? undefined : ipv4(SYNTHETIC_RANGE.address.d + index);
  }

  /** @returns undefined where it stands for nothing; see {@link isSynthetic} */
  nameAt(now: Instant, guest: Guest, address: IpAddress): string | undefined {
    return this.byGuest.get(guest)?.nameOf(now, address.d & 0xffff);
  }

  /** The guest is gone for good. */
  forget(guest: Guest): void {
    this.byGuest.get(guest)?.clear();
    this.byGuest.delete(guest);
  }
}

export const isSynthetic = (address: IpAddress): boolean => isInside(SYNTHETIC_RANGE, address);
