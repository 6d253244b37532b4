/**
 * The table of leases: which guest has which address.
 *
 * One record per address that was ever given out, found by address and by client. Records of guests
 * that left are kept, so that a guest gets the same address again, until the pool or the table is full:
 * then the record that ended longest ago is reused for a new guest. Declined addresses stay out of
 * the pool for a while, at most {@link MAX_DECLINED} of them.
 *
 * Expiry is decided by `now`, which never jumps. Wall-clock times are only for storage and display: they are computed
 * from the remaining time when asked for.
 *
 * A client identifier is a claim: virtual machines cloned from one image send the same one. It identifies the client
 * while its holder's Ethernet address is the same, or gone from the segment; otherwise they are two guests.
 *
 * So is an Ethernet address: a lease belongs to the link that it was last requested by, while that is attached, and is
 * free a while after that link has gone. And not every guest asks here: an address that another guest uses without a
 * lease is not given out. A link may hold a share of the pool that leaves room for others (`link-share.ts`).
 */
import { formatIpv4 } from '../../base/ip-address.ts';
import { mayHoldMore } from '../../base/link-share.ts';
import { type Instant, NEVER } from '../../base/time.ts';
import { type Mac, macOf } from '../../wire/mac.ts';
import type { DhcpConfig, Lease, LeaseState, StaticLease, StoredLease } from './lease.ts';
import { type ClientIdentity, LeaseRecord } from './lease-record.ts';

const OFFER_MS = 30_000;
const DECLINE_MS = 600_000;
const MAX_DECLINED = 16;
const MAX_RECORDS = 1024;

/** After a lease has ended, the last packets of the guest that had it. */
const PARTING_MS = 2_000;

/** Who uses an address. */
export interface AddressUser {
  readonly mac: string;
  readonly heardAt: Instant;
}

/** What is known of the segment now. */
export interface SegmentState {
  /** Whether an Ethernet address is on it. */
  isPresent(mac: string): boolean;
  /** Whether a link, by its number, is attached. */
  isAttached(link: number): boolean;
  /** The attached guest that was heard last with an address. */
  userOf(address: number): AddressUser | undefined;
}

export class LeaseTable {
  private readonly first: number;
  private readonly last: number;
  private readonly reserved = new Set<number>();
  private readonly staticByMac = new Map<string, StaticLease>();
  private readonly byAddress = new Map<number, LeaseRecord>();
  private readonly segment: SegmentState;
  private readonly longestMs: number;
  private readonly awayMs: number;
  /** Addresses that are not reserved. */
  private readonly poolSize: number;
  private readonly reservedFor = new Map<number, Mac>();

  constructor(config: DhcpConfig, segment: SegmentState) {
    this.segment = segment;
    this.longestMs = config.leaseSeconds * 1000;
    this.awayMs = config.awayMs;
    const size = 2 ** (32 - config.prefix);
    const base = (config.subnet & (config.prefix === 0 ? 0 : -size)) >>> 0;
    this.first = base + 1; // not the network's, and below not the broadcast address
    this.last = base + size - 2;
    this.reserved.add(config.gateway | 0);
    if (config.hostIp !== undefined) this.reserved.add(config.hostIp | 0);
    for (const lease of config.staticLeases) {
      this.reserved.add(lease.address | 0);
      this.staticByMac.set(lease.mac, lease);
      this.reservedFor.set(lease.address | 0, macOf(lease.mac));
    }
    const inside = [...this.reserved].filter(
      (word) => word >>> 0 >= this.first && word >>> 0 <= this.last,
    );
    this.poolSize = size - 2 - inside.length;
  }

  /** The Ethernet address that `address` is leased to, or reserved for; 0: it is free. */
  holderOf(address: number, now: Instant): Mac {
    const record = this.byAddress.get(address);
    if (record?.state === 'bound' && !record.isFree(now)) return record.ethernet;
    return this.reservedFor.get(address) ?? 0;
  }

  /** The link of this number is gone. */
  onLinkDown(link: number, now: Instant): void {
    for (const record of this.byAddress.values()) {
      if (record.link === link && record.state === 'bound') record.awayUntil = now + this.awayMs;
    }
  }

