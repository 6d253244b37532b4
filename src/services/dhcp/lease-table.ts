/**
 * The table of leases of one family: which guest has which address.
 *
 * One record per address that was ever given out, found by address and by client. Records of guests
 * that left are kept, so that a guest gets the same address again, until the pool or the table is full:
 * then the record that ended longest ago is reused for a new guest. Declined addresses stay out of
 * the pool for a while, at most {@link MAX_DECLINED} of them.
 *
 * Expiry is decided by `now`, which never jumps. Wall-clock times are only for storage and display: they are computed
 * from the remaining time when asked for.
 *
 * Which record is whose is decided by the family (`find`, `isOf`), from what clients claim. An Ethernet address is such
 * a claim: a lease belongs to the link that it was last requested by, while that is attached, and is free a while after
 * that link has gone. And not every guest asks here: an address that another guest uses without a lease is not given
 * out. A link may hold a share of the pool that leaves room for others (`link-share.ts`).
 */
import { mayHoldMore } from '../../base/link-share.ts';
import { type Instant, NEVER } from '../../base/time.ts';
import { type Mac, macOf } from '../../wire/mac.ts';
import type {
  AddressKey,
  KeptLeases,
  Lease,
  LeaseConfig,
  LeaseState,
  StaticLease,
  StoredLease,
} from './lease.ts';
import { type ClientIdentity, LeaseRecord } from './lease-record.ts';

const OFFER_MS = 30_000;
const DECLINE_MS = 600_000;
const MAX_DECLINED = 16;
export const MAX_RECORDS = 1024;

/** After a lease has ended, the last packets of the guest that had it. */
const PARTING_MS = 2_000;

/** Addresses kept for guests at a time. */
export const MAX_KEPT = 256;

/** Why an address is not kept for a guest. */
export type KeepFault =
  | 'pool-exhausted'
  | 'not-in-pool'
  | 'taken'
  | 'has-static-lease'
  | 'too-many';

/** Who uses an address. */
export interface AddressUser {
  readonly mac: string;
  readonly heardAt: Instant;
}

/** What is known of the segment now. */
export interface SegmentState<A extends AddressKey> {
  /** Whether a link, by its number, is attached. */
  isAttached(link: number): boolean;
  /** The attached guest that was heard last with an address. */
  userOf(address: A): AddressUser | undefined;
}

/** The addresses that are given out. */
export interface AddressPool<A extends AddressKey> {
  /** How many. */
  readonly size: number;
  has(address: A): boolean;
  /** All of them, in the order in which a guest without a wish is given the first that is free. */
  candidates(identity: ClientIdentity): Iterable<A>;
  format(address: A): string;
}

/** A stored lease, and its address. */
export interface RestoredLease<A extends AddressKey> {
  readonly lease: StoredLease;
  readonly address: A;
}

export abstract class LeaseTable<A extends AddressKey> {
  protected readonly byAddress: Map<A, LeaseRecord<A>> = new Map();
  protected readonly segment: SegmentState<A>;
  private readonly pool: AddressPool<A>;
  private readonly staticByMac = new Map<string, StaticLease<A>>();
  private readonly longestMs: number;
  private readonly awayMs: number;
  private readonly reservedFor = new Map<A, Mac>();
  /** Ethernet addresses of the guests whose static leases are not of the configuration. */
  private readonly kept = new Set<string>();

  constructor(config: LeaseConfig<A>, pool: AddressPool<A>, segment: SegmentState<A>) {
    this.pool = pool;
    this.segment = segment;
    this.longestMs = config.leaseSeconds * 1000;
    this.awayMs = config.awayMs;
    for (const lease of config.staticLeases) {
      this.staticByMac.set(lease.mac, lease);
      this.reservedFor.set(lease.address, macOf(lease.mac));
    }
  }

  /** The record of a client, which is not free for another, or still has the address that the client had. */
  protected abstract find(identity: ClientIdentity, now: Instant): LeaseRecord<A> | undefined;

  /** Whether the record is this client's. */
  protected abstract isOf(record: LeaseRecord<A>, identity: ClientIdentity): boolean;

