/**
 * A proxy's flows in an {@link IdleTable}, with what is the same for all of them: the least recently used
 * makes room for a new one, idle ones expire, and a guest's end with the guest. Each end is counted.
 */
import { Counters } from '../../base/counters.ts';
import type { IpAddress } from '../../base/ip-address.ts';
import type { Instant } from '../../base/time.ts';
import { IdleTable, type TableEntry, type TableLimits } from './idle-table.ts';

export interface IdleFlow<F> extends TableEntry<F> {
  readonly guest: IpAddress;
  /** It is out of the table: last call. */
  close(): void;
}

/** What the ends of flows are counted as. */
export interface EndCounts<C> {
  readonly evicted: C;
  readonly expired: C;
}

export abstract class IdleFlows<F extends IdleFlow<F>, C extends string> {
  readonly counts: Counters<C> = new Counters();
  protected readonly table: IdleTable<F>;
  private readonly ends: EndCounts<C>;

  /** @param seed any integer; see {@link IdleTable} */
  constructor(keyWords: number, limits: TableLimits, seed: number, ends: EndCounts<C>) {
    this.table = new IdleTable(keyWords, limits, seed);
    this.ends = ends;
  }

  get size(): number {
    return this.table.size;
  }

  nextTimeout(): Instant {
    return this.table.nextExpiry();
  }

  onTimeout(now: Instant): void {
    for (let flow = this.table.expired(now); flow; flow = this.table.expired(now)) {
      this.counts.add(this.ends.expired);
      this.drop(flow);
    }
  }

  /** The guest is gone for good. */
  endGuest(guest: IpAddress): void {
    for (const flow of this.table.entries()) {
      if (flow.guest.equals(guest)) this.drop(flow);
    }
  }

  /** Make room for one more flow. */
  protected makeRoom(): void {
    while (this.table.size >= this.table.limits.entries) this.evictOldest();
  }

  protected evictOldest(): void {
    const oldest = this.table.oldest();
    if (oldest === undefined) return;
    this.counts.add(this.ends.evicted);
    this.drop(oldest);
  }

  protected drop(flow: F): void {
    this.table.remove(flow);
    flow.close();
  }
}
