/**
 * Opens, ends and blocks of flows, for whoever follows them: later than they happen, in a turn of its own, so that a
 * listener may do what it likes to any flow. Bounded: what is not delivered when the queue is full is counted, and the
 * listeners know how many they have missed. A listener that throws is reported, and the others go on.
 */
import { reportFault } from '../../base/faults.ts';
import type { Block } from './destination.ts';
import type { FlowRecord } from './flow.ts';
import type { VerdictRecord } from './verdict.ts';

export type FlowEvent =
  | { readonly kind: 'opened'; readonly flow: FlowRecord }
  | { readonly kind: 'ended'; readonly flow: FlowRecord; readonly why: string }
  | { readonly kind: 'blocked'; readonly block: Block }
  /** Made on wish: for the conditional listener alone. */
  | { readonly kind: 'verdict'; readonly verdict: VerdictRecord; readonly count: number }
  /** Some were left out before the next. */
  | { readonly kind: 'missed'; readonly events: number };

export type FlowListener = (event: FlowEvent) => void;

interface ConditionalListener {
  readonly isWanted: () => boolean;
  readonly listener: FlowListener;
}

export const FEED_LIMIT = 8192;
/** Delivered in one turn of the loop. */
export const FEED_BATCH = 256;

export class FlowFeed {
  private readonly limit: number;
  private readonly listeners = new Set<FlowListener>();
  private conditional: ConditionalListener | undefined = undefined;
  private queue: FlowEvent[] = [];
  private at = 0;
  private missed = 0;
  private isScheduled = false;

  constructor(limit: number = FEED_LIMIT) {
    this.limit = limit;
  }

  get isFollowed(): boolean {
    return this.listeners.size > 0 || this.conditional?.isWanted() === true;
  }

  /** @returns what ends it */
  follow(listener: FlowListener): () => void {
    const own: FlowListener = (event) => listener(event);
    this.listeners.add(own);
    return () => {
      this.listeners.delete(own);
      if (!this.isFollowed) this.clear();
    };
  }

  /** Follow whenever `isWanted`, which is asked for each event. There is one such listener. */
  followWhile(isWanted: () => boolean, listener: FlowListener): void {
    this.conditional = { isWanted, listener };
  }

  add(event: FlowEvent): void {
    if (!this.isFollowed) return;
    if (this.queue.length - this.at >= this.limit) {
      this.missed++;
      return;
    }
    if (this.missed > 0) {
      this.queue.push({ kind: 'missed', events: this.missed });
      this.missed = 0;
    }
    this.queue.push(event);
    this.schedule();
  }

  /** Deliver what waits, now. */
  settle(): void {
    while (this.at < this.queue.length || this.missed > 0) this.deliver();
  }

  private schedule(): void {
    if (this.isScheduled) return;
    this.isScheduled = true;
    setImmediate(this.deliver);
  }

  private readonly deliver = (): void => {
    this.isScheduled = false;
    for (let n = 0; n < FEED_BATCH; n++) {
      const event = this.queue[this.at];
      if (event === undefined) break;
      this.at++;
      this.call(event);
    }
    if (this.at < this.queue.length) {
      this.schedule();
      return;
    }
    const { missed } = this;
    this.clear();
    if (missed > 0) this.call({ kind: 'missed', events: missed });
  };

  private call(event: FlowEvent): void {
    if (event.kind !== 'verdict') {
      for (const listener of this.listeners) call(listener, event);
    }
    if (this.conditional?.isWanted() === true) call(this.conditional.listener, event);
  }

  private clear(): void {
    this.queue = [];
    this.at = 0;
    this.missed = 0;
  }
}

function call(listener: FlowListener, event: FlowEvent): void {
  try {
    listener(event);
  } catch (fault) {
    reportFault('flow-listener', fault);
  }
}
