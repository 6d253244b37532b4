/**
 * A multiplexer in time: its timeouts are kept while it runs, and everything that one turn of the event
 * loop caused is written at its end.
 */
import { type Clock, type Instant, NEVER, TIMER_MS_MAX } from '../../base/time.ts';
import { Mux } from '../../mux/mux.ts';
import type { MuxDownReason, MuxHandler } from '../../mux/mux-handler.ts';
import type { MuxOptions } from '../../mux/options.ts';
import type { MuxWriter } from '../../mux/writer.ts';
import { ImmediateFlush } from '../flush-scheduler.ts';

/** A timeout is looked at no sooner than this after what it follows from; all are coarser. */
const LEAST_MS = 250;

/** `drained`: it was asked to, and the last channel has gone. */
export type MuxEnd = MuxDownReason | 'drained';

/** Events of the multiplexer that are handled above its link. */
export type MuxEvents = Pick<MuxHandler, 'onReady' | 'onRequest' | 'onGoAway'>;

/** What it writes to, and the owner of that. */
export interface MuxLink {
  readonly writer: MuxWriter;
  /** The link is to be closed. */
  onEnd(now: Instant, reason: MuxEnd): void;
}

export class LiveMux {
  readonly mux: Mux;
  private readonly clock: Pick<Clock, 'now'>;
  private timer: NodeJS.Timeout | undefined = undefined;
  /** For when it is set. */
  private timerAt: Instant = NEVER;
  private isOver = false;
  private readonly onTimer = (): void => this.expire();
  private settled: (() => void) | undefined = undefined;

  constructor(clock: Pick<Clock, 'now'>, options: MuxOptions, events: MuxEvents, link: MuxLink) {
    this.clock = clock;
    const flusher = new ImmediateFlush(() => this.mux.flush(clock.now()));
    this.mux = new Mux(options, link.writer, {
      onReady: (now, extended) => events.onReady(now, extended),
      onRequest: (now, request) => events.onRequest(now, request),
      onGoAway: (now) => events.onGoAway(now),
      onDrained: (now) => link.onEnd(now, 'drained'),
      onDown: (now, reason) => {
        link.onEnd(now, reason);
        this.settled?.();
      },
      onWork: () => flusher.schedule(),
      onFlushed: () => this.arm(),
    });
  }

  /** The link is open: say hello. */
  start(now: Instant): void {
    this.mux.start(now);
  }

  /** Keep no timeouts any more. */
  stop(): void {
    this.isOver = true;
    clearTimeout(this.timer);
  }

  /** The link is closed: run `run` once, when the handlers of all channels have been told. */
  whenSettled(run: () => void): void {
    if (this.mux.owed === 0) run();
    else this.settled = run;
  }

  /** An idle link wakes nobody between its timeouts. */
  private arm(leastMs = LEAST_MS): void {
    const at = this.mux.nextTimeout();
    if (this.isOver || at >= this.timerAt) return;
    clearTimeout(this.timer);
    const delayMs = Math.min(Math.max(at - this.clock.now(), leastMs), TIMER_MS_MAX);
    this.timerAt = at;
    this.timer = setTimeout(this.onTimer, delayMs);
    this.timer.unref();
  }

  private expire(): void {
    this.timerAt = NEVER;
    const now = this.clock.now();
    if (now < this.mux.nextTimeout()) {
      this.arm(1); // Node was early, or it is later now
      return;
    }
    this.mux.onTimeout(now);
    this.arm();
  }
}
