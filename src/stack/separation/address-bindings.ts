/**
 * Which link holds an address: a binding table as of source address validation (RFC 7039, RFC 6620), for Ethernet and
 * both families of IP.
 *
 * Theory of operation
 * -------------------
 * An address belongs to the link that used it first, as long as that link is up. Four things come before that: a lease,
 * static or of DHCP, reserves its address for the link of the leaseholder's Ethernet address; an address on the list of
 * a link moves to it at once; one that is made of an Ethernet address (EUI-64), which everybody can foresee, is that of
 * the link with the Ethernet address; and a DHCP answer binds what it gives. A duplicate address probe makes a binding that
 * lapses unless the address is used.
 *
 * A link that goes leaves its addresses behind for a grace, if other links are up. They go to its successor: a link that
 * was attached later, or that had no Ethernet address yet, and sends with one of those that are left. Any other gets
 * them after the grace. What remains of two links in turn is the same as of one.
 *
 * Each kind of address has a limit, and each link a share that leaves room for others (`link-share.ts`): beyond it the
 * link's own oldest address is forgotten, and its record reused. Links that are gone share as one.
 */

import { makeKey } from '../../base/flow-key.ts';
import { FlowTable } from '../../base/flow-table.ts';
import { IpAddress, setWords } from '../../base/ip-address.ts';
import { mayHoldMore } from '../../base/link-share.ts';
import { type Instant, NEVER } from '../../base/time.ts';
import { wordAt } from '../../base/word-at.ts';
import { macOfEui64 } from '../../wire/eui64.ts';
import type { Mac } from '../../wire/mac.ts';
import { type AddressKind, readIpv6Key, setIpv4Key } from './address-key.ts';
import { setEthernetKey } from './ethernet-key.ts';
import { ADDRESS_KINDS, AddressBinding, LinkAddresses } from './link-addresses.ts';
import type { RefusedClaim } from './refused-claims.ts';
import { isAllowed } from './separation.ts';

export const MAX_BINDINGS = 4096;
/** An ARP probe is repeated within 2 s, and 2 s pass before the address is announced (RFC 5227 §1.1). */
export const PROBE_MS = 5000;

/** Who has a lease of an address. */
export interface LeaseHolders {
  /**
   * @param address its four words
   * @returns the Ethernet address that it is reserved for; 0: it is free
   */
  holderOf(now: Instant, address: Int32Array): Mac;
}

export const NO_LEASES: LeaseHolders = { holderOf: () => 0 };

export interface AddressBindingsConfig {
  /** Guest addresses of the subnet. */
  readonly subnetSize: number;
  /** Keys the hash. */
  readonly secret: number;
  /** How long the addresses of a link that is gone wait for it. */
  readonly graceMs: number;
  /** Ethernet addresses move with every frame, as in a switch. */
  readonly movesFreely: boolean;
  /** An IP address gave its place to another. */
  onForgotten(address: IpAddress): void;
  /** A link begins to claim an address of another. */
  onConflict(link: LinkAddresses, claim: RefusedClaim): void;
}

/** Who has an address. */
export interface AddressOwner {
  readonly mac: Mac;
  /** The number of the link that it is on; -1: it is on none that is up, and the address waits for it. */
  readonly link: number;
}

export class AddressBindings {
  leases: LeaseHolders = NO_LEASES;
  /** Changes when an Ethernet address comes, goes or moves. */
  epoch = 0;
  /** The address that the next call is about. */
  readonly key: Int32Array = makeKey();
  private readonly config: AddressBindingsConfig;
  private readonly stations = new Map<Mac, AddressBinding>();
  private readonly table: FlowTable<AddressBinding>;
  private readonly limits: Readonly<Record<AddressKind, number>>;
  private readonly totals: Record<AddressKind, number> = { ethernet: 0, subnet: 0, other: 0 };
  private readonly gone = new LinkAddresses(-1, []);
  private readonly scratch: Int32Array = makeKey();

  constructor(config: AddressBindingsConfig) {
    this.config = config;
    const subnet = Math.min(config.subnetSize, MAX_BINDINGS);
    this.limits = { ethernet: MAX_BINDINGS, subnet, other: MAX_BINDINGS };
    this.table = new FlowTable(MAX_BINDINGS + subnet, config.secret);
  }

  setIpv4(word: number): void {
    setIpv4Key(this.key, word);
  }

  readIpv6(view: DataView, at: number): void {
    readIpv6Key(this.key, view, at);
  }

