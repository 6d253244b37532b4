/**
 * Resolution of neighbours to Ethernet addresses and links: when to ask, and what waits for the answer.
 *
 * Theory of operation
 * -------------------
 * A neighbour without a link is asked for on every link, at once and then each second, three times
 * in all (RFC 1122 §2.3.2.1); a later send starts over. A neighbour with a link that
 * leaves segments unanswered, and was not heard for a second, may have another Ethernet address by
 * now: the known one is asked, then every link, within the same limits (RFC 1122 §2.3.2.1 (2) and
 * (4), RFC 4861 §7.3). Whatever it sends is an answer.
 *
 * Meanwhile the latest datagram to each unresolved neighbour is kept (RFC 1122 §2.3.2.2), up to the
 * limits below, and goes out with the answer. TCP keeps its own and is called by the neighbour. Questions are shares of
 * the guests whose addresses they are about, of those that have gone too: when there are too many, one of the
 * guest with the most gives way.
 *
 * Independent of the address family: the resolver knows how a neighbour is asked.
 */
import { copyBytes } from '../base/copy-bytes.ts';
import type { Counters } from '../base/counters.ts';
import type { IpAddress } from '../base/ip-address.ts';
import { type Account, Budget } from '../base/shares/budget.ts';
import { type Instant, NEVER } from '../base/time.ts';
import type { StackDrop } from './drops.ts';
import type { FlowId } from './flow.ts';
import type { Guest } from './guest.ts';
import type { LinkPort } from './link-port.ts';
import type { Neighbor, NeighborWaiter } from './neighbor.ts';

const ASK_INTERVAL_MS = 1000;
const MAX_ASKS = 3;
/** The address of a guest that probes for duplicates is its own after RETRANS_TIMER, a second, and a little (RFC 4862 §5.1). */
const PROBED_MS = 100;
/** A neighbour heard within this time is assumed to be at the same place. */
const REACHABLE_MS = 1000;
/** Between two series of questions about one neighbour that does not answer. */
const REST_MS = 5000;
/** Neighbours in question at once; of them those with a datagram that waits. */
const MAX_OPEN = 256;
const MAX_HELD_BYTES = 256 << 10;

/** How neighbours of one family are asked for: ARP. */
export interface AddressResolver {
  /** Ask on `port` who has `address`. */
  ask(port: LinkPort, address: IpAddress): void;
  /** Ask the neighbour itself, where it was heard last. */
  probe(port: LinkPort, neighbor: Neighbor): void;
}

/** A datagram that waits. `send` is called once, with the bytes at 0. */
export interface DatagramSender {
  send(neighbor: Neighbor, id: FlowId, bytes: Uint8Array, off: number, len: number): boolean;
}

class Held implements NeighborWaiter {
  readonly neighbor: Neighbor;
  private readonly owner: Resolution;
  private readonly id: FlowId;
  readonly bytes: Uint8Array;

  constructor(owner: Resolution, neighbor: Neighbor, id: FlowId, bytes: Uint8Array) {
    this.owner = owner;
    this.neighbor = neighbor;
    this.id = id;
    this.bytes = bytes;
  }

  onNeighborUp(): void {
    this.owner.release(this);
  }

  sendTo(sender: DatagramSender): void {
    const { neighbor, id, bytes } = this;
    sender.send(neighbor, id, bytes, 0, bytes.length);
  }
}

/** The neighbours in question that are one guest's. */
class Questions {
  /** In the order in which they were first asked for. */
  readonly open = new Set<Neighbor>();
  readonly share: Account;

  constructor({ owner }: Guest, budget: Budget, end: (neighbor: Neighbor) => void) {
    const evict = (): boolean => {
      const [first] = this.open;
      if (first !== undefined) end(first);
      return first !== undefined;
    };
    this.share = owner.share(budget, { evict });
  }
}

export interface ResolutionDeps {
  readonly resolver: AddressResolver;
  readonly ports: ReadonlySet<LinkPort>;
  readonly drops: Counters<StackDrop>;
  readonly sender: DatagramSender;
}

export class Resolution {
  private readonly deps: ResolutionDeps;
  private readonly budget = new Budget('resolutions', MAX_OPEN);
  private readonly byGuest = new WeakMap<Guest, Questions>();
  /** Neighbours in question, and of whose they were when that began. */
  private readonly open = new Map<Neighbor, Questions>();
  private readonly held = new Map<Neighbor, Held>();
  private heldBytes = 0;
  private nextAt: Instant = NEVER;

  constructor(deps: ResolutionDeps) {
    this.deps = deps;
  }

  nextTimeout(): Instant {
    return this.nextAt;
  }

  /** Something is to be sent to a neighbour without a link. */
  ask(now: Instant, neighbor: Neighbor): void {
    if (neighbor.asks > 0 || now - neighbor.askedAt < ASK_INTERVAL_MS) return;
    this.begin(now, neighbor);
  }

