/**
 * Whether the host slept. The monotonic clock of Linux stands still meanwhile, that of guests may not (kvm-clock); the clock
 * on the wall goes on. One that is set forward looks the same.
 */
import type { Instant } from '../base/time.ts';
import { ASLEEP_MS } from '../stack/segment.ts';

export class HostSleep {
  private wallAheadMs: number;

  constructor(now: Instant, wallMs: number) {
    this.wallAheadMs = wallMs - now;
  }

  /** @returns whether it did, since the last call */
  hasSlept(now: Instant, wallMs: number): boolean {
    const before = this.wallAheadMs;
    this.wallAheadMs = wallMs - now;
    return this.wallAheadMs - before >= ASLEEP_MS;
  }
}
