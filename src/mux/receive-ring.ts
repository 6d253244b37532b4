/**
 * The bytes that a channel received and its reader has not released.
 *
 * Like `base/byte-ring.ts`, but it knows the most it can ever hold, the window: beyond a small first
 * buffer it takes the whole at once, where doubling would copy a burst twice. Empty, it holds
 * nothing. A run handed out by `lend` stays put until `release`, also when the ring grows.
 */
import { assert } from '../base/assert.ts';
import type { BufferPool } from '../base/buffer-pool.ts';
import { copyBytes } from '../base/copy-bytes.ts';
import { type Run, runOf } from '../base/run.ts';

const NONE = new Uint8Array(0);
/** Up to here a buffer fits what is there; a reader that keeps up needs no more. */
const SMALL = 16 << 10;

export class ReceiveRing {
  length = 0;
  private readonly pool: BufferPool;
  private buffer: Uint8Array = NONE;
  private head = 0;
  private lent = false;
  /** Storage that a loan still reads, after the ring has moved to a larger one. */
  private retired: Uint8Array | undefined = undefined;

  constructor(pool: BufferPool) {
    this.pool = pool;
  }

  /**
   * Append `len` bytes.
   *
   * @param window the most that the ring is to hold, at least its length with them
   * @returns false when the pool has no storage; nothing was written
   */
  write(src: Uint8Array, srcOff: number, len: number, window: number): boolean {
    const end = this.length + len;
    if (end > this.buffer.length && !this.grow(end <= SMALL ? end : Math.max(end, window))) {
      return false;
    }
    const at = (this.head + this.length) & (this.buffer.length - 1);
    const first = Math.min(len, this.buffer.length - at);
    copyBytes(src, srcOff, this.buffer, at, first);
    if (first < len) copyBytes(src, srcOff + first, this.buffer, 0, len - first);
    this.length = end;
    return true;
  }

  /** The longest contiguous run from the oldest byte, lent until `release`. */
  lend(): Run {
    this.lent = this.length > 0;
    return runOf(this.buffer, this.head, Math.min(this.length, this.buffer.length - this.head));
  }

  /** Drop the `n` oldest bytes; ends a loan. */
  release(n: number): void {
    assert(n <= this.length, 'ring released beyond its end');
    this.lent = false;
    this.releaseRetired();
    this.length -= n;
    if (this.length === 0) this.clear();
    else this.head = (this.head + n) & (this.buffer.length - 1);
  }

  /** Give all storage back. Whoever holds a lent run must have stopped reading it. */
  clear(): void {
    this.releaseRetired();
    if (this.buffer.length > 0) this.pool.release(this.buffer);
    this.buffer = NONE;
    this.head = 0;
    this.length = 0;
    this.lent = false;
  }

  private grow(atLeast: number): boolean {
    const next = this.pool.acquire(atLeast);
    if (next === undefined) return false;
    const old = this.buffer;
    if (old.length > 0) {
      const first = Math.min(this.length, old.length - this.head);
      copyBytes(old, this.head, next, 0, first);
      if (first < this.length) copyBytes(old, 0, next, first, this.length - first);
      if (this.lent) this.retired = old;
      else this.pool.release(old);
    }
    this.lent = false;
    this.buffer = next;
    this.head = 0;
    return true;
  }

  private releaseRetired(): void {
    if (this.retired === undefined) return;
    this.pool.release(this.retired);
    this.retired = undefined;
  }
}
