/** Events of a network, as the embedding program, the API's stream of events, and the audit log have them. */
import type { BlockEvent, FlowEvent } from '../flow-view.ts';
import type { GuestView, LeaseView, PortView } from '../network-view.ts';

export interface GuestEvent {
  /** `attached`: seen on a link, for the first time or again; `detached`: on none any more. */
  readonly kind: 'attached' | 'detached';
  readonly guest: GuestView;
}

export interface LeaseEvent {
  readonly kind: 'granted' | 'renewed' | 'released';
  readonly lease: LeaseView;
}

export interface PortEvent {
  readonly kind: 'published' | 'withdrawn';
  readonly port: PortView;
}

/** The argument of listeners, by event name. */
export interface NetworkEvents {
  /** A guest attached or detached, at most 20 ms ago. */
  readonly guest: GuestEvent;
  /** A DHCP lease was granted, renewed or released. Expiry is not an event. */
  readonly lease: LeaseEvent;
  /** A port was published or withdrawn, by any publisher. */
  readonly port: PortEvent;
  /** Something that flows was opened or has ended, in this turn of the event loop or a few before. */
  readonly flow: FlowEvent;
  /** A guest asked for a destination that it may not reach. */
  readonly block: BlockEvent;
}

export type EventType = keyof NetworkEvents;

export const EVENT_TYPES: readonly EventType[] = ['guest', 'lease', 'port', 'flow', 'block'];

/** Of a stream, or of a list of events: some are not there. */
export interface GapEvent {
  /**
   * `overrun`: they came faster than they were read; `idle`: nobody followed for a while; `restarted`: they were of
   * a daemon before this one.
   */
  readonly why: 'overrun' | 'idle' | 'restarted';
  /** How many; null where it is not known. */
  readonly events: number | null;
}

/** As it is sent: an event with its type, its id and its time. */
export type StreamEvent =
  | {
      [K in EventType]: {
        readonly id: string;
        /** ISO 8601. */
        readonly at: string;
        readonly type: K;
      } & NetworkEvents[K];
    }[EventType]
  | ({ readonly id: string; readonly at: string; readonly type: 'gap' } & GapEvent);

/** The events of a network as the API uses them. */
export interface EventsView {
  /**
   * Read events from `lastId` on, or from now on. While there is a reader, all kinds of events are made.
   *
   * @returns undefined when there are too many readers
   */
  read(lastId: string | undefined): EventReader | undefined;
  /** Those that are kept now, the oldest first. */
  kept(): readonly KeptEvent[];
}

export interface EventReader {
  /** The next ones, at most `n`; none when there are no more now. */
  next(n: number): readonly KeptEvent[];
  /** `callback` is called once for the next event. */
  whenMore(callback: () => void): void;
  close(): void;
}

export interface KeptEvent {
  readonly event: StreamEvent;
  /** Its JSON, in ASCII, without markup; made once for all readers. */
  readonly json: string;
}
