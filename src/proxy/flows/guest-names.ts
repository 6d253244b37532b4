/**
 * The names that guests have asked the gateway's DNS for, by the addresses that were the answers: a flow to an address
 * is shown with the name that its guest asked for last, and a policy's rules of names are for those. Each guest has
 * names of its own, for it alone.
 *
 * Names are a budget of shares (`base/shares`): a guest alone has all of them, and whoever asks for the most forgets
 * first what is granted no longer, then its oldest, but none of an address that it has a connection to. The names of one
 * address have a limit of their own (`address-names.ts`). A rule's name is granted for the answer's TTL, and for
 * {@link GRANTED_MS} at least, because programs use addresses longer; but not for longer than {@link KEPT_MOST_MS}, for
 * the address may be another's by then. It is shown for {@link KEPT_MS} at least. All of it is the same whether or not
 * there is a policy: the first one finds what guests have asked for before.
 */
import { Chain } from '../../base/chain.ts';
import { type AddressKey, addressKey, type IpAddress } from '../../base/ip-address.ts';
import { type Account, Budget } from '../../base/shares/budget.ts';
import type { Instant } from '../../base/time.ts';
import { addressAnswers } from '../../services/dns/address-answers.ts';
import { TTL_MAX_S } from '../../services/dns/surgery.ts';
import type { Guest } from '../../stack/guest.ts';
import { AddressNames, KnownName, NAMES_OF_ADDRESS, type NameTerms } from './address-names.ts';

export const NAMES_MAX = 16_384;
export const GRANTED_MS = 30_000;
export const KEPT_MS = 300_000;
export const KEPT_MOST_MS: number = TTL_MAX_S * 1_000;
/** Addresses in use that one name too many passes over, before the oldest in use gives way. */
const PASSED_MAX = 256;
/** Of all names of a guest, those that are granted no longer are looked for so often, when one has to give way. */
const SWEPT_EVERY_MS = 1_000;

export interface GuestName extends NameTerms {
  readonly address: IpAddress;
}

const NO_NAMES: readonly string[] = [];

class NamesOfGuest {
  readonly share: Account;
  private readonly latest: LatestAnswer;
  private readonly known = new Map<AddressKey, AddressNames>();
  /** Those asked for last at the end. */
  private readonly order = new Chain<KnownName>();
  private nextSweep: Instant = 0;

  constructor({ owner }: Guest, budget: Budget, latest: LatestAnswer) {
    this.share = owner.share(budget, { evict: () => this.giveWay(), recycles: true });
    this.latest = latest;
  }

  set(address: IpAddress, terms: NameTerms): void {
    const key = addressKey(address);
    const before = this.known.get(key);
    const same = before?.get(terms.name);
    if (same !== undefined) {
      this.renew(same, terms);
      return;
    }
    if (before?.size === NAMES_OF_ADDRESS) {
      const first = before.firstToGo(this.latest.at);
      if (first !== undefined) this.forget(first);
    }
    if (!this.share.take()) return;
    let at = this.known.get(key); // what gave way may have been the last of the same address
    if (at === undefined) {
      at = new AddressNames(address);
      this.known.set(key, at);
    }
    const one = new KnownName(at, terms);
    at.add(one);
    this.order.add(one);
  }

  find(now: Instant, address: IpAddress): string | undefined {
    return this.known.get(addressKey(address))?.find(now);
  }

  all(now: Instant, address: IpAddress): readonly string[] {
    return this.known.get(addressKey(address))?.all(now) ?? NO_NAMES;
  }

  addressesOf(now: Instant, name: string): readonly IpAddress[] {
    const found: IpAddress[] = [];
    for (const at of this.known.values()) {
      const one = at.get(name);
      if (one !== undefined && one.granted >= now) found.push(at.address);
    }
    return found;
  }

  use(address: IpAddress, n: 1 | -1): void {
    const at = this.known.get(addressKey(address));
    if (at === undefined) return;
    at.flows = Math.max(0, at.flows + n);
    this.dropUnused(at);
  }

  *entries(): Generator<GuestName, void> {
    for (const at of this.known.values()) {
      const { address } = at;
      for (const { name, until, granted } of at.values()) yield { name, until, granted, address };
    }
  }

  clear(): void {
    this.share.give(this.order.size);
    for (const one of this.order) this.order.delete(one);
    this.known.clear();
  }

  private renew(one: KnownName, { until, granted }: NameTerms): void {
    one.until = until;
    one.granted = granted;
    one.at.add(one);
    this.order.delete(one);
    this.order.add(one);
  }

  private giveWay(): boolean {
    const { at: now } = this.latest;
    if (now >= this.nextSweep && this.sweep(now)) return true;
    let passed = 0;
    for (let one = this.order.first; one !== undefined; one = this.order.first) {
      if (one.at.flows > 0 && passed < PASSED_MAX && passed < this.order.size) {
        passed++;
        this.order.delete(one);
        this.order.add(one);
        continue;
      }
      this.forget(one);
      return true;
    }
    return false;
  }

  /** @returns whether any was granted no longer, and is forgotten */
  private sweep(now: Instant): boolean {
    this.nextSweep = now + SWEPT_EVERY_MS;
    const before = this.order.size;
    for (const one of this.order) if (one.granted < now && one.at.flows === 0) this.forget(one);
    return this.order.size < before;
  }

  private forget(one: KnownName): void {
    this.order.delete(one);
    this.share.give();
    one.at.delete(one);
    this.dropUnused(one.at);
  }

  private dropUnused({ address, flows, size }: AddressNames): void {
    if (flows === 0 && size === 0) this.known.delete(addressKey(address));
  }
}

/** When a guest had its last answer: time goes on with answers, for those that give way to them. */
interface LatestAnswer {
  at: Instant;
}

export class GuestNames {
  readonly budget: Budget;
  private readonly byGuest = new Map<Guest, NamesOfGuest>();
  private readonly latest: LatestAnswer = { at: 0 };

  constructor(limit: number = NAMES_MAX) {
    this.budget = new Budget('names', limit);
  }

  /** @param message an answer of the DNS, borrowed */
  learn(now: Instant, guest: Guest, message: Uint8Array): void {
    const answers = addressAnswers(message);
    if (answers === undefined) return;
    this.latest.at = now;
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
    return this.byGuest.get(guest)?.all(now, address) ?? NO_NAMES;
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
    const names = new NamesOfGuest(guest, this.budget, this.latest);
    this.byGuest.set(guest, names);
    return names;
  }
}
