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

  /**
   * @param count no more than may be had at once
   * @returns 0: they were taken; else none was, and in so many ms they may be there
   */
  take(now: Instant, count = 1): number {
    const filled = this.left + (Math.max(0, now - this.filledAt) / 1000) * this.perSecond;
    this.left = Math.min(this.burst, filled);
    this.filledAt = now;
    if (this.left < count) return Math.ceil(((count - this.left) / this.perSecond) * 1000);
    this.left -= count;
    return 0;
  }
}
