/** The storage of one connection's rings, on its guest's account. */
import { type BufferPool, costOf, type Storage } from '../../base/buffer-pool.ts';
import type { Account } from '../../base/shares/budget.ts';
import type { Heaviest, Weighed } from '../../base/shares/heaviest.ts';
import type { Instant } from '../../base/time.ts';
import type { Guest } from '../guest.ts';

/** What a connection needs of its guest's shares. */
export interface TcpShares {
  readonly guest: Guest;
  readonly memoryShare: Account;
  readonly byMemory: Heaviest<ConnectionMemory>;
}

export interface Evictable {
  /** Its guest must give something back: reset it in both directions, and free what it holds now. */
  evict(now: Instant): void;
}

export class ConnectionMemory implements Storage, Weighed<ConnectionMemory> {
  weighedNext: ConnectionMemory | undefined = undefined;
  weighedPrev: ConnectionMemory | undefined = undefined;
  weightClass = -1;
  readonly connection: Evictable;
  private held = 0;
  private readonly pool: BufferPool;
  private readonly shares: TcpShares;

  constructor(pool: BufferPool, shares: TcpShares, connection: Evictable) {
    this.pool = pool;
    this.shares = shares;
    this.connection = connection;
  }

  acquire(atLeast: number): Uint8Array | undefined {
    const { pool, shares } = this;
    const cost = pool.costFor(atLeast);
    if (!shares.memoryShare.take(cost)) return undefined;
    const buffer = pool.acquire(atLeast);
    if (buffer === undefined) shares.memoryShare.give(cost);
    else this.weigh(cost);
    return buffer;
  }

  release(buffer: Uint8Array): void {
    this.pool.release(buffer);
    const cost = costOf(buffer.length);
    this.shares.memoryShare.give(cost);
    this.weigh(-cost);
  }

  private weigh(n: number): void {
    this.held += n;
    this.shares.byMemory.set(this, this.held);
  }
}
