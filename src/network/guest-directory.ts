/**
 * Resolves a name, an Ethernet address, or the absence of both to a guest: done for every client that
 * connects, because addresses change with leases.
 *
 * A name of the configuration's static leases is that lease's Ethernet address, whatever names guests
 * send. A name that guests claim by DHCP belongs to the first claimant for as long as it holds its lease
 * under that name. "The first guest" is the one attached for longest when the port was published, or else
 * the next one to attach, and does not change then. Behind one link may be a bridge, which is heard by IPv6 before those
 * that it joins: who has a lease or uses IPv4 goes before a station of the same link that has neither.
 */
import type { IpAddress } from '../base/ip-address.ts';
import type { Log } from '../base/log.ts';
import type { GuestChoice, Guests, GuestTarget } from '../proxy/ports/publication-guest.ts';
import { parseAddress } from '../services/address-text.ts';
import type { Lease } from '../services/dhcp/lease.ts';
import { eui64Address, LINK_LOCAL } from '../wire/eui64.ts';
import { formatMac, type Mac, macOf } from '../wire/mac.ts';
import {
  AddressTarget,
  type Behind,
  type Candidate,
  FirstGuest,
  MacTarget,
  type Placed,
  type TargetDirectory,
} from './guest-targets.ts';

/** A guest's place on the segment, as the stack knows it. */
export interface GuestPlace {
  readonly address: IpAddress;
  /** 0: not known yet. */
  readonly mac: Mac;
  /** Undefined while its link is gone. */
  readonly port: { readonly attachedAt: number; readonly guest: Behind } | undefined;
}

export interface GuestDirectoryDeps {
  readonly forEachPlace: (visit: (place: GuestPlace) => void) => void;
  /** Of the guest with this Ethernet address: see `Stack.forEachClaim`. */
  readonly forEachClaim: (mac: Mac, visit: (address: IpAddress) => void) => void;
  /** Whoever uses the address, be it only with other guests; 0: nobody. */
  readonly userAt: (address: IpAddress) => Mac;
  /** See `Stack.firstClaimant`. */
  readonly firstClaimant: (prefix: IpAddress) => Mac;
  /** The guests' IPv6 network, a /64; undefined where they have none. */
  readonly prefix6: IpAddress | undefined;
  /** Undefined: no station with this Ethernet address is there. */
  readonly guestOf: (mac: Mac) => Behind | undefined;
  readonly placeAt: (address: IpAddress) => GuestPlace | undefined;
  readonly leases: () => readonly Lease[];
  /** The guest that an address is leased to, or reserved for; 0: none. */
  readonly holderAt: (address: IpAddress) => Mac;
  /** Of the configuration; Ethernet addresses in lower case. */
  readonly staticLeases: readonly { readonly mac: string; readonly hostname: string | undefined }[];
  readonly log: Log;
}

export class GuestDirectory implements Guests, TargetDirectory {
  private readonly deps: GuestDirectoryDeps;
  /** Ethernet addresses by name: of the configuration, and of the guests that hold a name now. */
  private readonly configured = new Map<string, string>();
  private readonly holders = new Map<string, string>();
  /** The first name of each. */
  private readonly nameByMac = new Map<string, string>();
  private readonly disputed = new Set<string>();
  /** Publications for the first guest while it is not certain. */
  private readonly waiting = new Set<FirstGuest>();

  constructor(deps: GuestDirectoryDeps) {
    this.deps = deps;
    for (const { mac, hostname } of deps.staticLeases) {
      if (hostname !== undefined) this.configured.set(hostname.toLowerCase(), mac);
    }
    this.onLeases();
  }

  targetOf({ guestAddress, guest }: GuestChoice): GuestTarget {
    if (guestAddress !== undefined) return new AddressTarget(this, guestAddress);
    if (guest?.kind === 'mac') return new MacTarget(this, () => guest.mac);
    if (guest?.kind === 'name') return new MacTarget(this, () => this.macOf(guest.name));
    const first = new FirstGuest(this);
    this.waiting.add(first);
    const attached = this.firstAttached();
    if (attached !== undefined) first.consider(attached);
    return first;
  }

  /**
   * A guest attached, or reattached.
   *
   * @param isCertain it has a lease, or uses IPv4
   */
  onGuestHeard(mac: Mac, isCertain: boolean): void {
    if (this.waiting.size === 0) return;
    const heard = this.candidate(mac, isCertain);
    for (const first of [...this.waiting]) first.consider(heard);
  }

