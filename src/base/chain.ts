/**
 * A set in the order of arrival, linked through its members: for what comes and goes with each connection.
 *
 * A `Set` does the same, but once V8 has moved one to the old space, the tables that it leaves behind as it is filled
 * and emptied are there too, and keep what was in them alive until the next full collection: every short connection
 * was copied twice, and one in eight of the connections a second was lost to it. A member that leaves a chain points
 * to nothing in it.
 */
import { assert } from './assert.ts';

/** What may be in one chain at a time. Only the chain writes the fields. */
export interface Chained<T> {
  chainNext: T | undefined;
  chainPrev: T | undefined;
}

export class Chain<T extends Chained<T>> {
  size = 0;
  /** The oldest. */
  first: T | undefined = undefined;
  private last: T | undefined = undefined;

  /** @param item in no chain */
  add(item: T): void {
    assert(!this.has(item), 'in a chain already');
    if (this.last === undefined) this.first = item;
    else this.last.chainNext = item;
    item.chainPrev = this.last;
    this.last = item;
    this.size++;
  }

  /** Nothing is done to an item that is in no chain. */
  delete(item: T): void {
    if (!this.has(item)) return;
    const { chainNext: next, chainPrev: prev } = item;
    if (prev === undefined) this.first = next;
    else prev.chainNext = next;
    if (next === undefined) this.last = prev;
    else next.chainPrev = prev;
    item.chainNext = undefined;
    item.chainPrev = undefined;
    this.size--;
  }

  /** From the oldest; nothing but the member just given may leave meanwhile. */
  *[Symbol.iterator](): Generator<T, void> {
    for (let item = this.first; item !== undefined; ) {
      const next: T | undefined = item.chainNext;
      yield item;
      item = next;
    }
  }

  private has(item: T): boolean {
    return item.chainPrev !== undefined || this.first === item;
  }
}