  /** Segments to a neighbour stay unanswered; `waiter` is called when it is found elsewhere. */
  doubt(now: Instant, neighbor: Neighbor, waiter: NeighborWaiter): void {
    if (neighbor.port === undefined || now - neighbor.lastSeen < REACHABLE_MS) return;
    neighbor.waiters.add(waiter);
    if (neighbor.asks > 0 || now < neighbor.restsUntil) return;
    this.begin(now, neighbor);
  }

  /** A neighbour in question is about to have its address, which is tentative: its answer comes later (RFC 4862 §5.4). */
  prolong(now: Instant, neighbor: Neighbor): void {
    if (!this.open.has(neighbor) || neighbor.port !== undefined) return;
    neighbor.asks = 1;
    neighbor.askedAt = now + PROBED_MS;
    this.nextAt = Math.min(this.nextAt, neighbor.askedAt + ASK_INTERVAL_MS);
  }

  /**
   * Keep a copy of a datagram to a neighbour without a link in place of the one before.
   *
   * @returns false when there is no room; it is counted then
   */
  hold(neighbor: Neighbor, id: FlowId, bytes: Uint8Array, off: number, len: number): boolean {
    const { drops } = this.deps;
    const before = this.held.get(neighbor);
    const heldBytes = this.heldBytes - (before?.bytes.length ?? 0) + len;
    if (heldBytes > MAX_HELD_BYTES || !this.open.has(neighbor)) {
      drops.add('neighbor-queue-full');
      return false;
    }
    if (before !== undefined) {
      this.forget(before);
      drops.add('neighbor-queue-replaced');
    }
    const copy = new Uint8Array(len);
    copyBytes(bytes, off, copy, 0, len);
    const held = new Held(this, neighbor, { ...id }, copy);
    this.held.set(neighbor, held);
    this.heldBytes = heldBytes;
    neighbor.waiters.add(held);
    return true;
  }

  /** The neighbour of `held` is there: send it. */
  release(held: Held): void {
    this.forget(held);
    held.sendTo(this.deps.sender);
  }

  onTimeout(now: Instant): void {
    if (now < this.nextAt) return;
    this.nextAt = NEVER;
    for (const neighbor of this.open.keys()) {
      const answered = neighbor.port !== undefined && neighbor.lastSeen > neighbor.askedAt;
      const due = neighbor.askedAt + ASK_INTERVAL_MS <= now;
      if (answered) this.end(neighbor);
      else if (due && neighbor.asks >= MAX_ASKS) {
        neighbor.restsUntil = now + REST_MS;
        this.giveUp(now, neighbor);
      } else {
        if (due) this.put(now, neighbor);
        this.nextAt = Math.min(this.nextAt, neighbor.askedAt + ASK_INTERVAL_MS);
      }
    }
  }

  private begin(now: Instant, neighbor: Neighbor): void {
    if (!this.open.has(neighbor)) {
      const questions = this.questionsOf(neighbor.guest);
      if (!questions.share.take()) {
        this.deps.drops.add('neighbor-queue-full');
        return;
      }
      questions.open.add(neighbor);
      this.open.set(neighbor, questions);
    }
    this.put(now, neighbor);
    this.nextAt = Math.min(this.nextAt, now + ASK_INTERVAL_MS);
  }

  /** The first question goes to the address that is known, if any. */
  private put(now: Instant, neighbor: Neighbor): void {
    const { ports, resolver } = this.deps;
    neighbor.askedAt = now;
    neighbor.asks++;
    if (neighbor.port !== undefined && neighbor.asks === 1) {
      resolver.probe(neighbor.port, neighbor);
      return;
    }
    for (const port of ports) resolver.ask(port, neighbor.address);
  }

  private giveUp(now: Instant, neighbor: Neighbor): void {
    this.end(neighbor);
    if (neighbor.port !== undefined) return;
    for (const waiter of [...neighbor.waiters]) waiter.onNeighborUnanswered?.(now);
  }

  private end(neighbor: Neighbor): void {
    const questions = this.open.get(neighbor);
    if (questions !== undefined) {
      questions.open.delete(neighbor);
      questions.share.give();
      this.open.delete(neighbor);
    }
    neighbor.asks = 0;
    const held = this.held.get(neighbor);
    if (held === undefined) return;
    this.forget(held);
    neighbor.waiters.delete(held);
    this.deps.drops.add('neighbor-unanswered');
  }

  private questionsOf(guest: Guest): Questions {
    const known = this.byGuest.get(guest);
    if (known !== undefined) return known;
    const made = new Questions(guest, this.budget, (neighbor) => this.end(neighbor));
    this.byGuest.set(guest, made);
    return made;
  }

  private forget(held: Held): void {
    this.held.delete(held.neighbor);
    this.heldBytes -= held.bytes.length;
    held.neighbor.waiters.delete(held);
  }
}