  /** Another client with the same Ethernet address takes the record. */
  protected abstract onTakeOver(record: LeaseRecord<A>, now: Instant): void;

  /** The Ethernet address that `address` is leased to, or reserved for; 0: it is free. */
  holderOf(address: A, now: Instant): Mac {
    const record = this.byAddress.get(address);
    if (record?.state === 'bound' && !record.isFree(now)) return record.ethernet;
    return this.reservedFor.get(address) ?? 0;
  }

  /** The link of this number is gone. */
  /** @returns whether there are such leases */
  onLinkDown(link: number, now: Instant): boolean {
    let isAny = false;
    for (const record of this.byAddress.values()) {
      if (record.link !== link || record.state !== 'bound') continue;
      record.awayUntil = now + this.awayMs;
      isAny = true;
    }
    return isAny;
  }

  /** A guest sends with an address: if its lease waited for its return, or is free only for that, it goes on. */
  onHeard(address: A, mac: Mac, link: number): boolean {
    const record = this.byAddress.get(address);
    if (record?.state !== 'bound' || record.ethernet !== mac) return false;
    if (record.awayUntil === NEVER) return false;
    record.awayUntil = NEVER;
    record.link = link;
    return true;
  }

  /** Whether `identity` has an address, or its link may hold one more than it does. */
  isWithinShare(identity: ClientIdentity, now: Instant): boolean {
    const { link } = identity;
    if (link === undefined || this.staticFor(identity) !== undefined) return true;
    if (this.find(identity, now)?.isFree(now) === false) return true;
    let held = 0;
    let total = 0;
    for (const record of this.byAddress.values()) {
      if (record.fixed || record.isFree(now)) continue;
      total++;
      if (record.link === link) held++;
    }
    return held === 0 || mayHoldMore(held, total, Math.min(this.pool.size, MAX_RECORDS));
  }

  /** Take over what was stored, except what the configuration now forbids. */
  restore(stored: readonly RestoredLease<A>[], now: Instant, wallMs: number): void {
    for (const { lease, address } of stored.slice(0, MAX_RECORDS)) {
      const fixed = this.staticByMac.get(lease.mac)?.address === address;
      if (!fixed && !this.inPool(address)) continue;
      const record = new LeaseRecord(address, this.pool.format(address), fixed, lease);
      record.hostname = lease.hostname;
      record.wasBound = true;
      record.expiresAt = now + Math.min(lease.expiresAtMs - wallMs, this.longestMs);
      record.state = 'bound';
      this.byAddress.set(address, record);
    }
  }

  /** Whether a guest with this Ethernet address holds a lease behind another link. */
  isElsewhere({ mac, link }: ClientIdentity, now: Instant): boolean {
    if (link === undefined) return false;
    for (const record of this.byAddress.values()) {
      if (record.mac !== mac || record.link === undefined || record.link === link) continue;
      if (record.state !== 'bound' || record.isFree(now)) continue;
      if (this.segment.isAttached(record.link)) return true;
    }
    return false;
  }

  /**
   * Give the guest of `identity`, and no other, one address from now on, as a static lease does.
   *
   * @param wanted undefined: its own, or else any that is free
   * @returns why not
   */
  keep(identity: ClientIdentity, wanted: A | undefined, now: Instant): KeepFault | undefined {
    const { mac } = identity;
    const held = this.staticByMac.get(mac);
    const address = wanted ?? held?.address ?? this.choose(identity, now);
    if (address === undefined) return 'pool-exhausted';
    if (held?.address === address) return undefined;
    if (held !== undefined && !this.kept.has(mac)) return 'has-static-lease';
    if (!this.pool.has(address)) return 'not-in-pool';
    const record = this.byAddress.get(address);
    const isOfAnother = record !== undefined && record.mac !== mac;
    if (this.reservedFor.has(address) || (isOfAnother && !record.isFree(now))) return 'taken';
    if (this.isTaken(identity, address)) return 'taken';
    if (held === undefined && this.kept.size >= this.keptMax) return 'too-many';
    this.stopKeeping(mac);
    if (isOfAnother) this.byAddress.delete(address);
    else if (record !== undefined) record.fixed = true;
    this.kept.add(mac);
    this.staticByMac.set(mac, { mac, address });
    this.reservedFor.set(address, macOf(mac));
    return undefined;
  }

