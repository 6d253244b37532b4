/**
 * Resolves a name, an Ethernet address, or the absence of both to a guest: done for every client that
 * connects, because addresses change with leases.
 *
 * A name of the configuration's static leases is that lease's Ethernet address, whatever names guests
 * send. A name that guests claim by DHCP belongs to the first claimant for as long as it holds its lease
 * under that name. "The first guest" is the one attached for longest when the port was published, or else
 * the next one to attach, and does not change then.
 */
import type { IpAddress } from '../base/ip-address.ts';
import type { Log } from '../base/log.ts';
import type { GuestChoice, Guests, GuestTarget } from '../proxy/ports/publication-guest.ts';
import { parseAddress } from '../services/address-text.ts';
import type { Lease } from '../services/dhcp/lease.ts';
import { formatMac, type Mac } from '../wire/mac.ts';

/** A guest's place on the segment, as the stack knows it. */
export interface GuestPlace {
  readonly address: IpAddress;
  /** 0: not known yet. */
  readonly mac: Mac;
  /** Undefined while its link is gone. */
  readonly port: { readonly attachedAt: number } | undefined;
}

interface Placed {
  readonly address: IpAddress;
  readonly attached: boolean;
}

export interface GuestDirectoryDeps {
  readonly forEachPlace: (visit: (place: GuestPlace) => void) => void;
  readonly placeAt: (address: IpAddress) => GuestPlace | undefined;
  readonly leases: () => readonly Lease[];
  /** The guest that an address is leased to, or reserved for; 0: none. */
  readonly holderAt: (address: IpAddress) => Mac;
  /** Of the configuration; Ethernet addresses in lower case. */
  readonly staticLeases: readonly { readonly mac: string; readonly hostname: string | undefined }[];
  readonly log: Log;
}

export class GuestDirectory implements Guests {
  private readonly deps: GuestDirectoryDeps;
  /** Ethernet addresses by name: of the configuration, and of the guests that hold a name now. */
  private readonly configured = new Map<string, string>();
  private readonly holders = new Map<string, string>();
  private readonly disputed = new Set<string>();
  /** Publications for the first guest while there is none. */
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
    const first = new FirstGuest(this, this.firstAttached());
    if (first.mac === undefined) this.waiting.add(first);
    return first;
  }

  /** A guest attached, or reattached. */
  onGuestHeard(mac: Mac): void {
    if (this.waiting.size === 0) return;
    const text = formatMac(mac);
    for (const first of this.waiting) first.mac = text;
    this.waiting.clear();
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
  }

  /**
   * @internal for targets: the guest's current address, or that of its lease. Of several addresses, an
   * attached one is preferred, then the leased one, then the lowest.
   */
  placeOf(mac: string): Placed | undefined {
    const wanted = Number.parseInt(mac.replaceAll(':', ''), 16);
    const places: GuestPlace[] = [];
    this.deps.forEachPlace((place) => {
      if (place.mac === wanted) places.push(place);
    });
    const attached = places.filter(({ port }) => port !== undefined);
    const known = attached.length > 0 ? attached : places;
    if (known.length === 1) return placed(known[0]);
    const leased = this.leasedTo(mac);
    if (known.length === 0) {
      return leased === undefined ? undefined : { address: leased, attached: false };
    }
    return placed(known.find(({ address }) => leased?.equals(address) === true) ?? lowest(known));
  }

  /** @internal for targets */
  whoIsAt(address: IpAddress): { readonly mac: string | undefined; readonly attached: boolean } {
    const place = this.deps.placeAt(address);
    const mac = place !== undefined && place.mac !== 0 ? place.mac : this.deps.holderAt(address);
    return { mac: mac === 0 ? undefined : formatMac(mac), attached: place?.port !== undefined };
  }

  /** @internal for targets */
  forget(first: FirstGuest): void {
    this.waiting.delete(first);
  }

  private macOf(name: string): string | undefined {
    return this.configured.get(name) ?? this.holders.get(name);
  }

  /** The guest that has been attached for longest. */
  private firstAttached(): string | undefined {
    let first: GuestPlace | undefined;
    let since = Number.POSITIVE_INFINITY;
    this.deps.forEachPlace((place) => {
      const attachedAt = place.port?.attachedAt ?? Number.POSITIVE_INFINITY;
      if (place.mac === 0 || attachedAt >= since) return;
      first = place;
      since = attachedAt;
    });
    return first === undefined ? undefined : formatMac(first.mac);
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
    const lease = this.deps.leases().find((one) => one.mac === mac && isHeld(one));
    return lease === undefined ? undefined : parseAddress(lease.address);
  }
}

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

class AddressTarget implements GuestTarget {
  readonly address: IpAddress;
  private readonly directory: GuestDirectory;

  constructor(directory: GuestDirectory, address: IpAddress) {
    this.directory = directory;
    this.address = address;
  }

  get mac(): string | undefined {
    return this.directory.whoIsAt(this.address).mac;
  }

  get attached(): boolean {
    return this.directory.whoIsAt(this.address).attached;
  }

  release(): void {}
}

class MacTarget implements GuestTarget {
  private readonly directory: GuestDirectory;
  private readonly find: () => string | undefined;

  constructor(directory: GuestDirectory, find: () => string | undefined) {
    this.directory = directory;
    this.find = find;
  }

  get mac(): string | undefined {
    return this.find();
  }

  get address(): IpAddress | undefined {
    return addressOf(this.directory, this.find());
  }

  get attached(): boolean {
    return isAttached(this.directory, this.find());
  }

  release(): void {}
}

class FirstGuest implements GuestTarget {
  mac: string | undefined;
  private readonly directory: GuestDirectory;

  constructor(directory: GuestDirectory, mac: string | undefined) {
    this.directory = directory;
    this.mac = mac;
  }

  get address(): IpAddress | undefined {
    return addressOf(this.directory, this.mac);
  }

  get attached(): boolean {
    return isAttached(this.directory, this.mac);
  }

  release(): void {
    this.directory.forget(this);
  }
}

const addressOf = (directory: GuestDirectory, mac: string | undefined): IpAddress | undefined =>
  mac === undefined ? undefined : directory.placeOf(mac)?.address;

const isAttached = (directory: GuestDirectory, mac: string | undefined): boolean =>
  mac !== undefined && directory.placeOf(mac)?.attached === true;
