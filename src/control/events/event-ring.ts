/**
 * The events that readers may still want: a ring, the oldest of which give way. A reader is a place in it and owns no
 * queue, so that one that reads slowly costs nothing, and learns by a gap how much it has missed.
 *
 * An id is `EPOCH-NUMBER`. The epoch is another with each network; numbers rise by one. Where events were not made for a
 * while (see {@link EventRing.begin}), a number is left out, so that who reads on from an earlier one has a gap.
 */
import type {
  EventReader,
  EventType,
  GapEvent,
  KeptEvent,
  NetworkEvents,
  StreamEvent,
} from './network-events.ts';

export const EVENTS_KEPT = 16_384;
const ID = /^([0-9a-z]{1,16})-(\d{1,15})$/;
/** Of JSON: what is not ASCII, and what would be markup where a page shows it as it is. */
const NOT_PLAIN = /[^\x20-\x7e]|[<>&]/g;

const escaped = (char: string): string => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** JSON that is safe wherever it is shown. */
export const plainJson = (value: unknown): string =>
  JSON.stringify(value).replace(NOT_PLAIN, escaped);

interface Heading {
  readonly id: string;
  readonly at: string;
}

const TYPED: {
  readonly [K in EventType]: (heading: Heading, event: NetworkEvents[K]) => StreamEvent;
} = {
  guest: (heading, event) => ({ ...heading, type: 'guest', ...event }),
  lease: (heading, event) => ({ ...heading, type: 'lease', ...event }),
  port: (heading, event) => ({ ...heading, type: 'port', ...event }),
  flow: (heading, event) => ({ ...heading, type: 'flow', ...event }),
  block: (heading, event) => ({ ...heading, type: 'block', ...event }),
  verdict: (heading, event) => ({ ...heading, type: 'verdict', ...event }),
  mux: (heading, event) => ({ ...heading, type: 'mux', ...event }),
  limit: (heading, event) => ({ ...heading, type: 'limit', ...event }),
  conflict: (heading, event) => ({ ...heading, type: 'conflict', ...event }),
  dns: (heading, event) => ({ ...heading, type: 'dns', ...event }),
};

class Kept implements KeptEvent {
  readonly number: number;
  readonly event: StreamEvent;
  private text: string | undefined = undefined;

  constructor(number: number, event: StreamEvent) {
    this.number = number;
    this.event = event;
  }

  get json(): string {
    this.text ??= plainJson(this.event);
    return this.text;
  }
}

/** Before the events of one reading: it was interrupted, and is too late. */
const GAPS_MAX = 2;

export class EventRing {
  private readonly epoch: string;
  private readonly wallMs: () => number;
  private readonly limit: number;
  /** That of number `n` is at `n % limit`. */
  private readonly events: (Kept | undefined)[] = [];
  /** Of the next event. */
  private nextNumber = 1;
  /** All events from this one on were made. */
  private completeFrom = 1;
  private readonly waiting = new Set<() => void>();

  /** @param epoch of lower-case letters and digits, another for each ring */
  constructor(epoch: string, wallMs: () => number, limit: number = EVENTS_KEPT) {
    this.epoch = epoch;
    this.wallMs = wallMs;
    this.limit = limit;
  }

  add<K extends EventType>(type: K, event: NetworkEvents[K]): void {
    this.put(TYPED[type](this.heading(this.nextNumber), event));
  }

  /** Some events were lost before they came here. */
  addGap(gap: GapEvent): void {
    this.put({ ...this.heading(this.nextNumber), type: 'gap', ...gap });
  }

  /** All events are made from here on, and were not before. */
  begin(): void {
    this.nextNumber++;
    this.completeFrom = this.nextNumber;
  }

  /** Keep those of some types alone. */
  thin(isKept: (type: StreamEvent['type']) => boolean): void {
    for (const [i, kept] of this.events.entries()) {
      if (kept !== undefined && !isKept(kept.event.type)) this.events[i] = undefined;
    }
  }

  /**
   * Those that are kept now, the oldest first.
   *
   * @param lastId of the last event that the reader has, whose gap comes first where some behind it are missing
   */
  kept(lastId?: string): readonly KeptEvent[] {
    const { oldest } = this;
    const reader =
      lastId === undefined ? this.reader(oldest, undefined) : this.readerBehind(lastId, oldest);
    return reader.next(this.limit + GAPS_MAX);
  }

  /** @param lastId of the last event that the reader has; undefined: it wants new ones */
  read(lastId: string | undefined): EventReader {
    const { nextNumber } = this;
    return lastId === undefined
      ? this.reader(nextNumber, undefined)
      : this.readerBehind(lastId, nextNumber);
  }

  /** @param otherwise where it begins when the id is of another ring */
  private readerBehind(lastId: string, otherwise: number): EventReader {
    const [, epoch, text] = ID.exec(lastId) ?? [];
    const number = Number(text);
    if (epoch !== this.epoch || !(number < this.nextNumber)) {
      return this.reader(otherwise, { why: 'restarted', events: null });
    }
    const isInterrupted = number + 1 < this.completeFrom;
    return this.reader(number + 1, isInterrupted ? { why: 'idle', events: null } : undefined);
  }

  private reader(from: number, first: GapEvent | undefined): EventReader {
    let at = from;
    let gap = first;
    let wake: (() => void) | undefined;
    const nextOne = (): KeptEvent | undefined => {
      if (gap !== undefined) {
        const sent = new Kept(0, { ...this.heading(at - 1), type: 'gap', ...gap });
        gap = undefined;
        return sent;
      }
      for (; at < this.nextNumber; at++) {
        const { oldest } = this;
        if (at < oldest) {
          gap = { why: 'overrun', events: oldest - at };
          at = oldest;
          return nextOne();
        }
        const kept = this.at(at);
        if (kept === undefined) continue; // a number that is left out
        at++;
        return kept;
      }
      return undefined;
    };
    return {
      next: (n) => {
        const found: KeptEvent[] = [];
        while (found.length < n) {
          const kept = nextOne();
          if (kept === undefined) break;
          found.push(kept);
        }
        return found;
      },
      whenMore: (callback) => {
        if (at < this.nextNumber || gap !== undefined) {
          callback();
          return;
        }
        wake = () => callback();
        this.waiting.add(wake);
      },
      close: () => {
        if (wake !== undefined) this.waiting.delete(wake);
      },
    };
  }

  private get oldest(): number {
    return Math.max(1, this.nextNumber - this.limit);
  }

  private at(number: number): Kept | undefined {
    const kept = this.events[number % this.limit];
    return kept?.number === number ? kept : undefined;
  }

  private heading(number: number): Heading {
    return { id: `${this.epoch}-${number}`, at: new Date(this.wallMs()).toISOString() };
  }

  private put(event: StreamEvent): void {
    const number = this.nextNumber++;
    this.events[number % this.limit] = new Kept(number, event);
    if (this.waiting.size === 0) return;
    const woken = [...this.waiting];
    this.waiting.clear();
    for (const wake of woken) wake();
  }
}
