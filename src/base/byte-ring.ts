/**
 * A byte ring that grows: the retransmission store of one direction of a connection, what its reader has not taken yet,
 * and each range of bytes that arrived out of order.
 *
 * Theory of operation
 * -------------------
 * Storage doubles when a write needs it and goes back as soon as the ring is empty, so that
 * an idle connection costs none. Rings are joined by a copy of the smaller one, so that a byte is copied a logarithmic
 * number of times in whatever order it comes. A run handed out by `lend` is *lent*: it stays in place until `release`,
 * also when the ring grows in between (the old storage is then kept until the loan ends). Space handed out by `reserve`
 * stays in place until `fill`: no other write is allowed in between.
 */
import { assert } from './assert.ts';
import type { Storage } from './buffer-pool.ts';
import { copyBytes } from './copy-bytes.ts';
import { type Run, runOf } from './run.ts';

const NONE = new Uint8Array(0);

export class ByteRing {
  /** Bytes held. */
  length = 0;
  private readonly storage: Storage;
  private buffer: Uint8Array = NONE;
  private head = 0;
  private lent = false;
  private reserved = false;
  /** Storage that a loan still reads, after the ring has moved to a larger one. */
  private retired: Uint8Array | undefined = undefined;

  constructor(storage: Storage) {
    this.storage = storage;
  }

  /** Whether a run is lent. */
  get isLent(): boolean {
    return this.lent;
  }

  /** Bytes of storage held now. */
  get capacity(): number {
    return this.buffer.length;
  }

  /** Have storage for `n` more bytes. @returns false when the pool has none */
  ensure(n: number): boolean {
    const end = this.length + n;
    return end <= this.buffer.length || this.grow(end);
  }

  /** Copy `len` bytes behind the newest. @returns false when the pool has no storage; nothing was written */
  append(src: Uint8Array, srcOff: number, len: number): boolean {
    assert(!this.reserved, 'ring written while its space is lent');
    if (!this.ensure(len)) return false;
    this.write(this.head + this.length, src, srcOff, len);
    this.length += len;
    return true;
  }

  /** Copy `len` bytes before the oldest. @returns false when the pool has no storage; nothing was written */
  prepend(src: Uint8Array, srcOff: number, len: number): boolean {
    assert(!this.reserved && !this.lent, 'ring written before its oldest byte while it is lent');
    if (!this.ensure(len)) return false;
    this.head = (this.head - len) & (this.buffer.length - 1);
    this.write(this.head, src, srcOff, len);
    this.length += len;
    return true;
  }

  /**
   * Move all bytes of `next`, of which nothing is lent, behind the newest.
   *
   * @returns false when the pool has no storage; both are as they were
   */
  join(next: ByteRing): boolean {
    assert(!this.reserved && !next.reserved && !next.lent, 'ring joined while its space is lent');
    const adopts = next.length > this.length;
    if (!(adopts ? next.ensure(this.length) : this.ensure(next.length))) return false;
    if (adopts) {
      this.adopt(next);
    } else {
      const first = Math.min(next.length, next.buffer.length - next.head);
      this.append(next.buffer, next.head, first);
      this.append(next.buffer, 0, next.length - first);
    }
    next.clear();
    return true;
  }

  /**
   * Lend the free space behind the newest byte, as far as it is contiguous, to be written in place; `fill` ends that.
   *
   * @param max `min` or more
   * @returns `min` to `max` bytes; undefined when so many are not contiguous, or the pool has no storage
   */
  reserve(min: number, max: number): Uint8Array | undefined {
    assert(!this.reserved, 'ring reserved twice');
    if (!this.ensure(min)) return undefined;
    const at = (this.head + this.length) & (this.buffer.length - 1);
    const free = Math.min(this.buffer.length - at, this.buffer.length - this.length, max);
    if (free < min) return undefined;
    this.reserved = true;
    return this.buffer.subarray(at, at + free);
  }

  /** The first `n` bytes of the space that was lent are written, and belong to the ring. */
  fill(n: number): void {
    assert(this.reserved, 'ring filled where nothing was lent');
    this.reserved = false;
    this.length += n;
    if (this.length === 0) this.clear();
  }

  /** Copy `len` bytes, from `offset` past the oldest, to `dst` at `dstOff`. */
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

  /** The longest contiguous run from the oldest byte, lent until `release`. */
  lend(): Run {
    this.lent = this.length > 0;
    return runOf(this.buffer, this.head, Math.min(this.length, this.buffer.length - this.head));
  }

  /** The longest contiguous run from `offset` past the oldest byte: a look at it, not a loan. */
  peek(offset: number): Run {
    assert(offset <= this.length, 'ring read beyond its end');
    const at = (this.head + offset) & (this.buffer.length - 1);
    return runOf(this.buffer, at, Math.min(this.length - offset, this.buffer.length - at));
  }

  /** Drop the `n` oldest bytes; ends a loan. */
  release(n: number): void {
    assert(n <= this.length, 'ring released beyond its end');
    this.lent = false;
    this.releaseRetired();
    this.length -= n;
    if (this.length === 0 && !this.reserved) {
      this.clear();
      return;
    }
    this.head = (this.head + n) & (this.buffer.length - 1);
  }

  /** Give all storage back. Lent runs and space may not be used any more. */
  clear(): void {
    this.releaseRetired();
    if (this.buffer.length > 0) this.storage.release(this.buffer);
    this.buffer = NONE;
    this.head = 0;
    this.length = 0;
    this.lent = false;
    this.reserved = false;
  }

  private releaseRetired(): void {
    if (this.retired === undefined) return;
    this.storage.release(this.retired);
    this.retired = undefined;
  }

  private write(position: number, src: Uint8Array, srcOff: number, len: number): void {
    const at = position & (this.buffer.length - 1);
    const first = Math.min(len, this.buffer.length - at);
    copyBytes(src, srcOff, this.buffer, at, first);
    if (first < len) copyBytes(src, srcOff + first, this.buffer, 0, len - first);
  }

  /** Take over the storage of `next`, which has room for the bytes that are here. */
  private adopt(next: ByteRing): void {
    const { buffer, head, length } = this;
    if (length > 0) {
      const first = Math.min(length, buffer.length - head);
      next.prepend(buffer, 0, length - first);
      next.prepend(buffer, head, first);
    }
    this.retire(buffer);
    this.buffer = next.buffer;
    this.head = next.head;
    this.length = next.length;
    next.buffer = NONE;
  }

  private grow(atLeast: number): boolean {
    const next = this.storage.acquire(atLeast);
    if (next === undefined) return false;
    const old = this.buffer;
    if (this.length > 0) {
      const first = Math.min(this.length, old.length - this.head);
      copyBytes(old, this.head, next, 0, first);
      copyBytes(old, 0, next, first, this.length - first);
    }
    this.retire(old);
    this.buffer = next;
    this.head = 0;
    return true;
  }

  /** The ring moves to other storage; what a loan reads of this one stays until it ends. */
  private retire(old: Uint8Array): void {
    if (this.lent) this.retired = old;
    else if (old.length > 0) this.storage.release(old);
    this.lent = false;
  }
}
