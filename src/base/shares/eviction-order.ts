/**
 * What may be evicted, oldest first; but one that was in use since it was looked at last is passed over and goes to the
 * end (the second chance, or clock, algorithm): nothing is done for a packet, and all is O(1).
 */
import { Chain, type Chained } from '../chain.ts';

export interface EvictionCandidate<T> extends Chained<T> {
  /** Greater than before after each use: a count of bytes, a time. */
  readonly activity: number;
  /** `activity` when it came, or was passed over last. Written by the order only. */
  activitySeen: number;
}

/** So that a pick ends, among many that are all in use. */
const SECOND_CHANCES = 8;

export class EvictionOrder<T extends EvictionCandidate<T>> extends Chain<T> {
  override add(item: T): void {
    item.activitySeen = item.activity;
    super.add(item);
  }

  /** The one to evict next; it stays until it is deleted. */
  pick(): T | undefined {
    for (let tries = Math.min(SECOND_CHANCES, this.size - 1); tries > 0; tries--) {
      const { first } = this;
      if (first === undefined || first.activity <= first.activitySeen) break;
      this.delete(first);
      this.add(first);
    }
    return this.first;
  }
}
