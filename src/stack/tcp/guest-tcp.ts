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

  constructor(guest: Guest, budgets: TcpBudgets, evictor: TcpEvictor) {
    const { owner } = guest;
    this.guest = guest;
    // The oldest: the one that is most likely to wait for a black hole.
    const evictRequest = (): boolean =>
      give(this.requests.first, (request) => evictor.evictRequest(request));
    this.connectionShare = owner.share(budgets.connections, {
      evict: () => give(this.connections.pick(), (c) => evictor.evict(c)) || evictRequest(),
    });
    this.requestShare = owner.share(budgets.requests, {
      evict: evictRequest,
      recycles: true,
    });
    this.timeWaitShare = owner.share(budgets.timeWaits, {
      evict: () => give(this.timeWaits.first, (entry) => evictor.evictTimeWait(entry)),
      recycles: true,
    });
    this.memoryShare = owner.share(budgets.memory, {
      evict: () => give(this.byMemory.get(), ({ connection }) => evictor.evict(connection)),
    });
  }

  get isIdle(): boolean {
    return this.connections.size === 0 && this.requests.size === 0;
  }
}

function give<T>(item: T | undefined, end: (item: T) => void): boolean {
  if (item === undefined) return false;
  end(item);
  return true;
}
