/**
 * A bounded set of flows that is found by a key of int32 words and kept in order of use. (Not
 * `base/flow-table.ts`: that one knows no order and no idle time, and has keys of one length only.)
 *
 * A hash table with chains through its entries, and two lists of entries, each in order of last
 * use: `fresh` ones, for which no reply was seen, and `settled` ones. Within a list every entry has
 * the same idle time, so the next expiry is at one of the two heads: no timer per entry, and every
 * operation is O(1). A lookup allocates nothing, which a `Map` on text or bigint would.
 */
import { type Instant, NEVER } from '../../base/time.ts';

/** What an entry holds for the table; written by the table only. */
export interface TableEntry<E> {
  readonly key: Int32Array;
  chain: E | undefined;
  older: E | undefined;
  newer: E | undefined;
  usedAt: Instant;
  settled: boolean;
}

export interface TableLimits {
  readonly entries: number;
  /** Idle time of an entry without and with a reply. */
  readonly freshMs: number;
  readonly settledMs: number;
}

class UseList<E extends TableEntry<E>> {
  oldest: E | undefined = undefined;
  private newest: E | undefined = undefined;

  push(entry: E): void {
    entry.older = this.newest;
    entry.newer = undefined;
    if (this.newest === undefined) this.oldest = entry;
    else this.newest.newer = entry;
    this.newest = entry;
  }

  remove(entry: E): void {
    if (entry.older === undefined) this.oldest = entry.newer;
    else entry.older.newer = entry.newer;
    if (entry.newer === undefined) this.newest = entry.older;
    else entry.newer.older = entry.older;
    entry.older = undefined;
    entry.newer = undefined;
  }
}

export class IdleTable<E extends TableEntry<E>> {
  readonly limits: TableLimits;
  size = 0;
  private readonly keyWords: number;
  private readonly buckets: (E | undefined)[];
  /** Odd and random per table, so that a guest cannot choose ports that collide in one chain. */
  private readonly seed: number;
  private readonly fresh = new UseList<E>();
  private readonly settled = new UseList<E>();

  constructor(keyWords: number, limits: TableLimits, seed: number) {
    this.keyWords = keyWords;
    this.limits = limits;
    const len = 1 << Math.max(4, 32 - Math.clz32(limits.entries));
    this.buckets = new Array<E | undefined>(len).fill(undefined);
    this.seed = seed | 1;
  }

  /** @param key borrowed; at least as long as the table's keys */
  find(key: Int32Array): E | undefined {
    let entry = this.buckets[this.bucketOf(key)];
    while (entry !== undefined && !this.equal(entry.key, key)) entry = entry.chain;
    return entry;
  }

  /** Add an entry whose key is not in the table. The caller makes room first. */
  add(now: Instant, entry: E): void {
    const bucket = this.bucketOf(entry.key);
    entry.chain = this.buckets[bucket];
    this.buckets[bucket] = entry;
    entry.usedAt = now;
    this.listOf(entry).push(entry);
    this.size++;
  }

  remove(entry: E): void {
    const bucket = this.bucketOf(entry.key);
    let at = this.buckets[bucket];
    if (at === entry) {
      this.buckets[bucket] = entry.chain;
    } else {
      while (at !== undefined && at.chain !== entry) at = at.chain;
      if (at === undefined) return; // not found: removed before
      at.chain = entry.chain;
    }
    entry.chain = undefined;
    this.listOf(entry).remove(entry);
    this.size--;
  }

  /** `entry` was used; with `settled` it has had a reply, and stays settled. */
  touch(now: Instant, entry: E, settled: boolean): void {
    this.listOf(entry).remove(entry);
    entry.usedAt = now;
    entry.settled = entry.settled || settled;
    this.listOf(entry).push(entry);
  }

  /** The least recently used entry. */
  oldest(): E | undefined {
    const fresh = this.fresh.oldest;
    const settled = this.settled.oldest;
    if (fresh === undefined) return settled;
    return settled === undefined || fresh.usedAt <= settled.usedAt ? fresh : settled;
  }

  /** An entry that has been idle for its whole time. */
  expired(now: Instant): E | undefined {
    const fresh = this.fresh.oldest;
    if (fresh !== undefined && now - fresh.usedAt >= this.limits.freshMs) return fresh;
    const settled = this.settled.oldest;
    if (settled !== undefined && now - settled.usedAt >= this.limits.settledMs) return settled;
    return undefined;
  }

  nextExpiry(): Instant {
    const fresh = this.fresh.oldest;
    const settled = this.settled.oldest;
    return Math.min(
      fresh === undefined ? NEVER : fresh.usedAt + this.limits.freshMs,
      settled === undefined ? NEVER : settled.usedAt + this.limits.settledMs,
    );
  }

  /** Every entry, fresh ones first. */
  *entries(): IterableIterator<E> {
    for (const list of [this.fresh, this.settled]) {
      let entry = list.oldest;
      while (entry !== undefined) {
        const next: E | undefined = entry.newer;
        yield entry;
        entry = next;
      }
    }
  }

  private listOf(entry: E): UseList<E> {
    return entry.settled ? this.settled : this.fresh;
  }

  private bucketOf(key: Int32Array): number {
    let hash = this.seed;
    for (let i = 0; i < this.keyWords; i++) {
      hash = Math.imul(hash ^ (key[i] ?? 0), 0x9e37_79b1);
      hash ^= hash >>> 15;
    }
    return hash & (this.buckets.length - 1);
  }

  private equal(a: Int32Array, b: Int32Array): boolean {
    for (let i = this.keyWords - 1; i >= 0; i--) if (a[i] !== b[i]) return false;
    return true;
  }
}
