/**
 * A guest: whatever is behind one link, be it a VM or a bridge with many. Everything that costs something has a guest
 * as its owner, in a tree with the listener that its link came by; see `base/shares`. The record survives its link: a
 * guest that comes back with one of its Ethernet addresses is the same guest, with the flows and debts that it had.
 */
import { Counters } from '../base/counters.ts';
import type { Owner } from '../base/shares/owner.ts';
import { Rate } from '../base/shares/rate.ts';
import { type Instant, NEVER } from '../base/time.ts';
import type { Mac } from '../wire/mac.ts';

/** Of a bridge with more, those heard last are not shown, and do not bring the record back. */
const MACS_MAX = 64;
/** RFC 1812 §4.3.2.8. */
const ICMP_ERRORS_PER_SECOND = 1000;
/** RFC 5961 §7. */
const CHALLENGES_PER_SECOND = 200;
/** Frames to all other guests, or to one that is not known (storm control). */
const FLOODED_PER_SECOND = 4000;

/** The link that a guest is behind. */
export interface GuestLink {
  readonly id: number;
  readonly name: string;
  readonly attachedAt: Instant;
}

export class Guest {
  /** Unique for the life of the process. */
  readonly id: number;
  readonly owner: Owner;
  /** When its first link came. */
  readonly since: Instant;
  /** Undefined while it is away. */
  link: GuestLink | undefined = undefined;
  /** When its link went; `NEVER` while it is attached. */
  goneAt: Instant = NEVER;
  /** Times that a DHCP client of it began from nothing, as at the start of its system. */
  starts = 0;
  /** Frames dropped for an address of another guest, or for what may not pass between guests. */
  framesRefused = 0;
  /** Of its datagrams that are queued for the host's kernel. */
  queuedBytes = 0;
  /** How long its flows wait for its return, in ms. Set when its link goes. */
  graceMs = 0;
  readonly icmpErrors: Rate = new Rate(ICMP_ERRORS_PER_SECOND);
  readonly flooded: Rate = new Rate(FLOODED_PER_SECOND);
  readonly challenges: Rate = new Rate(CHALLENGES_PER_SECOND);
  /** Destinations that it may not reach, by protocol and reason. */
  readonly refusals: Counters<string> = new Counters();
  private readonly macSet = new Set<Mac>();

  constructor(id: number, owner: Owner, now: Instant) {
    this.id = id;
    this.owner = owner;
    this.since = now;
  }

  /** Ethernet addresses heard from it, the first one first. */
  get macs(): Iterable<Mac> {
    return this.macSet;
  }

  get isNew(): boolean {
    return this.macSet.size === 0;
  }

  hasMac(mac: Mac): boolean {
    return this.macSet.has(mac);
  }

  /** @internal for the table */
  addMac(mac: Mac): boolean {
    if (this.macSet.size >= MACS_MAX) return false;
    this.macSet.add(mac);
    return true;
  }
}
