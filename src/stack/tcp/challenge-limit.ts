/** Challenge ACKs are limited, over all connections of a layer (RFC 5961 §7). */
import type { Instant } from '../../base/time.ts';

const CHALLENGES_PER_SECOND = 200;

export class ChallengeLimit {
  private second = 0;
  private sent = 0;

  /** Whether one more may be sent now; if so it counts. */
  take(now: Instant): boolean {
    const second = Math.floor(now / 1000);
    if (second !== this.second) {
      this.second = second;
      this.sent = 0;
    }
    return this.sent++ < CHALLENGES_PER_SECOND;
  }
}
