/**
 * Work that is deferred to the end of a batch. The array is reused from batch to batch without setting its `length` to
 * 0, which would release its storage and allocate a new one at the next `push`.
 */
export class WorkList<T> {
  private readonly items: (T | undefined)[] = [];
  private pushed = 0;
  private taken = 0;

  get length(): number {
    return this.pushed - this.taken;
  }

  push(item: T): void {
    this.items[this.pushed++] = item;
  }

  /** Remove and return the oldest item; undefined when there is none, and the storage is then reused from its start. */
  take(): T | undefined {
    if (this.taken === this.pushed) {
      this.taken = 0;
      this.pushed = 0;
      return undefined;
    }
    const item = this.items[this.taken];
    this.items[this.taken++] = undefined; // drop the reference
    return item;
  }
}
