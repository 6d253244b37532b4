/** So many a second, at most: what a guest may cause that costs nothing but the doing. */
import type { Instant } from '../time.ts';

export class Rate {
  refused = 0;
  private readonly perSecond: number;
  private second = Number.NEGATIVE_INFINITY;
  private taken = 0;

  constructor(perSecond: number) {
    this.perSecond = perSecond;
  }

  /** Whether one more may be had in the second of `now`; if so it counts. */
  take(now: Instant): boolean {
    const second = Math.floor(now / 1000);
    if (second !== this.second) {
      this.second = second;
      this.taken = 0;
    }
    if (this.taken >= this.perSecond) {
      this.refused++;
      return false;
    }
    this.taken++;
    return true;
  }
}
