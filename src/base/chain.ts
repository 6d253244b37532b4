/**
 * A set in insertion order, linked through its members: for objects that are added and removed with each connection.
 *
 * A `Set` does the same, but once V8 has moved one to the old space, the tables that it abandons as it is filled
 * and emptied are there too, and keep their contents alive until the next full collection: every short connection
 * was copied twice, which cost one eighth of the connections per second. A member removed from a chain refers to no
 * other member.
 */
import { assert } from './assert.ts';

/** A possible member of one chain at a time. Only the chain writes the fields. */
export interface Chained<T> {
  chainNext: T | undefined;
  chainPrev: T | undefined;
}

export class Chain<T extends Chained<T>> {
  size = 0;
  /** The oldest. */
  first: T | undefined = undefined;
  /** The newest. */
  last: T | undefined = undefined;

  /** @param item in no chain */
  add(item: T): void {
    assert(!this.has(item), 'in a chain already');
    if (this.last === undefined) this.first = item;
    else this.last.chainNext = item;
    item.chainPrev = this.last;
    this.last = item;
    this.size++;
  }

  /** Does nothing for an item that is in no chain. */
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

  /** From the oldest; only the member just yielded may be removed during the iteration. */
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
