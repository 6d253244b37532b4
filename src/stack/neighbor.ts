/**
 * The neighbours on the segment: the map from a guest's IP address to its Ethernet address and link.
 *
 * Theory of operation
 * -------------------
 * Entries are learned from ARP and from the source of every IP packet that a guest sends. Flows
 * hold the entry itself, so a guest that comes back on another link, or with another Ethernet
 * address, takes its flows along. An entry without a link is a guest that is away or was never
 * seen; frames to it are dropped and TCP retransmits, for the grace that a guest has to come back.
 * At the limit the entry longest unused and without flows is replaced.
 */

import { KEY_GUEST, makeKey, setKeyAddress } from '../base/flow-key.ts';
import { FlowTable } from '../base/flow-table.ts';
import type { IpAddress } from '../base/ip-address.ts';
import { type Instant, NEVER } from '../base/time.ts';
import { wordAt } from '../base/word-at.ts';
import { setEtherType } from '../wire/ethernet.ts';
import { formatMac, type Mac, writeMac } from '../wire/mac.ts';
import type { Guest } from './guest.ts';
import type { LinkPort } from './link-port.ts';

/** Twice the addresses that guests may hold where they are separated, so that nobody pushes out those of others. */
const MAX_NEIGHBORS = 8192;
const MAX_PATH_MTU = 65_535;

/** Notified when a neighbour that flows wait for becomes reachable. */
export interface NeighborWaiter {
  onNeighborUp(now: Instant): void;
  /** It was asked for as often as may be, and is on no link. */
  onNeighborUnanswered?(now: Instant): void;
}

export class Neighbor {
  readonly address: IpAddress;
  mac: Mac = 0;
  port: LinkPort | undefined = undefined;
  /** Whose address it is: of the link where it was heard last, also while that is gone. */
  guest: Guest;
  lastSeen: Instant;
  /** When ARP last asked for it. */
  askedAt: Instant = Number.NEGATIVE_INFINITY;
  /** Its link went, and no other has come since. */
  isAway = false;
  /** When its link went, while its flows wait for it; else `NEVER`. */
  goneAt: Instant = NEVER;
  /** Questions put in the series that runs; see `resolution.ts`. */
  asks = 0;
  /** It did not answer: until then a neighbour that has a link is not asked again. */
  restsUntil: Instant = Number.NEGATIVE_INFINITY;
  /** What the way to it takes, as far as it said (RFC 8201). */
  pathMtu: number = MAX_PATH_MTU;
  /** TCP connections and pending requests that hold this entry. */
  users = 0;
  readonly waiters: Set<NeighborWaiter> = new Set();
  private dst01 = 0;
  private dst2src0 = 0;
  private src12 = 0;

  constructor(address: IpAddress, guest: Guest, now: Instant) {
    this.address = address;
    this.guest = guest;
    this.lastSeen = now;
  }

  get macText(): string {
    return formatMac(this.mac);
  }

  /** Whether this is the neighbour with the address in four words of `words` from `at`. */
  isAt(words: Int32Array, at: number): boolean {
    const { a, b, c, d } = this.address;
    return words[at + 3] === d && words[at + 2] === c && words[at + 1] === b && words[at] === a;
  }

  setMac(mac: Mac, ours: Mac): void {
    this.mac = mac;
    this.dst01 = Math.floor(mac / 0x1_0000) | 0;
    this.dst2src0 = ((mac & 0xffff) << 16) | Math.floor(ours / 0x1_0000_0000);
    this.src12 = ours | 0;
  }

  /** Write the Ethernet header of a frame to this neighbour. */
  emitEthernet(view: DataView, off: number, type: number): void {
    view.setInt32(off, this.dst01);
    view.setInt32(off + 4, this.dst2src0);
    view.setInt32(off + 8, this.src12);
    setEtherType(view, off, type);
  }
}

export class NeighborTable {
  private readonly ours: Mac;
  private readonly table: FlowTable<Neighbor>;
  private readonly scratch = makeKey();
  private readonly nobody: Guest;
  private readonly onHeard: (now: Instant, neighbor: Neighbor) => void;
  /** Called when one whose link is gone gives its place to another, before its grace is over. */
  onGivenUp: ((neighbor: Neighbor) => void) | undefined = undefined;

