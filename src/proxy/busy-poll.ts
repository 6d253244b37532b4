/**
 * Polls for a short window after work instead of sleeping at once, where the next work is likely to arrive within that
 * window: requests and responses, one connection after another. A thread that sleeps is woken late, by tens of
 * microseconds where a virtual CPU has halted, and each exchange passes through here twice.
 *
 * Theory of operation
 * -------------------
 * Like the kernel's haltpoll, it adapts. Each time there is work, the gap since the last is
 * either shorter than the window, so that polling was or would have been useful, or it is not. A score rises with
 * short gaps and falls faster with long ones; polling is done while it is high. A guest that sends occasionally
 * thus costs almost nothing, and an idle one nothing at all.
 *
 * Bulk transfers do not wait but use the whole CPU, and of many connections that are opened side by side one or another
 * always has work: while either goes on there is no polling, which would take the CPU from those who make the work.
 *
 * Polling means to have an immediate pending: the event loop then checks for events without waiting.
 */
import type { Clock, Instant } from '../base/time.ts';

const MAX_SCORE = 16;
/** Polling is done from this score on. */
const POLLING = 8;
const LATE = -4;
/** More bytes than this in {@link SPAN_MS} are a bulk transfer: about 0.5 Gbit/s. */
const BULK_BYTES = 64 * 1024;
const SPAN_MS = 1;
/** More than a client opens in {@link SPAN_MS} that opens one connection after another. */
const OPENS = 4;
/** Either counts as continuing over pauses of this length. */
const RUSH_MS = 100;
const DEFAULT_WINDOW_US = 200;

/** As long as the kernel's haltpoll; 0 where another thread needs the only CPU to produce the work. */
export const defaultWindowUs = (cpus: number): number => (cpus > 1 ? DEFAULT_WINDOW_US : 0);

export interface BusyPollDeps {
  readonly clock: Pick<Clock, 'now'>;
  /** Bytes carried so far, in both directions. */
  carried(): number;
  /** Connections opened so far. */
  opened(): number;
}

export class BusyPoll {
  private readonly deps: BusyPollDeps;
  private readonly windowMs: number;
  private score = 0;
  private lastWork: Instant = Number.NEGATIVE_INFINITY;
  private pollUntil: Instant = Number.NEGATIVE_INFINITY;
  private pending = false;
  private spanStart: Instant = Number.NEGATIVE_INFINITY;
  private carriedBefore = 0;
  private openedBefore = 0;
  private rushUntil: Instant = Number.NEGATIVE_INFINITY;

  /** @param windowUs how long to poll, in microseconds; 0 for never */
  constructor(deps: BusyPollDeps, windowUs: number) {
    this.deps = deps;
    this.windowMs = windowUs / 1000;
  }

  /** The event loop will check for events again before it waits. */
  get polling(): boolean {
    return this.pending;
  }

  /** There was work, and it is done. */
  onWork(): void {
    if (this.windowMs === 0) return;
    const now = this.deps.clock.now();
    const inTime = now - this.lastWork < this.windowMs;
    this.lastWork = now;
    this.score = Math.min(Math.max(this.score + (inTime ? 1 : LATE), 0), MAX_SCORE);
    this.checkRush(now);
    if (this.score < POLLING || now < this.rushUntil) return;
    this.pollUntil = now + this.windowMs;
    this.again();
  }

  private checkRush(now: Instant): void {
    const spanMs = now - this.spanStart;
    if (spanMs < SPAN_MS) return;
    const spans = spanMs / SPAN_MS;
    const carried = this.deps.carried();
    const opened = this.deps.opened();
    const isBulk = carried - this.carriedBefore > BULK_BYTES * spans;
    if (isBulk || opened - this.openedBefore > OPENS * spans) this.rushUntil = now + RUSH_MS;
    this.spanStart = now;
    this.carriedBefore = carried;
    this.openedBefore = opened;
  }

  private again(): void {
    if (this.pending) return;
    this.pending = true;
    setImmediate(this.poll);
  }

  private readonly poll = (): void => {
    this.pending = false;
    const now = this.deps.clock.now();
    if (now < this.pollUntil && now >= this.rushUntil) this.again();
  };
}
