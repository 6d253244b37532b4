/** Timers in virtual time. */
import type { Timers } from '../../src/base/time.ts';

interface Pending {
  readonly at: number;
  readonly run: () => void;
}

export class VirtualTimers implements Timers {
  /** What runs may move it on, as work that takes long does. */
  now = 0;
  private readonly pending = new Set<Pending>();

  after(delayMs: number, run: () => void): () => void {
    const one = { at: this.now + delayMs, run };
    this.pending.add(one);
    return () => {
      this.pending.delete(one);
    };
  }

  /** Run what is due in the next `ms`, and what follows from it. */
  async advance(ms: number): Promise<void> {
    const end = this.now + ms;
    for (;;) {
      for (let i = 0; i < 50; i++) await new Promise(setImmediate);
      const [next] = [...this.pending].sort((one, other) => one.at - other.at);
      if (next === undefined || next.at > end) break;
      this.now = Math.max(this.now, next.at);
      this.pending.delete(next);
      next.run();
    }
    this.now = Math.max(this.now, end);
  }
}
