/**
 * The names that guests have asked the gateway's DNS for, by the addresses that were the answers: a flow to an address
 * is shown with the name that its guest asked for last, and a policy's rules of names are for those. Each guest has
 * names of its own, for it alone.
 *
 * Names are a budget of shares (`base/shares`): a guest alone has all of them, and whoever asks for the most forgets its
 * oldest first. A name is known for its TTL, and for {@link KEPT_MS} at least, because programs use addresses longer;
 * but not for longer than {@link KEPT_MOST_MS}, for the address may be another's by then.
 */
import { type IpAddress, V4_MAPPED } from '../../base/ip-address.ts';
import { type Account, Budget } from '../../base/shares/budget.ts';
import type { Instant } from '../../base/time.ts';
import { addressAnswers } from '../../services/dns/address-answers.ts';
import type { Guest } from '../../stack/guest.ts';

export const NAMES_MAX = 16_384;
export const KEPT_MS = 300_000;
export const KEPT_MOST_MS = 3_600_000;
/** Of many names at one address, as of a content network, those asked for last are known. */
export const NAMES_OF_ADDRESS = 32;

interface Known {
  readonly name: string;
  readonly until: Instant;
}

const NO_NAMES: readonly Known[] = [];

/** Of one guest, those asked for last at the end. */
class NamesOfGuest {
  readonly share: Account;
  /** By address; its names likewise in the order in which they were asked for. */
  private readonly known = new Map<string | number, Known[]>();

  constructor({ owner }: Guest, budget: Budget) {
    this.share = owner.share(budget, { evict: () => this.forgetOldest(), recycles: true });
  }

  set(address: IpAddress, entry: Known): void {
    const key = keyOf(address);
    const before = this.known.get(key) ?? NO_NAMES;
    const others = before.filter(({ name }) => name !== entry.name);
    if (others.length === NAMES_OF_ADDRESS) others.shift();
    this.known.delete(key);
    this.share.give(before.length - others.length);
    if (this.share.take()) others.push(entry);
    if (others.length > 0) this.known.set(key, others);
  }

  find(now: Instant, address: IpAddress): string | undefined {
    return this.known.get(keyOf(address))?.findLast(({ until }) => until >= now)?.name;
  }

  all(now: Instant, address: IpAddress): readonly string[] {
    const known = this.known.get(keyOf(address)) ?? NO_NAMES;
    return known.filter(({ until }) => until >= now).map(({ name }) => name);
  }

  clear(): void {
    for (const names of this.known.values()) this.share.give(names.length);
    this.known.clear();
  }

  private forgetOldest(): boolean {
    for (const [key, names] of this.known) {
      names.shift();
      if (names.length === 0) this.known.delete(key);
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
      const until = now + Math.min(Math.max(ttlS * 1000, KEPT_MS), KEPT_MOST_MS);
      this.namesOf(guest).set(address, { name, until });
    }
  }

  find(now: Instant, guest: Guest | undefined, address: IpAddress | undefined): string | undefined {
    if (guest === undefined || address === undefined) return undefined;
    return this.byGuest.get(guest)?.find(now, address);
  }

  /** Every name that the guest has asked for and `address` was an answer to. */
  all(now: Instant, guest: Guest, address: IpAddress): readonly string[] {
    return this.byGuest.get(guest)?.all(now, address) ?? [];
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