  /** Others find as many. */
  private get keptMax(): number {
    return Math.min(MAX_KEPT, Math.ceil(this.pool.size / 2));
  }

  stopKeeping(mac: string): void {
    const lease = this.staticByMac.get(mac);
    if (lease === undefined || !this.kept.delete(mac)) return;
    this.staticByMac.delete(mac);
    this.reservedFor.delete(lease.address);
    const record = this.byAddress.get(lease.address);
    if (record !== undefined) record.fixed = false;
  }

  staticFor({ mac }: Pick<ClientIdentity, 'mac'>): StaticLease<A> | undefined {
    return this.staticByMac.get(mac);
  }

  /**
   * Whether `identity` may have `address`: its own, or one that no other client holds.
   */
  mayHave(identity: ClientIdentity, address: A, now: Instant): boolean {
    const fixed = this.staticFor(identity);
    if (fixed !== undefined) return fixed.address === address;
    if (!this.inPool(address)) return false;
    const record = this.byAddress.get(address);
    if (record !== undefined && !record.isFree(now)) return this.find(identity, now) === record;
    if (this.isTaken(identity, address)) return false;
    if (record !== undefined || this.byAddress.size < MAX_RECORDS) return true;
    return this.oldestFree(identity, now) !== undefined;
  }

  /**
   * The address for a guest that requests none, or one that is not available: its previous one, else
   * the first never used, else the one that ended longest ago.
   *
   * @returns undefined when the pool is exhausted
   */
  choose(identity: ClientIdentity, now: Instant): A | undefined {
    const fixed = this.staticFor(identity);
    if (fixed !== undefined) return fixed.address;
    const own = this.find(identity, now);
    if (own !== undefined) return own.address;
    if (this.byAddress.size < MAX_RECORDS) {
      for (const address of this.pool.candidates(identity)) {
        if (this.byAddress.has(address) || !this.inPool(address)) continue;
        if (!this.isTaken(identity, address)) return address;
      }
    }
    return this.oldestFree(identity, now)?.address;
  }

  /** Hold `address`, which {@link mayHave} or {@link choose} gave, until the guest asks for it. */
  offer(identity: ClientIdentity, address: A, now: Instant): void {
    const record = this.take(identity, address, now);
    if (record.state === 'bound' && !record.isFree(now)) return;
    record.state = 'offered';
    record.link = identity.link;
    record.until = now + OFFER_MS;
  }

  /** The guest has `address`, which {@link mayHave} allowed, for so long. */
  bind(
    identity: ClientIdentity,
    address: A,
    hostname: string | undefined,
    lastsMs: number,
    now: Instant,
  ): void {
    const record = this.take(identity, address, now);
    record.state = 'bound';
    record.wasBound = true;
    record.link = identity.link;
    record.awayUntil = NEVER;
    record.hostname = hostname ?? record.hostname;
    record.expiresAt = now + lastsMs;
    for (const other of this.byAddress.values()) {
      // One address for one client: what it held or was offered before is free again.
      if (other !== record && this.isOf(other, identity) && other.state !== 'declined') {
        other.state = 'released';
      }
    }
  }

  /** @returns whether the guest held it */
  release(identity: ClientIdentity, address: A, now: Instant): boolean {
    const record = this.owned(identity, address);
    if (record === undefined || record.state === 'declined') return false;
    record.state = 'released';
    record.expiresAt = Math.min(record.expiresAt, now);
    return true;
  }

  /** The guest takes no offer of ours: it chose another server. */
  withdraw(identity: ClientIdentity): void {
    for (const record of this.byAddress.values()) {
      if (this.isOf(record, identity) && record.state === 'offered') record.state = 'released';
    }
  }

  /** @returns whether the guest held it */
  decline(identity: ClientIdentity, address: A, now: Instant): boolean {
    const record = this.owned(identity, address);
    if (record === undefined || record.fixed) return false;
    const declined = [...this.byAddress.values()].filter((other) => other.state === 'declined');
    if (declined.length >= MAX_DECLINED) {
      const oldest = declined.reduce((a, b) => (b.until < a.until ? b : a));
      this.byAddress.delete(oldest.address);
    }
    record.state = 'declined';
    record.until = now + DECLINE_MS;
    return true;
  }

