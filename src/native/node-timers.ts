import type { Timers } from '../base/time.ts';

/** Of Node. None keeps the process up. */
export const NODE_TIMERS: Timers = {
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
