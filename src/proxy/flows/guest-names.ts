/**
 * The names that guests have asked the gateway's DNS for, by the addresses that were the answers: a flow to an address
 * is shown with the name that its guest asked for last, and a policy's rules of names are for those. Each guest has
 * names of its own, for it alone.
 *
 * Names are a budget of shares (`base/shares`): a guest alone has all of them, and whoever asks for the most forgets its
 * oldest first, but none of an address that it has a connection to. A rule's name is granted for the answer's TTL, and
 * for {@link GRANTED_MS} at least, because programs use addresses longer; but not for longer than {@link KEPT_MOST_MS},
 * for the address may be another's by then. It is shown for {@link KEPT_MS} at least. All of it is the same whether or
 * not there is a policy: the first one finds what guests have asked for before.
 */
import { type AddressKey, addressKey, type IpAddress } from '../../base/ip-address.ts';
import { type Account, Budget } from '../../base/shares/budget.ts';
import type { Instant } from '../../base/time.ts';
import { addressAnswers } from '../../services/dns/address-answers.ts';
import type { Guest } from '../../stack/guest.ts';

export const NAMES_MAX = 16_384;
export const GRANTED_MS = 30_000;
export const KEPT_MS = 300_000;
export const KEPT_MOST_MS = 3_600_000;
/** Of many names at one address, as of a content network, those asked for last are known. */
export const NAMES_OF_ADDRESS = 32;
/** Addresses in use that one name too many passes over, before the oldest in use gives way. */
const PASSED_MAX = 256;

interface Known {
  readonly name: string;
  /** Until then it is shown, and until then a flow may go there by it. */
  readonly until: Instant;
  readonly granted: Instant;
}

export interface GuestName extends Known {
  readonly address: IpAddress;
}

interface AtAddress {
  readonly address: IpAddress;
  /** In the order in which they were asked for. */
  names: readonly Known[];
  /** Connections to it. */
  flows: number;
}

const NO_NAMES: readonly Known[] = [];

class NamesOfGuest {
  readonly share: Account;
  private readonly known = new Map<AddressKey, AtAddress>();
  /** Of which address: those asked for last at the end. */
  private readonly order = new Map<Known, AddressKey>();

  constructor({ owner }: Guest, budget: Budget) {
    this.share = owner.share(budget, { evict: () => this.forgetOldest(), recycles: true });
  }

  set(address: IpAddress, entry: Known): void {
    const key = addressKey(address);
    const names = this.known.get(key)?.names ?? NO_NAMES;
    const same = names.find(({ name }) => name === entry.name);
    if (same !== undefined) this.forget(key, same);
    else if (names[0] !== undefined && names.length === NAMES_OF_ADDRESS)
      this.forget(key, names[0]);
    if (!this.share.take()) return;
    const at = this.known.get(key); // what gave way may have been of the same address
    if (at === undefined) this.known.set(key, { address, names: [entry], flows: 0 });
    else at.names = [...at.names, entry];
    this.order.set(entry, key);
  }

  find(now: Instant, address: IpAddress): string | undefined {
    return this.known.get(addressKey(address))?.names.findLast(({ until }) => until >= now)?.name;
  }

  all(now: Instant, address: IpAddress): readonly string[] {
    const names = this.known.get(addressKey(address))?.names ?? NO_NAMES;
    const [only] = names; // most have one, and a list that grows takes room for 17
    if (only !== undefined && names.length === 1) return only.granted >= now ? [only.name] : [];
    const all: string[] = [];
    for (const { granted, name } of names) if (granted >= now) all.push(name);
    return all;
  }

  addressesOf(now: Instant, name: string): readonly IpAddress[] {
    const isOf = (one: Known): boolean => one.name === name && one.granted >= now;
    const found = [...this.known.values()].filter(({ names }) => names.some(isOf));
    return found.map(({ address }) => address);
  }

  use(address: IpAddress, n: 1 | -1): void {
    const key = addressKey(address);
    const at = this.known.get(key);
    if (at === undefined) return;
    at.flows = Math.max(0, at.flows + n);
    if (at.flows === 0 && at.names.length === 0) this.known.delete(key);
  }

  *entries(): Generator<GuestName, void> {
    for (const { address, names } of this.known.values()) {
      for (const one of names) yield { ...one, address };
    }
  }

  clear(): void {
    this.share.give(this.order.size);
    this.order.clear();
    this.known.clear();
  }

  private forgetOldest(): boolean {
    let passed = 0;
    for (const [one, key] of this.order) {
      const isUsed = (this.known.get(key)?.flows ?? 0) > 0;
      if (isUsed && passed < PASSED_MAX && passed < this.order.size) {
        passed++;
        this.order.delete(one);
        this.order.set(one, key);
        continue;
      }
      this.forget(key, one);
      return true;
    }
    return false;
  }

  private forget(key: AddressKey, one: Known): void {
    this.order.delete(one);
    this.share.give();
    const at = this.known.get(key);
    if (at === undefined) return;
    at.names = at.names.filter((other) => other !== one);
    if (at.names.length === 0 && at.flows === 0) this.known.delete(key);
  }
}

export class GuestNames {
  readonly budget: Budget;
  private readonly byGuest = new Map<Guest, NamesOfGuest>();

  constructor(limit: number = NAMES_MAX) {
    this.budget = new Budget('names', limit);
  }

  /** @param message an answer of the DNS, borrowed */
  learn(now: Instant, guest: Guest, message: Uint8Array): void {
    const answers = addressAnswers(message);
    if (answers === undefined) return;
    const { name } = answers;
    for (const { address, ttlS } of answers.addresses) {
      const [granted, until] = [GRANTED_MS, KEPT_MS].map(
        (leastMs) => now + Math.min(Math.max(ttlS * 1000, leastMs), KEPT_MOST_MS),
      );
      if (granted === undefined || until === undefined) return;
      this.namesOf(guest).set(address, { name, until, granted });
    }
  }

  find(now: Instant, guest: Guest | undefined, address: IpAddress | undefined): string | undefined {
    if (guest === undefined || address === undefined) return undefined;
    return this.byGuest.get(guest)?.find(now, address);
  }

  /** Every name that the guest has asked for, may use still, and `address` was an answer to. */
  all(now: Instant, guest: Guest, address: IpAddress): readonly string[] {
    return this.byGuest.get(guest)?.all(now, address) ?? [];
  }

  /** Those that the guest may use. */
  addressesOf(now: Instant, guest: Guest, name: string): readonly IpAddress[] {
    return this.byGuest.get(guest)?.addressesOf(now, name) ?? [];
  }

  /** Those of all guests. */
  everyName(now: Instant, address: IpAddress | undefined): readonly string[] {
    if (address === undefined) return [];
    return [...new Set([...this.byGuest.values()].flatMap((own) => own.all(now, address)))];
  }

  /** The guest has one connection more to an address, or less. */
  use(guest: Guest | undefined, address: IpAddress | undefined, n: 1 | -1): void {
    if (guest !== undefined && address !== undefined) this.byGuest.get(guest)?.use(address, n);
  }

  /** What the guest has asked for, to be handed to {@link restore} again. */
  entriesOf(guest: Guest): Iterable<GuestName> {
    return this.byGuest.get(guest)?.entries() ?? [];
  }

  restore(guest: Guest, { address, ...entry }: GuestName): void {
    this.namesOf(guest).set(address, entry);
  }

  guests(): Iterable<Guest> {
    return this.byGuest.keys();
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
