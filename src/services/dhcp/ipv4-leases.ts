/**
 * Leases of IPv4: any address of the subnet, the lowest first.
 *
 * A client identifier is a claim: virtual machines cloned from one image send the same one. It identifies the client
 * while its holder's Ethernet address is the same, or gone from the segment; otherwise they are two guests.
 */
import { formatIpv4 } from '../../base/ip-address.ts';
import type { Instant } from '../../base/time.ts';
import type { DhcpConfig } from './config.ts';
import type { ClientIdentity, LeaseRecord } from './lease-record.ts';
import { type AddressPool, LeaseTable, type SegmentState } from './lease-table.ts';

export interface Ipv4SegmentState extends SegmentState<number> {
  /** Whether an Ethernet address is on it. */
  isPresent(mac: string): boolean;
}

export class Ipv4Leases extends LeaseTable<number> {
  private readonly stations: Pick<Ipv4SegmentState, 'isPresent'>;

  constructor(config: DhcpConfig, segment: Ipv4SegmentState) {
    super(config, new SubnetPool(config), segment);
    this.stations = segment;
  }

  /** The holder of a lease with the same client identifier that is another guest. */
  namesake(identity: ClientIdentity, now: Instant): string | undefined {
    for (const record of this.byAddress.values()) {
      if (record.client !== identity.client || record.mac === identity.mac) continue;
      if (!record.isFree(now) && this.stations.isPresent(record.mac)) return record.mac;
    }
    return undefined;
  }

  /**
   * A guest whose boot stages identify themselves differently (firmware by MAC, then its system by DUID) keeps its
   * address: a record that is free, or that was made for the bare MAC, follows the MAC. Two live client identifiers on
   * one MAC stay two clients. What another uses is lost.
   */
  protected find(identity: ClientIdentity, now: Instant): LeaseRecord<number> | undefined {
    let byClient: LeaseRecord<number> | undefined;
    let byMac: LeaseRecord<number> | undefined;
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
  protected isOf(
    { client, mac, link, state }: LeaseRecord<number>,
    identity: ClientIdentity,
  ): boolean {
    if (client !== identity.client) return false;
    if (mac === identity.mac) return true;
    if (this.stations.isPresent(mac)) return false;
    return state !== 'bound' || link === undefined || link === identity.link;
  }

  protected onTakeOver(): void {}
}

class SubnetPool implements AddressPool<number> {
  readonly size: number;
  private readonly first: number;
  private readonly last: number;
  private readonly own: readonly number[];

  constructor({ prefix, subnet, gateway, hostIp, dns, range, staticLeases }: DhcpConfig) {
    const size = 2 ** (32 - prefix);
    const base = (subnet & (prefix === 0 ? 0 : -size)) >>> 0;
    // Neither the network's nor the broadcast address.
    this.first = Math.max(base + 1, (range?.first ?? 0) >>> 0);
    this.last = Math.min(base + size - 2, (range?.last ?? -1) >>> 0);
    this.own = [gateway, hostIp ?? gateway, ...dns];
    const reserved = new Set([...this.own, ...staticLeases.map((l) => l.address)]);
    const inside = [...reserved].filter((word) => this.isInside(word));
    this.size = this.last - this.first + 1 - inside.length;
  }

  has(address: number): boolean {
    return this.isInside(address) && !this.own.includes(address);
  }

  *candidates(): Iterable<number> {
    for (let address = this.first; address <= this.last; address++) yield address | 0;
  }

  format(address: number): string {
    return formatIpv4(address);
  }

  private isInside(address: number): boolean {
    return address >>> 0 >= this.first && address >>> 0 <= this.last;
  }
}
