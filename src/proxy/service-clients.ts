/**
 * The connections of guests to one service of the gateway, which hold no socket of the host but memory of the daemon.
 *
 * Each has so long between two uses, then it ends; a service decides what a use is, and a part of a request is none.
 * Beyond its limit a guest loses the connection that it has not used for the longest time; places are shares of guests
 * (`base/shares`). The only scan is over connections, once a second.
 */
import { Chain, type Chained } from '../base/chain.ts';
import { type Account, Budget } from '../base/shares/budget.ts';
import type { Owner } from '../base/shares/owner.ts';
import { type Instant, NEVER } from '../base/time.ts';

export interface ServiceClient<C> extends Chained<C> {
  /** Whom it counts for. */
  readonly owner: Owner;
  /** Written by the table only. */
  usedAt: Instant;
  /** It has been idle for its time. @returns whether it is to have that time once more, to answer */
  expire(now: Instant): boolean;
  /** It makes room for another, and is out of the table. */
  evict(now: Instant): void;
}

export interface ServiceLimits {
  readonly total: number;
  readonly ofGuest: number;
  readonly idleMs: number;
}

const SWEEP_MS = 1000;

interface Held<C extends Chained<C>> {
  /** Those used last at the end. */
  readonly clients: Chain<C>;
  readonly share: Account;
}

export class ServiceClients<C extends ServiceClient<C>> {
  readonly budget: Budget;
  private readonly limits: ServiceLimits;
  private readonly shares = new WeakMap<Owner, Held<C>>();
  /** Those that have any. */
  private readonly active = new Set<Held<C>>();
  private sweepAt: Instant = NEVER;
  private lastNow: Instant = 0;

  /** @param name of the budget */
  constructor(name: string, limits: ServiceLimits) {
    this.limits = limits;
    this.budget = new Budget(name, limits.total);
  }

  get size(): number {
    return this.budget.held;
  }

  /** @returns false where there is no room and nobody gives way: `client` itself was evicted */
  add(now: Instant, client: C): boolean {
    this.lastNow = now;
    const held = this.heldBy(client.owner);
    if (held.clients.size >= this.limits.ofGuest) this.evictOldest(held);
    if (!held.share.take()) {
      client.evict(now);
      return false;
    }
    client.usedAt = now;
    held.clients.add(client);
    this.active.add(held);
    if (this.sweepAt === NEVER) this.sweepAt = now + SWEEP_MS;
    return true;
  }

  /** Does nothing for a client that is not in the table. */
  remove(client: C): void {
    const held = this.heldBy(client.owner);
    const before = held.clients.size;
    held.clients.delete(client);
    held.share.give(before - held.clients.size);
    if (held.clients.size === 0) this.active.delete(held);
  }

  use(now: Instant, client: C): void {
    client.usedAt = now;
    const { clients } = this.heldBy(client.owner);
    clients.delete(client);
    clients.add(client);
  }

  nextTimeout(): Instant {
    return this.sweepAt;
  }

  onTimeout(now: Instant): void {
    if (now < this.sweepAt) return;
    this.lastNow = now;
    for (const { clients } of this.active) this.expire(now, clients);
    this.sweepAt = this.size > 0 ? now + SWEEP_MS : NEVER;
  }

  private expire(now: Instant, clients: Chain<C>): void {
    const before = now - this.limits.idleMs;
    for (;;) {
      const client = clients.first;
      if (client === undefined || client.usedAt > before) return;
      if (client.expire(now)) this.use(now, client);
      else this.remove(client);
    }
  }

  private heldBy(owner: Owner): Held<C> {
    const known = this.shares.get(owner);
    if (known !== undefined) return known;
    const evict = (): boolean => this.evictOldest(held);
    const share = owner.share(this.budget, { evict, recycles: true });
    const held: Held<C> = { clients: new Chain(), share };
    this.shares.set(owner, held);
    return held;
  }

  private evictOldest({ clients }: Held<C>): boolean {
    const oldest = clients.first;
    if (oldest === undefined) return false;
    this.remove(oldest);
    oldest.evict(this.lastNow);
    return true;
  }
}
