/**
 * What is to be done at the end of a batch. The array is kept from batch to batch: one whose `length` is set to 0 gives
 * its storage up, and takes new one at the next `push`.
 */
export class WorkList<T> {
  length = 0;
  private readonly items: (T | undefined)[] = [];

  push(item: T): void {
    this.items[this.length++] = item;
  }

  /** Undefined beyond the end. */
  at(index: number): T | undefined {
    return index < this.length ? this.items[index] : undefined;
  }

  /** Keeps no item alive. */
  clear(): void {
    this.items.fill(undefined, 0, this.length);
    this.length = 0;
  }
}
