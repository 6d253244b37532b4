/**
 * What arrived out of order, until the bytes before it have come.
 *
 * Theory of operation
 * -------------------
 * Ranges are disjoint, sorted, and do not touch, but for two that there was no memory to join. Each has a ring of its own, which grows with its bytes at either end: a
 * byte at the far edge of the window costs one small piece of storage and not a window. A segment that closes a gap joins
 * the ranges beside it, and a range that the in-order edge reaches joins what was received, by a copy of the smaller of
 * the two; where that is the received bytes, the range's storage is taken over. Bytes that are here already are not
 * written again.
 *
 * Limits: `limit` ranges, found by binary search; a segment that would make one more is dropped, as it is without memory.
 * Storage is at most twice the bytes of a range, or the pool's smallest piece.
 */
import type { Storage } from '../../base/buffer-pool.ts';
import { ByteRing } from '../../base/byte-ring.ts';
import { type Seq, seqAdd, seqDiff, seqLe, seqLt } from '../../base/seq.ts';
import type { SequenceRanges } from './intervals.ts';

const NO_SEQ = 0 as Seq;

export class OutOfOrder implements SequenceRanges {
  private readonly storage: Storage;
  private readonly limit: number;
  private readonly starts: Seq[] = [];
  private readonly rings: ByteRing[] = [];

  constructor(storage: Storage, limit: number) {
    this.storage = storage;
    this.limit = limit;
  }

  get count(): number {
    return this.rings.length;
  }

  get isFull(): boolean {
    return this.rings.length >= this.limit;
  }

  start(i: number): Seq {
    return this.starts[i] ?? NO_SEQ;
  }

  end(i: number): Seq {
    return seqAdd(this.start(i), this.rings[i]?.length ?? 0);
  }

  indexOf(at: Seq): number {
    const i = this.firstEndingFrom(seqAdd(at, 1));
    return i < this.count && seqLe(this.start(i), at) ? i : -1;
  }

  /** Whether [from, to) is in one range. */
  covers(from: Seq, to: Seq): boolean {
    const i = this.indexOf(from);
    return i >= 0 && seqLe(to, this.end(i));
  }

  /**
   * Keep the `len` bytes that follow `start`, as far as they are new.
   *
   * @returns the index of the range that `start` is in now; -1 when there are too many ranges, or the pool has no storage.
   *   A part of the bytes may then have been kept
   */
  add(start: Seq, src: Uint8Array, srcOff: number, len: number): number {
    const end = seqAdd(start, len);
    const i = this.firstEndingFrom(start);
    if (i === this.count || seqLt(end, this.start(i))) {
      return this.insert(i, start, src, srcOff, len) ? i : -1;
    }
    const ring = this.rings[i];
    if (ring === undefined) return -1;
    const before = seqDiff(this.start(i), start);
    if (before > 0) {
      if (!ring.prepend(src, srcOff, before)) return -1;
      this.starts[i] = start;
    }
    return this.extend(i, ring, start, src, srcOff, len) ? i : -1;
  }

  /**
   * The in-order edge has come to `edge`, behind the newest byte of `received`: move there what follows it.
   *
   * @returns bytes moved; where the pool has no storage, a range is left at the new edge
   */
  moveTo(received: ByteRing, edge: Seq): number {
    let at = edge;
    while (this.count > 0 && seqLe(this.start(0), at)) {
      const ring = this.rings[0];
      const old = seqDiff(at, this.start(0));
      if (ring !== undefined && old < ring.length) {
        ring.release(old);
        this.starts[0] = at;
        const next = seqAdd(at, ring.length);
        if (!received.join(ring)) break;
        at = next;
      }
      this.remove(0);
    }
    return seqDiff(at, edge);
  }

  /** Give up the furthest range. */
  dropLast(): void {
    this.remove(this.count - 1);
  }

  clear(): void {
    while (this.count > 0) this.dropLast();
  }

  private insert(i: number, start: Seq, src: Uint8Array, srcOff: number, len: number): boolean {
    if (this.isFull) return false;
    const ring = new ByteRing(this.storage);
    if (!ring.append(src, srcOff, len)) return false;
    this.starts.splice(i, 0, start);
    this.rings.splice(i, 0, ring);
    return true;
  }

  /** Range `i` starts at `start` or before, and ends there or later: append what it lacks, and join what that reaches. */
  private extend(
    i: number,
    ring: ByteRing,
    start: Seq,
    src: Uint8Array,
    srcOff: number,
    len: number,
  ): boolean {
    const end = seqAdd(start, len);
    for (;;) {
      const next = this.rings[i + 1];
      const reaches = next !== undefined && seqLe(this.start(i + 1), end);
      const known = seqDiff(this.end(i), start);
      const more = (reaches ? seqDiff(this.start(i + 1), start) : len) - known;
      if (more > 0 && !ring.append(src, srcOff + known, more)) return false;
      if (next === undefined || !reaches) return true;
      if (!ring.join(next)) return false;
      this.remove(i + 1);
    }
  }

  private remove(i: number): void {
    this.rings[i]?.clear();
    this.starts.splice(i, 1);
    this.rings.splice(i, 1);
  }

  /** The first range whose end is `at` or later. */
  private firstEndingFrom(at: Seq): number {
    let low = 0;
    let high = this.count;
    if (high > 0 && seqLt(this.end(high - 1), at)) return high; // beyond all is the usual case
    while (low < high) {
      const middle = (low + high) >> 1;
      if (seqLt(this.end(middle), at)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
