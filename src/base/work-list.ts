/**
 * Work that is deferred to the end of a batch. The array is reused from batch to batch without setting its `length` to
 * 0, which would release its storage and allocate a new one at the next `push`.
 */

/** A list that is never empty moves its items to the start of the array when this many before them have been taken. */
const MAX_TAKEN = 1024;

export class WorkList<T> {
  private readonly items: (T | undefined)[] = [];
  private pushed = 0;
  private taken = 0;

  get length(): number {
    return this.pushed - this.taken;
  }

  push(item: T): void {
    if (this.taken >= MAX_TAKEN && this.taken >= this.length) this.moveToStart();
    this.items[this.pushed++] = item;
  }

  /** Remove and return the oldest item; undefined when there is none. */
  take(): T | undefined {
    if (this.taken === this.pushed) return undefined;
    const item = this.items[this.taken];
    this.items[this.taken++] = undefined; // drop the reference
    if (this.taken === this.pushed) {
      this.taken = 0;
      this.pushed = 0;
    }
    return item;
  }

  private moveToStart(): void {
    const { items, taken, pushed } = this;
    items.copyWithin(0, taken, pushed);
    this.pushed -= taken;
    this.taken = 0;
    items.fill(undefined, this.pushed, pushed);
  }
}
