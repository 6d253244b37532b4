/**
 * The groups of one family of IP that the stations of one link have joined, as far as they said (snooping, RFC 4541).
 *
 * Theory of operation
 * -------------------
 * A link is asked when there is a frame to a group for it, and again each interval in which there is one. What it says
 * counts from a while after the first question; before, and while it says nothing, it is sent everything. That a group
 * is left is not heard, because another station of the link may have stayed: a group is forgotten when it was missing
 * from the reports that followed two questions in a row. A link with more groups than the limit is sent everything.
 *
 * A group is known as its Ethernet address is: by the last four bytes of an IPv6 address (RFC 2464 §7), the last 23 bits of
 * one of IPv4 (RFC 1112 §6.4).
 */
import { type Instant, NEVER } from '../base/time.ts';

/** Of frames that go to all: nobody joins what they are for. */
export const NO_GROUP = 0;

export const MAX_JOINED_GROUPS = 256;
export const ASK_INTERVAL_S = 125;
/** Every station has answered the first question by then, the second time at the latest. */
const LEARNING_MS = 10_000;
const ROUNDS_KEPT = 2;

export class JoinedGroups {
  /** By group: the round of questions in which it was last reported. */
  private readonly rounds = new Map<number, number>();
  private round = 0;
  private countsFrom: Instant = NEVER;
  private dueAt: Instant = Number.NEGATIVE_INFINITY;
  /** The last round in which there were too many. */
  private fullIn = Number.NEGATIVE_INFINITY;

  isDue(now: Instant): boolean {
    return now >= this.dueAt;
  }

  /** The link is asked now. */
  onAsked(now: Instant): void {
    if (this.countsFrom === NEVER) this.countsFrom = now + LEARNING_MS;
    this.dueAt = now + ASK_INTERVAL_S * 1000;
    this.round++;
    for (const [group, round] of this.rounds) {
      if (this.isPast(round)) this.rounds.delete(group);
    }
  }

  /** @returns false when there is no room */
  add(group: number): boolean {
    if (this.rounds.size >= MAX_JOINED_GROUPS && !this.rounds.has(group)) {
      this.fullIn = this.round;
      return false;
    }
    this.rounds.set(group, this.round);
    return true;
  }

  has(group: number): boolean {
    return this.rounds.has(group);
  }

  /** Whether a frame to `group`, which somebody has joined, goes to this link. */
  wants(now: Instant, group: number): boolean {
    if (this.rounds.size === 0 || now < this.countsFrom || !this.isPast(this.fullIn)) return true;
    return this.rounds.has(group);
  }

  private isPast(round: number): boolean {
    return round < this.round - ROUNDS_KEPT;
  }
}

const IPV4_GROUP_BITS = 0x7f_ffff;
/** 224.0.0.0/24, and what has the same Ethernet addresses: not everybody reports these (RFC 4541 §2.1.2). */
const LAST_LOCAL = 0xff;

/** @param address of IPv4, or the end of an Ethernet address */
export function ipv4GroupOf(address: number): number {
  const group = address & IPV4_GROUP_BITS;
  return group > LAST_LOCAL ? group : NO_GROUP;
}
