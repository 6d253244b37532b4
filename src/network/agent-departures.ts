/** When the agents behind a link of the multiplexer are gone for good: none is back within the grace that a guest's link has. */
import type { Timers } from '../base/time.ts';
import { NODE_TIMERS } from '../native/node-timers.ts';

export class AgentDepartures {
  private readonly graceMs: number;
  private readonly onGone: (link: string) => void;
  private readonly timers: Timers;
  /** What cancels the end of the grace, by the name of the link. */
  private readonly waiting = new Map<string, () => void>();

  /** @param onGone with the name of the link */
  constructor(graceMs: number, onGone: (link: string) => void, timers: Timers = NODE_TIMERS) {
    this.graceMs = graceMs;
    this.onGone = onGone;
    this.timers = timers;
  }

  onUp(link: string): void {
    this.waiting.get(link)?.();
    this.waiting.delete(link);
  }

  /** The last one of a link is down. */
  onDown(link: string): void {
    this.onUp(link);
    const gone = (): void => {
      this.waiting.delete(link);
      this.onGone(link);
    };
    this.waiting.set(link, this.timers.after(this.graceMs, gone));
  }

  close(): void {
    for (const link of [...this.waiting.keys()]) this.onUp(link);
  }
}
