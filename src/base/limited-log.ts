/**
 * Log lines for diagnosis, of which a guest can cause any number: of each kind the first
 * {@link LINES} in {@link WINDOW_MS}, and how many were left out when the next one is written.
 */
import type { Log } from './log.ts';
import type { Instant } from './time.ts';

export const LINES = 20;
export const WINDOW_MS = 10_000;

interface Window {
  endsAt: Instant;
  lines: number;
  suppressed: number;
}

/** @typeParam K kinds, a closed set */
export class LimitedLog<K extends string> {
  private readonly log: Log;
  private readonly clock: { now(): Instant };
  private readonly windows = new Map<K, Window>();

  constructor(log: Log, clock: { now(): Instant }) {
    this.log = log;
    this.clock = clock;
  }

  debug(kind: K, fields: object, message: string): void {
    const window = this.windowOf(kind);
    if (window.lines >= LINES) {
      window.suppressed++;
      return;
    }
    window.lines++;
    const { suppressed } = window;
    window.suppressed = 0;
    this.log.debug(suppressed === 0 ? fields : { ...fields, suppressed }, message);
  }

  private windowOf(kind: K): Window {
    const now = this.clock.now();
    let window = this.windows.get(kind);
    if (window === undefined) {
      window = { endsAt: now + WINDOW_MS, lines: 0, suppressed: 0 };
      this.windows.set(kind, window);
    } else if (now >= window.endsAt) {
      window.endsAt = now + WINDOW_MS;
      window.lines = 0;
    }
    return window;
  }
}