  /**
   * @param nobody owner of addresses that were not heard yet
   * @param onHeard called when a guest is heard for the first time, or elsewhere than before
   */
  constructor(
    ours: Mac,
    secret: number,
    nobody: Guest,
    onHeard: (now: Instant, neighbor: Neighbor) => void = () => {},
  ) {
    this.ours = ours;
    this.nobody = nobody;
    this.onHeard = onHeard;
    this.table = new FlowTable(MAX_NEIGHBORS, secret);
  }

  /** The entry of the address in four words of `words` from `at`. */
  find(words: Int32Array, at: number): Neighbor | undefined {
    const key = this.scratch;
    for (let i = 0; i < 4; i++) key[i] = wordAt(words, at + i);
    return this.table.get(key);
  }

  findAddress(address: IpAddress): Neighbor | undefined {
    setKeyAddress(this.scratch, KEY_GUEST, address);
    return this.table.get(this.scratch);
  }

  /** The entry of `address`, made if need be; undefined when the table is full of used ones. */
  obtain(now: Instant, address: IpAddress): Neighbor | undefined {
    const found = this.findAddress(address);
    if (found !== undefined) return found;
    if (this.table.size >= MAX_NEIGHBORS && !this.evict()) return undefined;
    const neighbor = new Neighbor(address, this.nobody, now);
    neighbor.setMac(0, this.ours);
    setKeyAddress(this.scratch, KEY_GUEST, address);
    this.table.set(this.scratch, neighbor);
    return neighbor;
  }

  /** `neighbor` was heard with `mac` on `port`. */
  learn(now: Instant, neighbor: Neighbor, mac: Mac, port: LinkPort): void {
    neighbor.lastSeen = now;
    if (neighbor.mac === mac && neighbor.port === port) return;
    neighbor.setMac(mac, this.ours);
    neighbor.port = port;
    neighbor.guest = port.guest;
    neighbor.goneAt = NEVER;
    neighbor.isAway = false;
    neighbor.pathMtu = MAX_PATH_MTU;
    const waiting = [...neighbor.waiters];
    neighbor.waiters.clear();
    for (const waiter of waiting) waiter.onNeighborUp(now);
    this.onHeard(now, neighbor);
  }

  /** The link of `port` is gone. */
  detach(now: Instant, port: LinkPort): void {
    this.table.forEach((neighbor) => {
      if (neighbor.port !== port) return;
      neighbor.port = undefined;
      neighbor.lastSeen = now;
      neighbor.goneAt = now;
      neighbor.isAway = true;
    });
  }

  /** Nobody holds `address` any more: forget it, unless something still refers to it. */
  forget(address: IpAddress): void {
    const neighbor = this.findAddress(address);
    if (neighbor === undefined || neighbor.users > 0 || neighbor.waiters.size > 0) return;
    neighbor.port = undefined;
    this.table.delete(this.scratch);
    this.giveUp(neighbor);
  }

  forEach(visit: (neighbor: Neighbor) => void): void {
    this.table.forEach(visit);
  }

  private evict(): boolean {
    let oldest: Neighbor | undefined;
    this.table.forEach((neighbor) => {
      if (neighbor.users > 0) return;
      if (oldest === undefined || neighbor.lastSeen < oldest.lastSeen) oldest = neighbor;
    });
    if (oldest === undefined) return false;
    oldest.port = undefined; // whoever still holds it must look the address up again
    setKeyAddress(this.scratch, KEY_GUEST, oldest.address);
    this.table.delete(this.scratch);
    this.giveUp(oldest);
    return true;
  }

  private giveUp(neighbor: Neighbor): void {
    if (neighbor.goneAt === NEVER) return;
    neighbor.goneAt = NEVER;
    this.onGivenUp?.(neighbor);
  }
}

/** Write an Ethernet header for frames that no neighbour entry stands for. */
export function emitEthernetTo(
  view: DataView,
  off: number,
  dst: Mac,
  src: Mac,
  type: number,
): void {
  writeMac(view, off, dst);
  writeMac(view, off + 6, src);
  setEtherType(view, off, type);
}
