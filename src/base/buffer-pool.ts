/**
 * Byte buffers by size class, for the rings of all connections of one stack.
 *
 * Theory of operation
 * -------------------
 * Classes are powers of two from 4 KiB to 8 MiB. A buffer given back is kept for reuse
 * until `keepLimit` bytes are kept, then goes back to the arena. `budget` bounds what rings
 * may hold together: above three quarters of it (`tight`) windows stop growing and shrink to their
 * floor; at the budget `acquire` refuses, and the caller drops or waits.
 */
import { allocate, release } from './arena.ts';

const MIN_SHIFT = 12;
const MAX_SHIFT = 23;

/** Room that rings of `tight` size still grow into. */
const SPENT_MARGIN = 256 * 1024;

export const MIN_BUFFER: number = 1 << MIN_SHIFT;
export const MAX_BUFFER: number = 1 << MAX_SHIFT;

export class BufferPool {
  readonly budget: number;
  /** Bytes handed out and not given back. */
  inUse = 0;
  /** Times `acquire` refused. */
  refused = 0;
  private kept = 0;
  private readonly keepLimit: number;
  private readonly free: Uint8Array[][] = [];

  constructor(budget: number, keepLimit: number = budget >> 3) {
    this.budget = budget;
    this.keepLimit = keepLimit;
    for (let shift = MIN_SHIFT; shift <= MAX_SHIFT; shift++) this.free.push([]);
  }

  /** Whether windows should stop growing. */
  get tight(): boolean {
    return this.inUse > this.budget - (this.budget >> 2);
  }

  /** Whether the next `acquire` may be refused. */
  get spent(): boolean {
    return this.inUse + SPENT_MARGIN > this.budget;
  }

  /**
   * @param atLeast bytes wanted, at most `MAX_BUFFER`
   * @returns a buffer whose length is a power of two; its bytes are not cleared. Undefined when the
   *   budget is spent
   */
  acquire(atLeast: number): Uint8Array | undefined {
    const shift = classOf(atLeast);
    const size = 1 << shift;
    if (shift > MAX_SHIFT || this.inUse + size > this.budget) {
      this.refused++;
      return undefined;
    }
    this.inUse += size;
    const buffer = this.free[shift - MIN_SHIFT]?.pop();
    if (buffer === undefined) return allocate(size);
    this.kept -= size;
    return buffer;
  }

  /** Give a buffer back; the caller must hold no view of it. */
  release(buffer: Uint8Array): void {
    const size = buffer.length;
    this.inUse -= size;
    if (this.kept + size > this.keepLimit) {
      release(buffer);
      return;
    }
    this.kept += size;
    this.free[classOf(size) - MIN_SHIFT]?.push(buffer);
  }
}

const classOf = (bytes: number): number =>
  bytes <= MIN_BUFFER ? MIN_SHIFT : 32 - Math.clz32(bytes - 1);
