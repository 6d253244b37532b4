/**
 * The connections of guests to one service of the gateway, which hold no socket of the host but memory of the daemon.
 *
 * Each has so long between two uses, then it ends; a service decides what a use is, and a part of a request is none.
 * Beyond its limit a guest loses the connection that it has not used for the longest time, and beyond the limit of all
 * the guest with the most does: whoever has fewer is never shut out. The only scans are over guests, at that limit, and
 * over connections once a second.
 */
import { Chain, type Chained } from '../base/chain.ts';
import { type Instant, NEVER } from '../base/time.ts';

export interface ServiceClient<C, O> extends Chained<C> {
  /** The guest that it counts for. */
  readonly owner: O;
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

export class ServiceClients<C extends ServiceClient<C, O>, O> {
  size = 0;
  private readonly limits: ServiceLimits;
  /** Of each guest, those used last at the end. */
  private readonly byOwner = new Map<O, Chain<C>>();
  private sweepAt: Instant = NEVER;

  constructor(limits: ServiceLimits) {
    this.limits = limits;
  }

  add(now: Instant, client: C): void {
    const own = this.byOwner.get(client.owner);
    if (own !== undefined && own.size >= this.limits.ofGuest) this.evictOldest(now, own);
    else if (this.size >= this.limits.total) this.evictOldest(now, this.largest());
    client.usedAt = now;
    const chain = this.byOwner.get(client.owner) ?? new Chain<C>();
    this.byOwner.set(client.owner, chain);
    chain.add(client);
    this.size++;
    if (this.sweepAt === NEVER) this.sweepAt = now + SWEEP_MS;
  }

  /** Does nothing for a client that is not in the table. */
  remove(client: C): void {
    const chain = this.byOwner.get(client.owner);
    if (chain === undefined) return;
    const before = chain.size;
    chain.delete(client);
    this.size -= before - chain.size;
    if (chain.size === 0) this.byOwner.delete(client.owner);
  }

  use(now: Instant, client: C): void {
    client.usedAt = now;
    const chain = this.byOwner.get(client.owner);
    chain?.delete(client);
    chain?.add(client);
  }

  nextTimeout(): Instant {
    return this.sweepAt;
  }

  onTimeout(now: Instant): void {
    if (now < this.sweepAt) return;
    for (const chain of this.byOwner.values()) this.expire(now, chain);
    this.sweepAt = this.size > 0 ? now + SWEEP_MS : NEVER;
  }

  private expire(now: Instant, chain: Chain<C>): void {
    const before = now - this.limits.idleMs;
    for (;;) {
      const client = chain.first;
      if (client === undefined || client.usedAt > before) return;
      if (client.expire(now)) this.use(now, client);
      else this.remove(client);
    }
  }

  private evictOldest(now: Instant, chain: Chain<C> | undefined): void {
    const oldest = chain?.first;
    if (oldest === undefined) return;
    this.remove(oldest);
    oldest.evict(now);
  }

  private largest(): Chain<C> | undefined {
    let largest: Chain<C> | undefined;
    for (const chain of this.byOwner.values()) {
      if (chain.size > (largest?.size ?? 0)) largest = chain;
    }
    return largest;
  }
}
