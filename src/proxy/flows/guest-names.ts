/**
 * The names that guests have asked the gateway's DNS for, by the addresses that were the answers: a flow to an address
 * is shown with the name that its guest asked for last. Each guest has names of its own, for it alone.
 *
 * Names are a budget of shares (`base/shares`): a guest alone has all of them, and whoever asks for the most forgets its
 * oldest first. A name is known for its TTL, and for {@link KEPT_MS} at least, because programs use addresses longer.
 */
import { type IpAddress, V4_MAPPED } from '../../base/ip-address.ts';
import { type Account, Budget } from '../../base/shares/budget.ts';
import type { Instant } from '../../base/time.ts';
import { addressAnswers } from '../../services/dns/address-answers.ts';
import type { Guest } from '../../stack/guest.ts';

export const NAMES_MAX = 16_384;
export const KEPT_MS = 300_000;

interface Known {
  readonly name: string;
  readonly until: Instant;
}

/** Of one guest, those asked for last at the end. */
class NamesOfGuest {
  readonly share: Account;
  private readonly known = new Map<string | number, Known>();

  constructor({ owner }: Guest, budget: Budget) {
    this.share = owner.share(budget, { evict: () => this.forgetOldest(), recycles: true });
  }

  set(address: IpAddress, entry: Known): void {
    const key = keyOf(address);
    if (this.known.delete(key)) this.share.give();
    if (this.share.take()) this.known.set(key, entry);
  }

  find(now: Instant, address: IpAddress): string | undefined {
    const entry = this.known.get(keyOf(address));
    return entry === undefined || entry.until < now ? undefined : entry.name;
  }

  clear(): void {
    this.share.give(this.known.size);
    this.known.clear();
  }

  private forgetOldest(): boolean {
    for (const key of this.known.keys()) {
      this.known.delete(key);
      this.share.give();
      return true;
    }
    return false;
  }
}

export class GuestNames {
  readonly budget: Budget;
  private readonly byGuest = new WeakMap<Guest, NamesOfGuest>();

  constructor(limit: number = NAMES_MAX) {
    this.budget = new Budget('names', limit);
  }

  /** @param message an answer of the DNS, borrowed */
  learn(now: Instant, guest: Guest, message: Uint8Array): void {
    const answers = addressAnswers(message);
    if (answers === undefined) return;
    const { name } = answers;
    for (const { address, ttlS } of answers.addresses) {
      const until = now + Math.max(ttlS * 1000, KEPT_MS);
      this.namesOf(guest).set(address, { name, until });
    }
  }

  find(now: Instant, guest: Guest | undefined, address: IpAddress | undefined): string | undefined {
    if (guest === undefined || address === undefined) return undefined;
    return this.byGuest.get(guest)?.find(now, address);
  }

  /** The guest is gone for good. */
  forget(guest: Guest): void {
    this.byGuest.get(guest)?.clear();
    this.byGuest.delete(guest);
  }

  private namesOf(guest: Guest): NamesOfGuest {
    const known = this.byGuest.get(guest);
    if (known !== undefined) return known;
    const names = new NamesOfGuest(guest, this.budget);
    this.byGuest.set(guest, names);
    return names;
  }
}

const keyOf = (address: IpAddress): string | number =>
  address.a === 0 && address.b === 0 && address.c === V4_MAPPED
    ? address.d
    : `${address.a} ${address.b} ${address.c} ${address.d}`;