  /** A guest sends with an address: if its lease waited for its return, or is free only for that, it goes on. */
  onHeard(address: number, mac: Mac, link: number): void {
    const record = this.byAddress.get(address);
    if (record?.state !== 'bound' || record.ethernet !== mac || record.awayUntil === NEVER) return;
    record.awayUntil = NEVER;
    record.link = link;
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
    return held === 0 || mayHoldMore(held, total, Math.min(this.poolSize, MAX_RECORDS));
  }

  /** Take over what was stored, except what the configuration now forbids. */
  restore(
    stored: readonly { readonly lease: StoredLease; readonly address: number }[],
    now: Instant,
    wallMs: number,
  ): void {
    for (const { lease, address } of stored.slice(0, MAX_RECORDS)) {
      const fixed = this.staticByMac.get(lease.mac)?.address === address;
      if (!fixed && !this.inPool(address)) continue;
      const record = new LeaseRecord(address, fixed, lease);
      record.hostname = lease.hostname;
      record.wasBound = true;
      record.expiresAt = now + Math.min(lease.expiresAtMs - wallMs, this.longestMs);
      record.state = 'bound';
      this.byAddress.set(address, record);
    }
  }

  /** The holder of a lease with the same client identifier that is another guest. */
  namesake(identity: ClientIdentity, now: Instant): string | undefined {
    for (const record of this.byAddress.values()) {
      if (record.client !== identity.client || record.mac === identity.mac) continue;
      if (!record.isFree(now) && this.segment.isPresent(record.mac)) return record.mac;
    }
    return undefined;
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

  staticFor(identity: ClientIdentity): StaticLease | undefined {
    return this.staticByMac.get(identity.mac);
  }

  /**
   * Whether `identity` may have `address`: its own, or one that no other client holds.
   */
  mayHave(identity: ClientIdentity, address: number, now: Instant): boolean {
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
   * the lowest never used, else the one that ended longest ago.
   *
   * @returns undefined when the pool is exhausted
   */
  choose(identity: ClientIdentity, now: Instant): number | undefined {
    const fixed = this.staticFor(identity);
    if (fixed !== undefined) return fixed.address;
    const own = this.find(identity, now);
    if (own !== undefined) return own.address;
    if (this.byAddress.size < MAX_RECORDS) {
      for (let address = this.first; address <= this.last; address++) {
        const word = address | 0;
        if (this.byAddress.has(word) || this.reserved.has(word)) continue;
        if (!this.isTaken(identity, word)) return word;
      }
    }
    return this.oldestFree(identity, now)?.address;
  }

  /** Hold `address`, which {@link mayHave} or {@link choose} gave, until the guest asks for it. */
  offer(identity: ClientIdentity, address: number, now: Instant): void {
    const record = this.take(identity, address, now);
    if (record.state === 'bound' && !record.isFree(now)) return;
    record.state = 'offered';
    record.link = identity.link;
    record.until = now + OFFER_MS;
  }

  /** The guest has `address`, which {@link mayHave} allowed, for so long. */
  bind(
    identity: ClientIdentity,
    address: number,
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
  release(identity: ClientIdentity, address: number, now: Instant): boolean {
    const record = this.owned(identity, address);
    if (record === undefined || record.state === 'declined') return false;
    record.state = 'released';
    record.expiresAt = Math.min(record.expiresAt, now);
    return true;
  }

  /** The guest takes no offer of ours (RFC 2131 §4.3.2: it chose another server). */
  withdraw(identity: ClientIdentity): void {
    for (const record of this.byAddress.values()) {
      if (this.isOf(record, identity) && record.state === 'offered') record.state = 'released';
    }
  }

  /** @returns whether the guest held it */
  decline(identity: ClientIdentity, address: number, now: Instant): boolean {
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

  stored(now: Instant, wallMs: number): StoredLease[] {
    return [...this.byAddress.values()]
      .filter((record) => record.wasBound && record.state !== 'declined')
      .map((record) => ({
        address: formatIpv4(record.address),
        mac: record.mac,
        client: record.client,
        hostname: record.hostname,
        expiresAtMs: onTheWall(record, now, wallMs),
      }));
  }

  leases(now: Instant, wallMs: number): Lease[] {
    const all: Lease[] = [];
    for (const fixed of this.staticByMac.values()) {
      if (this.byAddress.has(fixed.address)) continue;
      const name = fixed.hostname === undefined ? {} : { hostname: fixed.hostname };
      const address = formatIpv4(fixed.address);
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
        address: formatIpv4(record.address),
        mac: record.mac,
        ...(hostname === undefined ? {} : { hostname }),
        expiresAtMs: onTheWall(record, now, wallMs),
        static: record.fixed,
        state: record.fixed && free ? 'reserved' : state,
      });
    }
    return all;
  }

  private inPool(address: number): boolean {
    const unsigned = address >>> 0;
    return unsigned >= this.first && unsigned <= this.last && !this.reserved.has(address | 0);
  }

  /**
   * The record of a client. A guest whose boot stages identify themselves differently (firmware by
   * MAC, then its system by DUID) keeps its address: a record that is free, or that was made for
   * the bare MAC, follows the MAC. Two live client identifiers on one MAC stay two clients. What another uses is lost.
   */
  private find(identity: ClientIdentity, now: Instant): LeaseRecord | undefined {
    let byClient: LeaseRecord | undefined;
    let byMac: LeaseRecord | undefined;
    for (const record of this.byAddress.values()) {
      const free = record.isFree(now);
      if (free ? this.isTaken(identity, record.address) : record.state === 'declined') continue;
      const isSameMac = record.mac === identity.mac;
      if (record.client === identity.client && isSameMac) return record;
      if (this.isOf(record, identity)) byClient ??= record;
      if (!isSameMac) continue;
      const bare = record.client.startsWith('hw:') || identity.client.startsWith('hw:');
      if (bare || free) byMac ??= record;
    }
    return byClient ?? byMac;
  }

  /**
   * Whether the record is this client's: the same identifier, and not that of another guest on the segment, nor of one
   * that is away and whose link another has.
   */
  private isOf({ client, mac, link, state }: LeaseRecord, identity: ClientIdentity): boolean {
    if (client !== identity.client) return false;
    if (mac === identity.mac) return true;
    if (this.segment.isPresent(mac)) return false;
    return state !== 'bound' || link === undefined || link === identity.link;
  }

  private owned(identity: ClientIdentity, address: number): LeaseRecord | undefined {
    const record = this.byAddress.get(address);
    if (record === undefined) return undefined;
    return this.isOf(record, identity) || record.mac === identity.mac ? record : undefined;
  }

  private take(identity: ClientIdentity, address: number, now: Instant): LeaseRecord {
    const found = this.byAddress.get(address);
    if (found !== undefined && this.isOf(found, identity)) {
      found.mac = identity.mac;
      return found;
    }
    const same = found !== undefined && found.mac === identity.mac ? found : undefined;
    if (found === undefined && this.byAddress.size >= MAX_RECORDS) {
      const oldest = this.oldestFree(identity, now);
      if (oldest !== undefined) this.byAddress.delete(oldest.address);
    }
    if (same !== undefined) {
      same.client = identity.client;
      return same;
    }
    const fixed = this.staticFor(identity)?.address === address;
    const record = new LeaseRecord(address, fixed, identity);
    this.byAddress.set(address, record);
    return record;
  }

  /** Whether another guest uses the address without a lease: it never had one, or sends on after its end. */
  private isTaken({ mac }: ClientIdentity, address: number): boolean {
    const user = this.segment.userOf(address);
    if (user === undefined || user.mac === mac) return false;
    const record = this.byAddress.get(address);
    return record?.mac !== user.mac || user.heardAt > record.expiresAt + PARTING_MS;
  }

  private oldestFree(identity: ClientIdentity, now: Instant): LeaseRecord | undefined {
    let oldest: LeaseRecord | undefined;
    for (const record of this.byAddress.values()) {
      if (record.fixed || !record.isFree(now) || this.isTaken(identity, record.address)) continue;
      if (oldest === undefined || record.expiresAt < oldest.expiresAt) oldest = record;
    }
    return oldest;
  }
}

/** When it ends or ended, ms since the Unix epoch; 0 when it never began. */
const onTheWall = (record: LeaseRecord, now: Instant, wallMs: number): number =>
  record.wasBound ? Math.max(1, Math.round(wallMs + record.expiresAt - now)) : 0;
