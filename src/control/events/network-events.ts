/** Events of a network, as the embedding program, the API's stream of events, and the audit log have them. */
import type { BlockEvent, FlowEvent, VerdictEvent } from '../flow-view.ts';
import type { ConflictView, GuestView, LeaseView, PortView } from '../network-view.ts';

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

export interface MuxEvent {
  /** An agent's handshake has come in; or the agent is gone. */
  readonly kind: 'up' | 'down';
  readonly mux: {
    /** Its specification. */
    readonly link: string;
    readonly peer: number;
    readonly dialect: 'hawser' | 'vpnkit';
    /** That it is in, where that is known. */
    readonly guestId: number | null;
  };
  /** Of `down`. */
  readonly why: string | null;
}

export interface LimitEvent {
  /** Guests wanted more than there may be. */
  readonly kind: 'hit';
  readonly limit: {
    /** As in the list of budgets: `sockets`, `connections`, `queries`, ... */
    readonly name: string;
    readonly whole: number;
    readonly held: number;
    /** Since the last such event: requests refused, and things of guests that were ended for others. */
    readonly refused: number;
    readonly evicted: number;
  };
}

export interface ConflictEvent {
  /** A guest uses an address of another, and has not in the minute before. */
  readonly kind: 'begun';
  readonly conflict: ConflictView;
}

/** A query that a guest has had an answer to. */
export interface DnsQueryView {
  readonly guestId: number;
  readonly guestName: string | null;
  readonly guestMac: string | null;
  readonly name: string;
  /** `A`, `HTTPS`, or `TYPE64`. */
  readonly type: string;
  /** `NOERROR`, `NXDOMAIN`, `SERVFAIL`, ... */
  readonly rcode: string;
  /** By the policy. */
  readonly verdict: 'allowed' | 'denied';
  /** Of the answer, the first ones. */
  readonly addresses: readonly string[];
  /** How many records the answer has. */
  readonly answers: number;
  /** Who answered; null: it is denied, or nobody did. */
  readonly source: 'local' | 'hook' | 'cache' | 'upstream' | null;
  /** The server that did, as `--dns` takes it. */
  readonly upstream: string | null;
  readonly durationMs: number;
}

export interface DnsEvent {
  readonly kind: 'answered';
  readonly query: DnsQueryView;
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
  /** A guest asked for a destination that it may not reach, or for a name. */
  readonly block: BlockEvent;
  /**
   * It was decided whether a guest may open a flow or ask for a name; of names that are allowed there are none. Made on
   * wish alone: a stream names it among its types.
   */
  readonly verdict: VerdictEvent;
  /** An agent came or went. */
  readonly mux: MuxEvent;
  /** A budget of guests was spent, at most a second ago. */
  readonly limit: LimitEvent;
  /** A guest uses an address of another: its frames with it are dropped. At most 8 of a link in a minute. */
  readonly conflict: ConflictEvent;
  /** The resolver answered a guest. Made on wish alone: a stream names it among its types. */
  readonly dns: DnsEvent;
}

export type EventType = keyof NetworkEvents;

export const EVENT_TYPES: readonly EventType[] = [
  'guest',
  'lease',
  'port',
  'flow',
  'block',
  'verdict',
  'mux',
  'limit',
  'conflict',
  'dns',
];

/** Those of every query, and of every flow: made for who names them. */
export const ON_WISH: ReadonlySet<EventType> = new Set(['verdict', 'dns']);

/** Those that a stream has unless it says otherwise. */
export const DEFAULT_TYPES: readonly EventType[] = EVENT_TYPES.filter((type) => !ON_WISH.has(type));

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
   * Read events from `lastId` on, or from now on. While there is a reader, all types of events are made but those on
   * wish.
   *
   * @param wishes types that it wants: those on wish are made too
   * @returns undefined when there are too many readers
   */
  read(lastId: string | undefined, wishes?: ReadonlySet<string>): EventReader | undefined;
  /**
   * Those that are kept now, the oldest first.
   *
   * @param lastId only those behind it, and a gap where some of them are missing
   */
  kept(lastId?: string): readonly KeptEvent[];
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
