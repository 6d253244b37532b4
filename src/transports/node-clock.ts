import { performance } from 'node:perf_hooks';
import { type Clock, type Instant, NEVER, TIMER_MS_MAX } from '../base/time.ts';

/**
 * The real clock. It uses one Node timer, which is rearmed only for an earlier wake-up: for a
 * later one it is rearmed when it fires. The stack asks after every batch, mostly for a later one. Wakes
 * within about 1 ms after the requested time, never before it.
 */
export class NodeClock implements Clock {
  private at: Instant = NEVER;
  private onWake: () => void = () => undefined;
  private timer: NodeJS.Timeout | undefined = undefined;
  /** When the timer fires; meaningful while there is one. */
  private dueAt: Instant = NEVER;

  now(): Instant {
    return performance.now();
  }

  wakeAt(at: Instant, onWake: () => void): void {
    this.at = at;
    this.onWake = onWake;
    if (at === NEVER)
      this.timer?.unref(); // left armed, but it does not keep the process alive
    else if (this.timer === undefined || at < this.dueAt - 1) this.arm(at);
    else this.timer.ref();
  }

  private arm(at: Instant): void {
    clearTimeout(this.timer);
    const waitMs = Math.min(Math.max(Math.ceil(at - this.now()), 1), TIMER_MS_MAX);
    this.dueAt = this.now() + waitMs;
    this.timer = setTimeout(this.onTimer, waitMs);
  }

  private readonly onTimer = (): void => {
    this.timer = undefined;
    const at = this.at;
    if (at === NEVER) return;
    if (this.now() < at) {
      this.arm(at); // it was postponed since, or Node fired early
      return;
    }
    this.at = NEVER;
    this.onWake();
  };
}