  /** Leases have changed: names may have been added and removed. */
  onLeases(): void {
    const claims = new Map<string, string[]>();
    for (const { hostname, mac, state } of this.deps.leases()) {
      if (hostname === undefined || state !== 'bound') continue;
      const name = hostname.toLowerCase();
      const claimants = claims.get(name);
      if (claimants === undefined) claims.set(name, [mac]);
      else claimants.push(mac);
    }
    for (const [name, holder] of this.holders) {
      if (claims.get(name)?.includes(holder) !== true) this.holders.delete(name);
    }
    for (const [name, claimants] of claims) this.settle(name, claimants);
    for (const name of this.disputed) if (!claims.has(name)) this.disputed.delete(name);
    this.nameByMac.clear();
    for (const [name, mac] of [...this.configured, ...this.holders]) {
      if (!this.nameByMac.has(mac)) this.nameByMac.set(mac, name);
    }
  }

  /** Where the guest of a name is to be found, by DNS: none of its addresses that may be temporary. */
  namedAddresses(name: string): readonly IpAddress[] {
    const mac = this.macOf(name);
    if (mac === undefined) return [];
    const places = this.placesOf(mac);
    const ipv4 = this.ipv4Of(mac, places.filter(isIpv4));
    const [stable] = this.ipv6Of(mac, places);
    return ipv4 === undefined ? stable : [ipv4.address, ...stable];
  }

  nameAt(address: IpAddress): string | undefined {
    const mac = this.whoIsAt(address).mac ?? formatMac(this.deps.userAt(address));
    return this.nameByMac.get(mac);
  }

  /**
   * Of several addresses, an attached one is preferred, then the leased one, then the lowest; one of IPv6 where there is
   * no other.
   */
  placeOf(mac: string): Placed | undefined {
    const places = this.placesOf(mac);
    const ipv4 = this.ipv4Of(mac, places.filter(isIpv4));
    if (ipv4 !== undefined) return ipv4;
    const [address] = this.ipv6Of(mac, places).flat();
    if (address === undefined) return undefined;
    const isKnown = places.some((place) => place.address.equals(address));
    const attached = !isKnown || places.some(({ port }) => port !== undefined);
    return { address, attached }; // claims are of links that are up
  }

  addressesOf(mac: string, client: 4 | 6 | undefined): readonly IpAddress[] {
    const places = this.placesOf(mac);
    const placed4 = this.ipv4Of(mac, places.filter(isIpv4));
    const ipv4 = placed4 === undefined ? [] : [placed4.address];
    const [stable, others] = this.ipv6Of(mac, places);
    return client === 6 ? [...stable, ...ipv4, ...others] : [...ipv4, ...stable, ...others];
  }

  private placesOf(mac: string): GuestPlace[] {
    const wanted = macOf(mac);
    const places: GuestPlace[] = [];
    this.deps.forEachPlace((place) => {
      if (place.mac === wanted) places.push(place);
    });
    return places;
  }

  /**
   * Addresses that a guest keeps: leased ones, then the one that it makes of its Ethernet address. Of others it cannot be
   * known which are temporary (RFC 8981), unless there is one alone; they come last.
   */
  private ipv6Of(
    mac: string,
    places: readonly GuestPlace[],
  ): readonly [stable: readonly IpAddress[], others: readonly IpAddress[]] {
    const { prefix6, forEachClaim, holderAt } = this.deps;
    if (prefix6 === undefined) return NONE;
    const number = macOf(mac);
    const own = eui64Address(prefix6, number);
    const known: IpAddress[] = [];
    const add = (address: IpAddress): void => {
      if (known.length < ADDRESSES_MAX && isOf(prefix6, address) && !includes(known, address)) {
        known.push(address);
      }
    };
    forEachClaim(number, add);
    for (const { address } of places) {
      if (address.family === 4) continue;
      // Its link-local address says how the other is made, which was not heard yet.
      add(isLinkLocalOf(own, address) ? own : address);
    }
    if (known.length === 1) return [known, []];
    const leased: IpAddress[] = [];
    const made: IpAddress[] = [];
    const others: IpAddress[] = [];
    for (const address of known) {
      const kind = holderAt(address) === number ? leased : address.equals(own) ? made : others;
      kind.push(address);
    }
    return [[...leased, ...made], others];
  }

  private ipv4Of(mac: string, places: readonly GuestPlace[]): Placed | undefined {
    const attached = places.filter(({ port }) => port !== undefined);
    const known = attached.length > 0 ? attached : places;
    if (known.length === 1) return placed(known[0]);
    const leased = this.leasedTo(mac);
    if (known.length === 0) {
      return leased === undefined ? undefined : { address: leased, attached: false };
    }
    return placed(known.find(({ address }) => leased?.equals(address) === true) ?? lowest(known));
  }