  stored(now: Instant, wallMs: number): KeptLeases {
    const records = [...this.byAddress.values()].filter(
      (record) => record.wasBound && record.state !== 'declined',
    );
    const leases = records.map((record) => ({
      address: record.text,
      mac: record.mac,
      client: record.client,
      hostname: record.hostname,
      expiresAtMs: onTheWall(record, now, wallMs),
    }));
    return { leases, ends: records.map(({ expiresAt, freeAt }) => ({ expiresAt, freeAt })) };
  }

  leases(now: Instant, wallMs: number): Lease[] {
    const all: Lease[] = [];
    for (const fixed of this.staticByMac.values()) {
      if (this.byAddress.has(fixed.address)) continue;
      const name = fixed.hostname === undefined ? {} : { hostname: fixed.hostname };
      const address = this.pool.format(fixed.address);
      all.push({
        address,
        mac: fixed.mac,
        ...name,
        expiresAtMs: 0,
        static: true,
        state: 'reserved',
      });
    }
    for (const record of this.byAddress.values()) {
      const free = record.isFree(now);
      if (free && !record.wasBound && !record.fixed) continue; // an offer that was not accepted
      const configured = record.fixed ? this.staticByMac.get(record.mac)?.hostname : undefined;
      const hostname = configured ?? record.hostname;
      const state: LeaseState = record.state === 'released' || !free ? record.state : 'expired';
      all.push({
        address: record.text,
        mac: record.mac,
        ...(hostname === undefined ? {} : { hostname }),
        expiresAtMs: onTheWall(record, now, wallMs),
        static: record.fixed,
        state: record.fixed && free ? 'reserved' : state,
      });
    }
    return all;
  }

  /** Whether another guest uses the address without a lease: it never had one, or sends on after its end. */
  protected isTaken({ mac }: ClientIdentity, address: A): boolean {
    const user = this.segment.userOf(address);
    if (user === undefined || user.mac === mac) return false;
    const record = this.byAddress.get(address);
    return record?.mac !== user.mac || user.heardAt > record.expiresAt + PARTING_MS;
  }

  protected owned(identity: ClientIdentity, address: A): LeaseRecord<A> | undefined {
    const record = this.byAddress.get(address);
    if (record === undefined) return undefined;
    return this.isOf(record, identity) || record.mac === identity.mac ? record : undefined;
  }

  private inPool(address: A): boolean {
    return this.pool.has(address) && !this.reservedFor.has(address);
  }

  private take(identity: ClientIdentity, address: A, now: Instant): LeaseRecord<A> {
    const found = this.byAddress.get(address);
    if (found !== undefined && this.isOf(found, identity)) {
      found.mac = identity.mac;
      return found;
    }
    if (found !== undefined && found.mac === identity.mac) {
      this.onTakeOver(found, now);
      found.client = identity.client;
      return found;
    }
    if (found === undefined && this.byAddress.size >= MAX_RECORDS) {
      const oldest = this.oldestFree(identity, now);
      if (oldest !== undefined) this.byAddress.delete(oldest.address);
    }
    const fixed = this.staticFor(identity)?.address === address;
    const record = new LeaseRecord(address, this.pool.format(address), fixed, identity);
    this.byAddress.set(address, record);
    return record;
  }

  private oldestFree(identity: ClientIdentity, now: Instant): LeaseRecord<A> | undefined {
    let oldest: LeaseRecord<A> | undefined;
    for (const record of this.byAddress.values()) {
      if (record.fixed || !record.isFree(now) || this.isTaken(identity, record.address)) continue;
      if (oldest === undefined || record.expiresAt < oldest.expiresAt) oldest = record;
    }
    return oldest;
  }
}

/** When it ends or ended, ms since the Unix epoch; 0 when it never began. */
const onTheWall = (
  record: { readonly wasBound: boolean; readonly expiresAt: Instant },
  now: Instant,
  wallMs: number,
): number => (record.wasBound ? Math.max(1, Math.round(wallMs + record.expiresAt - now)) : 0);
