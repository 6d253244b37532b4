/**
 * A log in which a guest can cause any number of lines: of each message the first {@link LINES} in {@link WINDOW_MS}
 * are written, and how many were left out when the next one is. Of each text, which may be a guest's, so much is written.
 */
import { cutFields, cutText } from './cut-text.ts';
import type { Log } from './log.ts';
import type { Instant } from './time.ts';

export const LINES = 20;
export const WINDOW_MS = 10_000;
/** Messages counted apart, at each level; any further ones are counted together. */
export const MESSAGES_MAX = 256;

interface Window {
  endsAt: Instant;
  lines: number;
  suppressed: number;
}

type Windows = Map<string, Window>;

export class LimitedLog implements Log {
  private readonly log: Log;
  private readonly clock: { now(): Instant };
  private readonly windows: Readonly<Record<keyof Log, Windows>> = {
    debug: new Map(),
    info: new Map(),
    warn: new Map(),
    error: new Map(),
  };

  constructor(log: Log, clock: { now(): Instant }) {
    this.log = log;
    this.clock = clock;
  }

  debug(fields: object, message: string): void {
    this.write('debug', fields, message);
  }

  info(fields: object, message: string): void {
    this.write('info', fields, message);
  }

  warn(fields: object, message: string): void {
    this.write('warn', fields, message);
  }

  error(fields: object, message: string): void {
    this.write('error', fields, message);
  }

  private write(level: keyof Log, fields: object, message: string): void {
    const window = this.windowOf(this.windows[level], message);
    if (window.lines >= LINES) {
      window.suppressed++;
      return;
    }
    window.lines++;
    const { suppressed } = window;
    window.suppressed = 0;
    const cut = cutFields(fields);
    this.log[level](suppressed === 0 ? cut : { ...cut, suppressed }, cutText(message));
  }

  private windowOf(windows: Windows, message: string): Window {
    const now = this.clock.now();
    const key = windows.has(message) || windows.size < MESSAGES_MAX ? message : '';
    let window = windows.get(key);
    if (window === undefined) {
      window = { endsAt: now + WINDOW_MS, lines: 0, suppressed: 0 };
      windows.set(key, window);
    } else if (now >= window.endsAt) {
      window.endsAt = now + WINDOW_MS;
      window.lines = 0;
    }
    return window;
  }
}
