/**
 * How long a connection is kept: one that owes answers and is silent for {@link SILENCE_MS} is left to what waits there,
 * until an answer comes; one that owes none ends after {@link IDLE_MS}.
 */
const IDLE_MS = 10_000;
const SILENCE_MS = 1000;

export interface ConnectionTimerEvents {
  /** No new query is to be sent. */
  onSilence(): void;
  onEnd(why: string): void;
}

export class ConnectionTimer {
  private readonly events: ConnectionTimerEvents;
  private timer: NodeJS.Timeout | undefined = undefined;
  private silent = false;
  /** For good. */
  private retired = false;

  constructor(events: ConnectionTimerEvents) {
    this.events = events;
  }

  /** @param waiting how many answers are due now */
  restart(waiting: number): void {
    clearTimeout(this.timer);
    if (this.silent || this.retired) {
      if (waiting === 0) this.events.onEnd(this.retired ? 'no longer used' : 'no answer');
      return;
    }
    this.timer =
      waiting > 0
        ? setTimeout(() => this.onSilence(), SILENCE_MS)
        : setTimeout(() => this.events.onEnd('idle'), IDLE_MS);
    this.timer.unref();
  }

  /**
   * An answer came.
   *
   * @param waiting how many are due still
   * @returns true when it ends a silence: new queries may be sent again
   */
  onAnswer(waiting: number): boolean {
    const isBack = this.silent && !this.retired;
    if (isBack) this.silent = false;
    this.restart(waiting);
    return isBack;
  }

  /** Kept for what waits there alone. */
  retire(): void {
    const isNews = !this.silent && !this.retired;
    clearTimeout(this.timer);
    this.retired = true;
    if (isNews) this.events.onSilence();
  }

  stop(): void {
    clearTimeout(this.timer);
  }

  private onSilence(): void {
    this.silent = true;
    this.events.onSilence();
  }
}
