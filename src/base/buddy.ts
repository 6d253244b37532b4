/**
 * Which parts of one block of memory are in use: a binary buddy allocator (Knuth 2.5) over offsets, without the memory.
 *
 * Theory of operation
 * -------------------
 * A piece is a power of two, at a multiple of its size. A request takes the smallest free piece that is large enough and
 * halves it; a piece given back joins its buddy as long as that is free too. So no order of requests can leave the block
 * in small pieces once they are given back. Free pieces of a size are in a list, linked by index in typed arrays that
 * cost nothing where no piece begins. All operations are bounded by the number of sizes.
 *
 * The block is also divided into chunks, for giving memory back to the system: a chunk that was used, and lay free from one
 * `age` to the next, is stale.
 */
import { assert } from './assert.ts';

/** Of the smallest piece: 256 bytes. */
const UNIT_SHIFT = 8;
const CHUNK_SHIFT = 16;
const NONE = -1;

const UNTOUCHED = 0;
const TOUCHED = 1;
const AGED = 2;

export const CHUNK: number = 1 << CHUNK_SHIFT;

export class Buddy {
  private readonly topShift: number;
  /** By size, the first free piece, and a bit in `sizes` if there is one. */
  private readonly heads: Int32Array;
  private sizes = 0;
  /** By unit: of a free piece that begins there, its size and its place in the list. */
  private readonly freeShift: Uint8Array;
  private readonly next: Int32Array;
  private readonly prev: Int32Array;
  private readonly chunks: Uint8Array;

  /** @param topShift of the block's size, which is a power of two */
  constructor(topShift: number) {
    const units = 1 << (topShift - UNIT_SHIFT);
    this.topShift = topShift;
    this.heads = new Int32Array(topShift + 1).fill(NONE);
    this.freeShift = new Uint8Array(units);
    this.next = new Int32Array(units);
    this.prev = new Int32Array(units);
    this.chunks = new Uint8Array(Math.max(1 << (topShift - CHUNK_SHIFT), 1));
    this.link(0, topShift);
  }

  /** @returns the offset of a piece of `2 ** shift` bytes; -1 when none is free */
  allocate(shift: number): number {
    const enough = shift > this.topShift ? 0 : (this.sizes >>> shift) << shift;
    if (enough === 0) return NONE;
    let size = 31 - Math.clz32(enough & -enough);
    const unit = this.heads[size] ?? NONE;
    this.unlink(unit, size);
    while (size > shift) {
      size--;
      this.link(unit + unitsOf(size), size);
    }
    const offset = unit << UNIT_SHIFT;
    const chunk = offset >>> CHUNK_SHIFT;
    if (shift <= CHUNK_SHIFT) this.chunks[chunk] = TOUCHED;
    else this.chunks.fill(TOUCHED, chunk, chunk + (1 << (shift - CHUNK_SHIFT)));
    return offset;
  }

  /** Give back the piece of `2 ** shift` bytes at `offset`. */
  release(offset: number, shift: number): void {
    let unit = offset >>> UNIT_SHIFT;
    let size = shift;
    assert(this.freeShift[unit] === 0, 'piece given back twice');
    while (size < this.topShift) {
      const buddy = unit ^ unitsOf(size);
      if (this.freeShift[buddy] !== size) break;
      this.unlink(buddy, size);
      unit = Math.min(unit, buddy);
      size++;
    }
    this.link(unit, size);
  }

  /** Free chunks that were used since the last call are used no more; those that were aged before are stale. */
  age(): void {
    this.forFreeChunks((chunk) => {
      if (this.chunks[chunk] === TOUCHED) this.chunks[chunk] = AGED;
      return true;
    });
  }

  /**
   * Visit runs of stale chunks, which then count as never used.
   *
   * @returns bytes visited, at most `most`
   */
  takeStale(most: number, visit: (offset: number, len: number) => void): number {
    let total = 0;
    let start = 0;
    let len = 0;
    this.forFreeChunks((chunk) => {
      if (this.chunks[chunk] !== AGED) return true;
      if (total + CHUNK > most) return false;
      const offset = chunk << CHUNK_SHIFT;
      if (len > 0 && offset !== start + len) {
        visit(start, len);
        len = 0;
      }
      if (len === 0) start = offset;
      len += CHUNK;
      total += CHUNK;
      this.chunks[chunk] = UNTOUCHED;
      return true;
    });
    if (len > 0) visit(start, len);
    return total;
  }

  /** @param visit returns whether to go on */
  private forFreeChunks(visit: (chunk: number) => boolean): void {
    for (let size = CHUNK_SHIFT; size <= this.topShift; size++) {
      for (let unit = this.heads[size] ?? NONE; unit !== NONE; unit = this.next[unit] ?? NONE) {
        const first = unit >>> (CHUNK_SHIFT - UNIT_SHIFT);
        const end = first + (1 << (size - CHUNK_SHIFT));
        for (let chunk = first; chunk < end; chunk++) if (!visit(chunk)) return;
      }
    }
  }

  private link(unit: number, size: number): void {
    const head = this.heads[size] ?? NONE;
    this.next[unit] = head;
    this.prev[unit] = NONE;
    if (head !== NONE) this.prev[head] = unit;
    this.heads[size] = unit;
    this.sizes |= 1 << size;
    this.freeShift[unit] = size;
  }

  private unlink(unit: number, size: number): void {
    const next = this.next[unit] ?? NONE;
    const prev = this.prev[unit] ?? NONE;
    if (next !== NONE) this.prev[next] = prev;
    if (prev !== NONE) this.next[prev] = next;
    else {
      this.heads[size] = next;
      if (next === NONE) this.sizes &= ~(1 << size);
    }
    this.freeShift[unit] = 0;
  }
}

const unitsOf = (shift: number): number => 1 << (shift - UNIT_SHIFT);
