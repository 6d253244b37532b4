/**
 * One `flush` towards the guests for everything that the host's sockets delivered in one turn of
 * the event loop, for any number of sockets: `setImmediate` runs after the poll phase that read
 * them. Shared by everything in the proxy that sends for the host.
 */
import { reportFault } from '../base/faults.ts';

export interface FlushScheduler {
  schedule(): void;
}

export class ImmediateFlush implements FlushScheduler {
  private readonly flush: () => void;
  private pending = false;
  /** Bound once: `schedule` allocates no closure. */
  private readonly run = (): void => this.flushNow();

  constructor(flush: () => void) {
    this.flush = flush;
  }

  /** What was scheduled, if anything, before its time. */
  flushNow(): void {
    if (!this.pending) return;
    this.pending = false;
    try {
      this.flush();
    } catch (fault) {
      reportFault('flush', fault);
    }
  }

  schedule(): void {
    if (this.pending) return;
    this.pending = true;
    setImmediate(this.run);
  }
}

/** For channels and vsock streams: their multiplexer or device asks for a flush of its own when it has work. */
export const NO_FLUSH: FlushScheduler = { schedule: () => {} };
