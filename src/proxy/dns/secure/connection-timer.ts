/**
 * How long a connection is kept: one that owes answers and is silent for {@link SILENCE_MS} is left to what waits there,
 * one that owes none ends after {@link IDLE_MS}.
 */
const IDLE_MS = 10_000;
const SILENCE_MS = 1000;

export interface ConnectionTimerEvents {
  onSilence(): void;
  onEnd(why: string): void;
}

export class ConnectionTimer {
  private readonly events: ConnectionTimerEvents;
  private timer: NodeJS.Timeout | undefined = undefined;
  private silent = false;

  constructor(events: ConnectionTimerEvents) {
    this.events = events;
  }

  /** @param waiting how many answers are due now */
  restart(waiting: number): void {
    clearTimeout(this.timer);
    if (this.silent) {
      if (waiting === 0) this.events.onEnd('no answer');
      return;
    }
    this.timer =
      waiting > 0
        ? setTimeout(() => this.retire(), SILENCE_MS)
        : setTimeout(() => this.events.onEnd('idle'), IDLE_MS);
    this.timer.unref();
  }

  /** Kept for what waits there alone. */
  retire(): void {
    if (this.silent) return;
    clearTimeout(this.timer);
    this.silent = true;
    this.events.onSilence();
  }

  stop(): void {
    clearTimeout(this.timer);
  }
}
