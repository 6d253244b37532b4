/** Who is on the segment, and where: what is known of stations by their frames. */
import { IpAddress, setWords } from '../base/ip-address.ts';
import type { Instant } from '../base/time.ts';
import type { Mac } from '../wire/mac.ts';
import type { Guest } from './guest.ts';
import type { LinkPort } from './link-port.ts';
import type { Neighbor, NeighborTable } from './neighbor.ts';
import type { EthernetSegment } from './segment.ts';
import type { AddressBindings } from './separation/address-bindings.ts';
import type { RefusedClaim } from './separation/refused-claims.ts';

export interface AddressUser {
  readonly mac: Mac;
  readonly heardAt: Instant;
}

/** An address that a station claims, and another has. */
export interface AddressConflict {
  readonly claim: RefusedClaim;
  readonly claimant: LinkPort;
  /** The station that has it. */
  readonly mac: Mac;
  /** That it is on; undefined: on none, and the address waits for it. */
  readonly owner: LinkPort | undefined;
}

export class Stations {
  private readonly segment: EthernetSegment;
  private readonly neighbors: NeighborTable;
  private readonly bindings: AddressBindings;

  constructor(segment: EthernetSegment, neighbors: NeighborTable, bindings: AddressBindings) {
    this.segment = segment;
    this.neighbors = neighbors;
    this.bindings = bindings;
  }

  /** Whether a station with this Ethernet address has been seen on a link that is attached. */
  hasStation(mac: Mac): boolean {
    return this.segment.hasStation(mac);
  }

  /** Whether the link of this number is attached. */
  hasLink(id: number): boolean {
    return this.segment.portOf(id) !== undefined;
  }

  /** Whatever is behind the link of the station with this Ethernet address. */
  guestOf(mac: Mac): Guest | undefined {
    return this.segment.portOf(this.bindings.linkOf(mac))?.guest;
  }

  /** The guest that was heard with `address`, if any. */
  neighborAt(address: IpAddress): Neighbor | undefined {
    return this.neighbors.findAddress(address);
  }

  /** Who uses `address` now, be it only with other guests. */
  userOf(now: Instant, address: IpAddress): AddressUser | undefined {
    const neighbor = this.neighbors.findAddress(address);
    if (neighbor?.port !== undefined) return { mac: neighbor.mac, heardAt: neighbor.lastSeen };
    setWords(this.bindings.key, address);
    const binding = this.bindings.user;
    return binding === undefined ? undefined : { mac: binding.mac, heardAt: now };
  }

  /** Every guest address seen. */
  forEachNeighbor(visit: (neighbor: Neighbor) => void): void {
    this.neighbors.forEach(visit);
  }

  /** Every station that is on a link, once for each of its addresses. */
  forEachAttached(visit: (mac: Mac) => void): void {
    this.neighbors.forEach(({ mac, port }) => {
      if (mac !== 0 && port !== undefined) visit(mac);
    });
  }

  /** IPv6 addresses that a station has asked for, or used, while its link is up: the first one first. */
  forEachClaim(mac: Mac, visit: (address: IpAddress) => void): void {
    for (const { addresses } of this.segment.ports) {
      for (const { a, b, c, d, mac: claimant } of addresses.other) {
        if (claimant === mac) visit(new IpAddress(a, b, c, d));
      }
    }
  }

  /** Every address that a link claims though it is another's: its frames with it are dropped. */
  forEachConflict(now: Instant, visit: (conflict: AddressConflict) => void): void {
    for (const port of this.segment.ports) {
      port.addresses.refused.forEach(now, (claim) => {
        const conflict = this.conflictOf(now, port, claim);
        if (conflict !== undefined) visit(conflict);
      });
    }
  }

  /** @returns undefined when nobody has the address any more, or the claimant itself */
  conflictOf(now: Instant, claimant: LinkPort, claim: RefusedClaim): AddressConflict | undefined {
    const owner = this.bindings.ownerOf(now, claimant.addresses, claim);
    if (owner === undefined) return undefined;
    return { claim, claimant, mac: owner.mac, owner: this.segment.portOf(owner.link) };
  }

  /** Times that links were refused addresses beyond those that {@link forEachConflict} has of them. */
  get conflictsUnlisted(): number {
    let times = 0;
    for (const { addresses } of this.segment.ports) times += addresses.refused.unlisted;
    return times;
  }

  /** The station that claims an address of the network on the link that was attached first; 0: none does. */
  firstClaimant(prefix: IpAddress): Mac {
    for (const { addresses } of this.segment.ports) {
      for (const { a, b, mac } of addresses.other) if (a === prefix.a && b === prefix.b) return mac;
    }
    return 0;
  }
}
