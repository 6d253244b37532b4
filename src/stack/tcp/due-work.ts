/**
 * What connections owe: at the end of a batch events for their handlers, then segments, as far as the turn has time;
 * before the links are flushed, data that waited for more; and news of memory to those that wait for it.
 */
import type { BufferPool } from '../../base/buffer-pool.ts';
import { type Instant, NEVER } from '../../base/time.ts';
import type { TurnLimit } from '../../base/turn.ts';
import { WorkList } from '../../base/work-list.ts';
import { output } from './send.ts';
import type { Tcb } from './tcb.ts';

const STARVED_RETRY_MS = 20;
/** Starved connections looked at in one turn. */
const STARVED_AT_ONCE = 64;
/** Connections served between two questions whether there is time for more. */
export const SERVED_PER_LOOK = 8;

export class DueWork {
  readonly workList: WorkList<Tcb> = new WorkList();
  readonly touchedList: WorkList<Tcb> = new WorkList();
  readonly corkedList: WorkList<Tcb> = new WorkList();
  readonly starved: Tcb[] = [];
  private readonly pool: BufferPool;
  private readonly limit: TurnLimit;

  constructor(pool: BufferPool, limit: TurnLimit) {
    this.pool = pool;
    this.limit = limit;
  }

  /** Connections with events to deliver, or segments to send. */
  get owed(): number {
    return this.workList.length + this.touchedList.length;
  }

  /** Deliver what the batch brought, then send what it made due, as far as there is time. */
  endBatch(now: Instant): void {
    this.feedStarved();
    this.deliverEvents(now);
    this.sendDue(now);
  }

  /** The links are about to be flushed: send what waited for more. */
  uncork(): void {
    const { corkedList } = this;
    for (let c = corkedList.take(); c !== undefined; c = corkedList.take()) {
      output(c, c.corkedAt);
      c.corkedAt = NEVER;
    }
  }

  /** When starved connections want to be looked at again; at once when events wait for delivery. */
  nextStarvedRetry(now: Instant): Instant {
    if (this.workList.length > 0) return now;
    return this.starved.length > 0 ? now + STARVED_RETRY_MS : NEVER;
  }

  feedStarved(): void {
    if (this.starved.length === 0) return;
    const isSpent = this.pool.spent;
    for (const c of this.starved.splice(0, STARVED_AT_ONCE)) {
      if (isSpent && c.isTight) this.starved.push(c);
      else c.notifySpace();
    }
  }

  /** Handlers may cause more of both. */
  private deliverEvents(now: Instant): void {
    const { workList, limit } = this;
    for (let served = 1; ; served++) {
      const c = workList.take();
      if (c === undefined) return;
      try {
        c.deliver(now);
      } catch (fault) {
        c.onFault(now, fault);
      }
      if (served % SERVED_PER_LOOK === 0 && !limit.hasTime()) return;
    }
  }

  private sendDue(now: Instant): void {
    const { touchedList, limit } = this;
    for (let served = 1; ; served++) {
      const c = touchedList.take();
      if (c === undefined) return;
      c.touched = false;
      try {
        output(c, now);
      } catch (fault) {
        c.onFault(now, fault);
      }
      if (served % SERVED_PER_LOOK === 0 && !limit.hasTime()) return;
    }
  }
}
