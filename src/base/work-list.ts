/**
 * What is to be done at the end of a batch. The array is kept from batch to batch: one whose `length` is set to 0 gives
 * its storage up, and takes new one at the next `push`.
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

  /** The oldest, which leaves the list; undefined when there is none, and the storage is used from its start again. */
  take(): T | undefined {
    if (this.taken === this.pushed) {
      this.taken = 0;
      this.pushed = 0;
      return undefined;
    }
    const item = this.items[this.taken];
    this.items[this.taken++] = undefined; // so that the list keeps it no longer
    return item;
  }
}
