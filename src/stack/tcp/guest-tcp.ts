/** What one guest has of TCP, and what of it gives way when a budget runs short. */
import { Chain } from '../../base/chain.ts';
import type { Account, Budget } from '../../base/shares/budget.ts';
import { EvictionOrder } from '../../base/shares/eviction-order.ts';
import { Heaviest } from '../../base/shares/heaviest.ts';
import type { Guest } from '../guest.ts';
import type { TcpConnection } from './connection.ts';
import type { ConnectionMemory, Evictable, TcpShares } from './connection-memory.ts';
import type { PendingRequest } from './request.ts';
import type { TimeWait } from './time-wait.ts';

export interface TcpBudgets {
  /** Connections and pending requests. */
  readonly connections: Budget;
  readonly requests: Budget;
  readonly timeWaits: Budget;
  /** Bytes of rings. */
  readonly memory: Budget;
}

/** Implemented by the layer. */
export interface TcpEvictor {
  evict(c: Evictable): void;
  evictRequest(request: PendingRequest): void;
  evictTimeWait(entry: TimeWait): void;
}

export class GuestTcp implements TcpShares {
  readonly guest: Guest;
  readonly connections: EvictionOrder<TcpConnection> = new EvictionOrder();
  readonly requests: Chain<PendingRequest> = new Chain();
  readonly timeWaits: Chain<TimeWait> = new Chain();
  readonly byMemory: Heaviest<ConnectionMemory> = new Heaviest();
  readonly connectionShare: Account;
  readonly requestShare: Account;
  readonly timeWaitShare: Account;
  readonly memoryShare: Account;
  private readonly evictor: TcpEvictor;

  constructor(guest: Guest, budgets: TcpBudgets, evictor: TcpEvictor) {
    const { owner } = guest;
    this.guest = guest;
    this.evictor = evictor;
    this.connectionShare = owner.share(budgets.connections, {
      evict: () => this.evictConnection() || this.evictRequest(),
    });
    this.requestShare = owner.share(budgets.requests, {
      evict: () => this.evictRequest(),
      recycles: true,
    });
    this.timeWaitShare = owner.share(budgets.timeWaits, {
      evict: () => this.evictTimeWait(),
      recycles: true,
    });
    this.memoryShare = owner.share(budgets.memory, { evict: () => this.evictMemory() });
  }

  get isIdle(): boolean {
    return this.connections.size === 0 && this.requests.size === 0;
  }

  private evictConnection(): boolean {
    const c = this.connections.pick();
    if (c === undefined) return false;
    this.evictor.evict(c);
    return true;
  }

  /** Give up the oldest request: the one that is most likely to wait for a black hole. */
  private evictRequest(): boolean {
    const { first } = this.requests;
    if (first === undefined) return false;
    this.evictor.evictRequest(first);
    return true;
  }

  private evictTimeWait(): boolean {
    const { first } = this.timeWaits;
    if (first === undefined) return false;
    this.evictor.evictTimeWait(first);
    return true;
  }

  private evictMemory(): boolean {
    const largest = this.byMemory.get();
    if (largest === undefined) return false;
    this.evictor.evict(largest.connection);
    return true;
  }
}