  whoIsAt(address: IpAddress): { readonly mac: string | undefined; readonly attached: boolean } {
    const place = this.deps.placeAt(address);
    const mac = place !== undefined && place.mac !== 0 ? place.mac : this.deps.holderAt(address);
    return { mac: mac === 0 ? undefined : formatMac(mac), attached: place?.port !== undefined };
  }

  claimant(): Candidate | undefined {
    const { prefix6, firstClaimant } = this.deps;
    const mac = prefix6 === undefined ? 0 : firstClaimant(prefix6);
    return mac === 0 ? undefined : this.candidate(mac, false);
  }

  forget(first: FirstGuest): void {
    this.waiting.delete(first);
  }

  private macOf(name: string): string | undefined {
    return this.configured.get(name) ?? this.holders.get(name);
  }

  /** The guest that has been attached for longest. */
  private firstAttached(): Candidate | undefined {
    let first: GuestPlace | undefined;
    let since = Number.POSITIVE_INFINITY;
    let isCertain = false;
    this.deps.forEachPlace((place) => {
      const attachedAt = place.port?.attachedAt ?? Number.POSITIVE_INFINITY;
      if (place.mac === 0 || attachedAt > since) return;
      const isBetter = !isCertain && this.isOfGuest(place);
      if (attachedAt === since && !isBetter) return;
      first = place;
      since = attachedAt;
      isCertain = this.isOfGuest(place);
    });
    if (first?.port === undefined) return undefined;
    if (isCertain) return this.candidate(first.mac, true);
    const { guest } = first.port;
    const leased = this.deps
      .leases()
      .find(({ state, mac }) => state === 'bound' && this.deps.guestOf(macOf(mac)) === guest);
    return leased === undefined
      ? this.candidate(first.mac, false)
      : this.candidate(macOf(leased.mac), true);
  }

  /** Rather than of a bridge. */
  private isOfGuest({ address, mac }: GuestPlace): boolean {
    return address.family === 4 || this.deps.holderAt(address) === mac;
  }

  private candidate(mac: Mac, isCertain: boolean): Candidate {
    return { mac: formatMac(mac), behind: this.deps.guestOf(mac), isCertain };
  }

  private settle(name: string, claimants: readonly string[]): void {
    const configured = this.configured.get(name);
    const holder = configured ?? this.holders.get(name) ?? claimants[0];
    if (holder === undefined) return;
    if (configured === undefined) this.holders.set(name, holder);
    const other = claimants.find((mac) => mac !== holder);
    if (other === undefined || this.disputed.has(name)) return;
    this.disputed.add(name);
    this.deps.log.warn(
      { name, holder, other },
      'two guests claim one name: it stays with the first; give the other another host name',
    );
  }

  private leasedTo(mac: string): IpAddress | undefined {
    const lease = this.deps
      .leases()
      .find((one) => one.mac === mac && isHeld(one) && !one.address.includes(':'));
    return lease === undefined ? undefined : parseAddress(lease.address);
  }
}

/** IPv6 addresses of one guest that are looked at. */
const ADDRESSES_MAX = 16;

const NONE = [[], []] as const;

const includes = (all: readonly IpAddress[], address: IpAddress): boolean =>
  all.some((one) => one.equals(address));

/** Whether `address` is link-local, of the same Ethernet address as `own`. */
const isLinkLocalOf = (own: IpAddress, { a, b, c, d }: IpAddress): boolean =>
  a === LINK_LOCAL.a && b === 0 && c === own.c && d === own.d;

const isIpv4 = ({ address }: GuestPlace): boolean => address.family === 4;

const isOf = (prefix: IpAddress, { a, b }: IpAddress): boolean => a === prefix.a && b === prefix.b;

/** A static lease belongs to its guest, whether or not the guest has requested it. */
const isHeld = ({ state }: Lease): boolean => state === 'bound' || state === 'reserved';

const placed = (place: GuestPlace | undefined): Placed | undefined =>
  place === undefined ? undefined : { address: place.address, attached: place.port !== undefined };

const lowest = (places: readonly GuestPlace[]): GuestPlace | undefined =>
  places.reduce<GuestPlace | undefined>(
    (low, place) =>
      low === undefined || place.address.d >>> 0 < low.address.d >>> 0 ? place : low,
    undefined,
  );
