/**
 * A byte ring that grows: the retransmission store of one direction of a connection, and the
 * reassembly buffer of segments that arrived out of order.
 *
 * Theory of operation
 * -------------------
 * Offsets are relative to the oldest byte (`head`). `length` bytes from there are committed;
 * bytes written beyond them with `writeAt` (out-of-order segments) count once `commit` covers them.
 * Storage comes from a `BufferPool`, doubles when a write needs it and goes back as soon as the
 * ring is empty, so that an idle connection costs none. A run handed out by `lend` is *lent*:
 * it stays in place until `release`, also when the ring grows in between (the old storage is then kept
 * until the loan ends). Space handed out by `reserve` stays in place until `fill`: no other write is
 * allowed in between.
 */
import { assert } from './assert.ts';
import type { BufferPool } from './buffer-pool.ts';
import { copyBytes } from './copy-bytes.ts';
import { type Run, runOf } from './run.ts';

const NONE = new Uint8Array(0);

export class ByteRing {
  /** Committed bytes. */
  length = 0;
  private readonly pool: BufferPool;
  private buffer: Uint8Array = NONE;
  private head = 0;
  /** End of the furthest byte written, relative to `head`; at least `length`. */
  private extent = 0;
  private lent = false;
  private reserved = false;
  /** Storage that a loan still reads, after the ring has moved to a larger one. */
  private retired: Uint8Array | undefined = undefined;

  constructor(pool: BufferPool) {
    this.pool = pool;
  }

  /** Bytes of storage held now. */
  get capacity(): number {
    return this.buffer.length;
  }

  /**
   * Copy `len` bytes to `offset` bytes past the oldest, growing as needed.
   *
   * @returns false when the pool has no storage for it; nothing was written
   */
  writeAt(offset: number, src: Uint8Array, srcOff: number, len: number): boolean {
    assert(!this.reserved, 'ring written while its space is lent');
    const end = offset + len;
    if (end > this.buffer.length && !this.grow(end)) return false;
    const mask = this.buffer.length - 1;
    const at = (this.head + offset) & mask;
    const first = this.buffer.length - at;
    if (len <= first) {
      copyBytes(src, srcOff, this.buffer, at, len);
    } else {
      copyBytes(src, srcOff, this.buffer, at, first);
      copyBytes(src, srcOff + first, this.buffer, 0, len - first);
    }
    if (end > this.extent) this.extent = end;
    return true;
  }

  /** Count `n` more bytes, already written, as committed. */
  commit(n: number): void {
    this.length += n;
    assert(this.length <= this.extent, 'ring committed beyond what was written');
  }

  /**
   * Lend the free space after the committed bytes, as far as it is contiguous, to be written in place; `fill` ends
   * that. Nothing may have been written beyond them.
   *
   * @param max `min` or more
   * @returns `min` to `max` bytes; undefined when so many are not contiguous, or the pool has no storage
   */
  reserve(min: number, max: number): Uint8Array | undefined {
    assert(!this.reserved && this.extent === this.length, 'ring reserved twice, or written ahead');
    const end = this.length + min;
    if (end > this.buffer.length && !this.grow(end)) return undefined;
    const at = (this.head + this.length) & (this.buffer.length - 1);
    const free = Math.min(this.buffer.length - at, this.buffer.length - this.length, max);
    if (free < min) return undefined;
    this.reserved = true;
    return this.buffer.subarray(at, at + free);
  }

  /** The first `n` bytes of the space that was lent are written, and committed. */
  fill(n: number): void {
    assert(this.reserved, 'ring filled where nothing was lent');
    this.reserved = false;
    this.extent += n;
    this.length += n;
    if (this.extent === 0) this.clear();
  }

  /** Copy `len` committed bytes, from `offset` past the oldest, to `dst` at `dstOff`. */
  copyOut(offset: number, len: number, dst: Uint8Array, dstOff: number): void {
    assert(offset + len <= this.length, 'ring read beyond its end');
    const at = (this.head + offset) & (this.buffer.length - 1);
    const first = this.buffer.length - at;
    if (len <= first) {
      copyBytes(this.buffer, at, dst, dstOff, len);
    } else {
      copyBytes(this.buffer, at, dst, dstOff, first);
      copyBytes(this.buffer, 0, dst, dstOff + first, len - first);
    }
  }

  /** The longest contiguous committed run from the oldest byte, lent until `release`. */
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
    this.extent -= n;
    if (this.extent === 0 && !this.reserved) {
      this.clear();
      return;
    }
    this.head = (this.head + n) & (this.buffer.length - 1);
  }

  /** Give all storage back. Lent runs and space may not be used any more. */
  clear(): void {
    this.releaseRetired();
    if (this.buffer.length > 0) this.pool.release(this.buffer);
    this.buffer = NONE;
    this.head = 0;
    this.length = 0;
    this.extent = 0;
    this.lent = false;
    this.reserved = false;
  }

  private releaseRetired(): void {
    if (this.retired === undefined) return;
    this.pool.release(this.retired);
    this.retired = undefined;
  }

  private grow(atLeast: number): boolean {
    const next = this.pool.acquire(atLeast);
    if (next === undefined) return false;
    const old = this.buffer;
    if (old.length > 0) {
      const first = Math.min(this.extent, old.length - this.head);
      copyBytes(old, this.head, next, 0, first);
      copyBytes(old, 0, next, first, this.extent - first);
      if (this.lent) this.retired = old;
      else this.pool.release(old);
    }
    this.lent = false;
    this.buffer = next;
    this.head = 0;
    return true;
  }
}
