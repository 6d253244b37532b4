/**
 * Counters by name, for what happens rarely: drops, limits reached, evictions. Counts that change
 * with every packet are plain fields of their owner.
 */
export class Counters<K extends string> {
  private readonly counts = new Map<K, number>();

  add(name: K, n = 1): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + n);
  }

  get(name: K): number {
    return this.counts.get(name) ?? 0;
  }

  /** A copy, sorted by name. */
  snapshot(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.counts].sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}
