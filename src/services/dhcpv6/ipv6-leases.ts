/**
 * Leases of IPv6: 65536 addresses beside the gateway's, of which a guest gets the one that its Ethernet address leads
 * to, so that it is the same without a lease file; or the next that is free. Static leases are anywhere in the prefix.
 *
 * A DUID is no identity: machines cloned from one image share it, and one machine has another in its installer than in
 * its system (RFC 9915 §11 is a wish). So a lease is of an Ethernet address and follows it from one DUID or identity
 * association to the next, unless a client declines an address that it was given in this fashion: then there are
 * several clients behind one Ethernet address, as with ipvlan; the address goes back, and each has its own.
 */
import { IpAddress } from '../../base/ip-address.ts';
import type { Instant } from '../../base/time.ts';
import { macOf } from '../../wire/mac.ts';
import type { ClientIdentity, LeaseRecord } from '../dhcp/lease-record.ts';
import { type AddressPool, LeaseTable, type SegmentState } from '../dhcp/lease-table.ts';
import { addressIn, type Dhcpv6Config, interfaceIdOf } from './dhcpv6-config.ts';

const POOL_BITS = 16;
const POOL_SIZE = 2 ** POOL_BITS;

/** Who had a lease before another client with the same Ethernet address took it. */
interface FormerClient {
  readonly client: string;
  readonly expiresAt: Instant;
}

export class Ipv6Leases extends LeaseTable<bigint> {
  private readonly former = new WeakMap<LeaseRecord<bigint>, FormerClient>();
  /** Records of several clients behind one Ethernet address. */
  private readonly distinct = new WeakSet<LeaseRecord<bigint>>();

  constructor(config: Dhcpv6Config, segment: SegmentState<bigint>) {
    super(config, new PrefixPool(config), segment);
  }

  override decline(identity: ClientIdentity, address: bigint, now: Instant): boolean {
    const record = this.owned(identity, address);
    if (record === undefined || record.isFree(now)) return super.decline(identity, address, now);
    const former = this.former.get(record);
    if (this.isOf(record, identity)) {
      if (former === undefined || former.expiresAt <= now)
        return super.decline(identity, address, now);
      record.client = former.client;
      record.expiresAt = former.expiresAt;
    }
    this.former.delete(record);
    this.distinct.add(record);
    return true;
  }

  protected find(identity: ClientIdentity, now: Instant): LeaseRecord<bigint> | undefined {
    let live: LeaseRecord<bigint> | undefined;
    let ended: LeaseRecord<bigint> | undefined;
    for (const record of this.byAddress.values()) {
      if (record.mac !== identity.mac || record.state === 'declined') continue;
      const free = record.isFree(now);
      if (free && this.isTaken(identity, record.address)) continue;
      if (this.isOf(record, identity)) return record;
      if (free) ended ??= record;
      else if (!this.distinct.has(record)) live ??= record;
    }
    return live ?? ended;
  }

  protected isOf({ client, mac }: LeaseRecord<bigint>, identity: ClientIdentity): boolean {
    return client === identity.client && mac === identity.mac;
  }

  protected onTakeOver(record: LeaseRecord<bigint>, now: Instant): void {
    const { client, expiresAt } = record;
    if (record.state === 'bound' && !record.isFree(now)) {
      this.former.set(record, { client, expiresAt });
    } else this.former.delete(record);
  }
}

class PrefixPool implements AddressPool<bigint> {
  readonly size: number = POOL_SIZE;
  private readonly prefix: IpAddress;
  private readonly first: bigint;
  private readonly own: readonly bigint[];

  constructor({ prefix, gateway, dns }: Dhcpv6Config) {
    this.prefix = prefix;
    this.own = [gateway, ...dns].map(interfaceIdOf);
    const { a, b, c } = gateway;
    this.first = interfaceIdOf(new IpAddress(a, b, c, POOL_SIZE));
  }

  has(address: bigint): boolean {
    const isInside = address >> BigInt(POOL_BITS) === this.first >> BigInt(POOL_BITS);
    return isInside && !this.own.includes(address);
  }

  /** In steps of an odd number, which leads to each: neighbours in the order of one are not those of another. */
  *candidates({ mac }: ClientIdentity): Iterable<bigint> {
    const hash = hashOf(macOf(mac));
    const step = (hash >>> POOL_BITS) | 1;
    for (let i = 0; i < POOL_SIZE; i++) {
      yield this.first | BigInt((hash + Math.imul(i, step)) & (POOL_SIZE - 1));
    }
  }

  format(address: bigint): string {
    return addressIn(this.prefix, address).toString();
  }
}

/** Mixes all bits of both halves (Murmur3's finalizer). */
function hashOf(mac: number): number {
  let hash = (mac | 0) ^ Math.imul(Math.floor(mac / 0x1_0000_0000) + 1, 0x9e37_79b1);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return hash ^ (hash >>> 16);
}
