/** So many at once and so many a second, for whoever can wait: a bucket that fills again. */
import type { Instant } from '../time.ts';

export class Allowance {
  private readonly burst: number;
  private readonly perSecond: number;
  private left: number;
  private filledAt: Instant = 0;

  constructor(burst: number, perSecond: number) {
    this.burst = burst;
    this.perSecond = perSecond;
    this.left = burst;
  }

  /** @returns 0: one was taken; else none was, and in so many ms one may be there */
  take(now: Instant): number {
    const filled = this.left + (Math.max(0, now - this.filledAt) / 1000) * this.perSecond;
    this.left = Math.min(this.burst, filled);
    this.filledAt = now;
    if (this.left < 1) return Math.ceil(((1 - this.left) / this.perSecond) * 1000);
    this.left--;
    return 0;
  }
}