  /** The number of the link that an Ethernet address was heard on; -1: of none that is up. */
  linkOf(mac: Mac): number {
    const found = this.stations.get(mac);
    return found?.holder === undefined ? -1 : found.link;
  }

  /** The record of an Ethernet address. */
  stationOf(mac: Mac): AddressBinding | undefined {
    return this.stations.get(mac);
  }

  /** Of the address in `key`, if a link that is up uses it: a probe is no use. */
  get user(): AddressBinding | undefined {
    const found = this.table.get(this.key);
    return found?.holder !== undefined && found.until === NEVER ? found : undefined;
  }

  /** Whether a link that is up uses the address in `key`, or has asked for it. */
  get isClaimed(): boolean {
    return this.table.get(this.key)?.holder !== undefined;
  }

  /**
   * `link` sends with the address in `key`, or says that it has it, by the Ethernet address `mac` of its own.
   *
   * @returns false when it is another's
   */
  claim(now: Instant, link: LinkAddresses, kind: AddressKind, mac: Mac): boolean {
    const found = kind === 'ethernet' ? this.stations.get(mac) : this.table.get(this.key);
    if (found?.holder === link) {
      found.until = NEVER;
      found.mac = mac;
      return true;
    }
    if (!this.mayTake(now, link, kind, mac, found)) {
      this.refuse(now, link, kind, mac);
      return false;
    }
    return this.give(found, link, kind, mac, NEVER);
  }

  /** Who keeps the address of a claim from `link` now; undefined: nobody any more. */
  ownerOf(now: Instant, link: LinkAddresses, claim: RefusedClaim): AddressOwner | undefined {
    const { kind, mac } = claim;
    setWords(this.key, claim);
    const found = kind === 'ethernet' ? this.stations.get(mac) : this.table.get(this.key);
    if (found?.holder === link || this.mayTake(now, link, kind, mac, found)) return undefined;
    const reserved = kind === 'ethernet' ? 0 : this.leases.holderOf(now, this.key);
    if (reserved !== 0) return { mac: reserved, link: this.linkOf(reserved) };
    const maker = kind === 'other' ? this.makerLink() : -1;
    if (maker >= 0) return { mac: this.maker, link: maker };
    if (found === undefined) return undefined;
    return { mac: found.mac, link: found.holder === undefined ? -1 : found.link };
  }

  /** A station of `link` asks whether the address in `key` is in use, since it wants to have it. */
  probe(now: Instant, link: LinkAddresses, kind: AddressKind, mac: Mac): void {
    const found = this.table.get(this.key);
    if (found?.holder === link) {
      if (found.until !== NEVER) found.until = now + PROBE_MS;
    } else if (this.mayTake(now, link, kind, mac, found)) {
      this.give(found, link, kind, mac, now + PROBE_MS);
    }
  }

  /** The address in `key` was leased to a station of `link`. */
  assign(link: LinkAddresses, kind: AddressKind, mac: Mac): void {
    this.give(this.table.get(this.key), link, kind, mac, NEVER);
  }

  /**
   * The link is gone.
   *
   * @param youngest number of the link that was attached last
   * @param isAlone no other link is up: there is nobody to keep the addresses from
   */
  release(now: Instant, link: LinkAddresses, youngest: number, isAlone: boolean): void {
    link.forgetLast();
    this.epoch++;
    for (const kind of ADDRESS_KINDS) {
      const from = link[kind];
      for (let binding = from.first; binding !== undefined; binding = from.first) {
        from.delete(binding);
        if (isAlone || !this.mayHold(this.gone, kind, 1)) {
          this.forget(binding);
          continue;
        }
        binding.holder = undefined;
        binding.youngest = youngest;
        binding.until = now + this.config.graceMs;
        this.gone[kind].add(binding);
      }
      if (isAlone) this.forgetGone(kind);
    }
  }

  private forgetGone(kind: AddressKind): void {
    const left = this.gone[kind];
    for (let binding = left.first; binding !== undefined; binding = left.first) {
      left.delete(binding);
      this.forget(binding);
    }
  }

  private mayTake(
    now: Instant,
    link: LinkAddresses,
    kind: AddressKind,
    mac: Mac,
    found: AddressBinding | undefined,
  ): boolean {
    if (kind === 'ethernet' && this.config.movesFreely) return true;
    const leased = kind === 'ethernet' ? 0 : this.leases.holderOf(now, this.key);
    if (leased !== 0) return leased === mac || this.linkOf(leased) === link.link;
    if (this.isListed(link, kind, mac)) return true;
    const maker = kind === 'other' ? this.makerLink() : -1;
    if (maker >= 0) return maker === link.link;
    if (found === undefined || found.until <= now) return true;
    return found.holder === undefined && this.inherits(link, kind, mac, found);
  }

