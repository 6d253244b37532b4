/**
 * Byte buffers by size class, for the rings of all connections of one stack.
 *
 * Theory of operation
 * -------------------
 * Classes are powers of two from 256 bytes to 8 MiB. Of a small buffer the objects that lead to it count as well, which
 * may be as large. A buffer given back is kept for reuse until `keepLimit` bytes are kept, then goes back to the arena;
 * what was kept from one `trimPools` to the next without need goes there too.
 * `budget` bounds what rings may hold together: above three quarters of it (`tight`) windows stop growing and shrink to their
 * floor; at the budget `acquire` refuses, and the caller drops or waits.
 */
import { allocate, release } from './arena.ts';

const MIN_SHIFT = 8;
const MAX_SHIFT = 23;

/** A ring and the view of its storage, on V8's heap. Beside a large buffer it does not matter. */
const OBJECTS_COST = 256;
const SMALL = 4096;

/** Room that rings of `tight` size still grow into. */
const SPENT_MARGIN = 256 * 1024;

export const MIN_BUFFER: number = 1 << MIN_SHIFT;
export const MAX_BUFFER: number = 1 << MAX_SHIFT;

/** The pools that keep buffers, those of whom nobody knows any more included. */
const keeping = new Set<BufferPool>();

/** Give back what pools have kept without need since the last call. */
export function trimPools(): void {
  for (const pool of keeping) if (!pool.trim()) keeping.delete(pool);
}

/** What a buffer counts for. */
export const costOf = (size: number): number => (size < SMALL ? size + OBJECTS_COST : size);

/** Where rings have their storage from. */
export interface Storage {
  /**
   * @param atLeast bytes wanted, at most `MAX_BUFFER`
   * @returns a buffer whose length is a power of two; its bytes are not cleared. Undefined when there is none
   */
  acquire(atLeast: number): Uint8Array | undefined;
  /** Give a buffer back; the caller must hold no view of it. */
  release(buffer: Uint8Array): void;
}

export class BufferPool implements Storage {
  readonly budget: number;
  /** Cost of what was handed out and not given back, in bytes. */
  inUse = 0;
  /** Times `acquire` refused. */
  refused = 0;
  private kept = 0;
  private readonly keepLimit: number;
  private readonly free: Uint8Array[][] = [];
  /** By class, the fewest that were kept since the last trim. */
  private readonly unneeded: number[] = [];

  constructor(budget: number, keepLimit: number = budget >> 3) {
    this.budget = budget;
    this.keepLimit = keepLimit;
    for (let shift = MIN_SHIFT; shift <= MAX_SHIFT; shift++) {
      this.free.push([]);
      this.unneeded.push(0);
    }
  }

  /** Whether windows should stop growing. */
  get tight(): boolean {
    return this.inUse > this.budget - (this.budget >> 2);
  }

  /** Whether the next `acquire` may be refused. */
  get spent(): boolean {
    return this.inUse + SPENT_MARGIN > this.budget;
  }

  /** What the buffer counts for that `acquire` returns. */
  costFor(atLeast: number): number {
    return costOf(1 << classOf(atLeast));
  }

  acquire(atLeast: number): Uint8Array | undefined {
    const shift = classOf(atLeast);
    const size = 1 << shift;
    const cost = costOf(size);
    if (shift > MAX_SHIFT || this.inUse + cost > this.budget) {
      this.refused++;
      return undefined;
    }
    this.inUse += cost;
    const list = this.free[shift - MIN_SHIFT];
    const buffer = list?.pop();
    if (list === undefined || buffer === undefined) return allocate(size);
    this.kept -= size;
    if (list.length < (this.unneeded[shift - MIN_SHIFT] ?? 0)) {
      this.unneeded[shift - MIN_SHIFT] = list.length;
    }
    return buffer;
  }

  release(buffer: Uint8Array): void {
    const size = buffer.length;
    this.inUse -= costOf(size);
    if (this.kept + size > this.keepLimit) {
      release(buffer);
      return;
    }
    if (this.kept === 0) keeping.add(this);
    this.kept += size;
    this.free[classOf(size) - MIN_SHIFT]?.push(buffer);
  }

  /** @internal Give the arena what was not needed since the last call. @returns whether any is kept still */
  trim(): boolean {
    this.free.forEach((list, i) => {
      for (const buffer of list.splice(0, this.unneeded[i])) {
        this.kept -= buffer.length;
        release(buffer);
      }
      this.unneeded[i] = list.length;
    });
    return this.kept > 0;
  }
}

const classOf = (bytes: number): number =>
  bytes <= MIN_BUFFER ? MIN_SHIFT : 32 - Math.clz32(bytes - 1);