  /** The link of the Ethernet address that the address in `key` is made of; -1: none that is up. */
  private makerLink(): number {
    return this.linkOf(this.maker);
  }

  private get maker(): Mac {
    return macOfEui64(wordAt(this.key, 2), wordAt(this.key, 3));
  }

  private refuse(now: Instant, link: LinkAddresses, kind: AddressKind, mac: Mac): void {
    if (kind === 'ethernet') setEthernetKey(this.key, mac);
    const begun = link.refused.add(now, this.key, kind, mac);
    if (begun !== undefined) this.config.onConflict(link, begun);
  }

  private isListed({ allowed }: LinkAddresses, kind: AddressKind, mac: Mac): boolean {
    if (allowed.length === 0) return false;
    if (kind === 'ethernet') setEthernetKey(this.key, mac);
    return isAllowed(allowed, this.key);
  }

  /** Whether `link` is the successor of the one that left the address behind. */
  private inherits(
    { heirOf, link, ethernet }: LinkAddresses,
    kind: AddressKind,
    mac: Mac,
    left: AddressBinding,
  ): boolean {
    if (heirOf === left.link) return true;
    if (kind !== 'ethernet') return mac === left.mac;
    return link > left.youngest || ethernet.first === undefined;
  }

  /** @returns false when there is no room */
  private give(
    found: AddressBinding | undefined,
    link: LinkAddresses,
    kind: AddressKind,
    mac: Mac,
    until: Instant,
  ): boolean {
    let binding = found;
    if (binding === undefined) {
      binding = this.make(link, kind, mac);
      if (binding === undefined) return false;
    } else {
      if (binding.holder === undefined) {
        this.gone[kind].delete(binding);
        if (kind === 'ethernet') link.heirOf = binding.link;
      } else {
        binding.holder[kind].delete(binding);
        if (binding.holder !== link) binding.holder.forgetLast();
      }
    }
    if (kind === 'ethernet') this.epoch++;
    binding.holder = link;
    binding.link = link.link;
    binding.mac = mac;
    binding.until = until;
    link[kind].add(binding);
    return true;
  }

  /** A record for the address in `key`, in no chain. */
  private make(link: LinkAddresses, kind: AddressKind, mac: Mac): AddressBinding | undefined {
    let binding: AddressBinding | undefined;
    if (!this.mayHold(link, kind, 0)) {
      binding = this.oldest(link, kind);
      if (binding === undefined) return undefined;
      (binding.holder ?? this.gone)[kind].delete(binding);
      this.forget(binding);
      if (kind !== 'ethernet') {
        link.forgetLastIp();
        const { a, b, c, d } = binding;
        this.config.onForgotten(new IpAddress(a, b, c, d));
      }
    }
    binding ??= new AddressBinding(kind);
    const { key } = this;
    binding.a = wordAt(key, 0);
    binding.b = wordAt(key, 1);
    binding.c = wordAt(key, 2);
    binding.d = wordAt(key, 3);
    if (kind === 'ethernet') this.stations.set(mac, binding);
    else this.table.set(key, binding);
    this.totals[kind]++;
    return binding;
  }

  /** What gives way to another address of `link`: never the Ethernet address of the frame at hand. */
  private oldest(link: LinkAddresses, kind: AddressKind): AddressBinding | undefined {
    const own = link[kind];
    const { first } = own;
    if (first === undefined) return this.gone[kind].first;
    if (kind !== 'ethernet' || first.mac !== link.lastEthernet) return first;
    own.delete(first);
    own.add(first);
    return own.first === first ? undefined : own.first;
  }

  /** @param counted how many of the total are to be given up */
  private mayHold(holder: LinkAddresses, kind: AddressKind, counted: number): boolean {
    return mayHoldMore(holder[kind].size, this.totals[kind] - counted, this.limits[kind]);
  }

  private forget(binding: AddressBinding): void {
    this.totals[binding.kind]--;
    if (binding.kind === 'ethernet') {
      this.stations.delete(binding.mac);
      this.epoch++;
      return;
    }
    const { scratch } = this;
    scratch[0] = binding.a;
    scratch[1] = binding.b;
    scratch[2] = binding.c;
    scratch[3] = binding.d;
    this.table.delete(scratch);
  }
}
