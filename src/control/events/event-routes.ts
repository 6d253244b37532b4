/**
 * `GET /v1/events`: a stream of server-sent events (WHATWG HTML §9.2), which a browser, `curl -N` and programs read. One
 * stream may carry all kinds. A client that has lost its connection sends `Last-Event-ID` and goes on where it was; what is
 * not kept any more it learns by an event of type `gap`. A client that does not read is ended.
 */

import { FILTER_QUERY, type FlowFilter, flowFilter } from '../flow-filter.ts';
import { problem, quoted } from '../problem.ts';
import { type Answer, type Call, EVENT_STREAM_TYPE, JSON_TYPE, type Route } from '../route.ts';
import { eventsSchema } from './event-schema.ts';
import type { EventReader, EventsView, KeptEvent, StreamEvent } from './network-events.ts';
import { DEFAULT_TYPES, EVENT_TYPES, ON_WISH } from './network-events.ts';

interface EventTarget {
  readonly view: { readonly events: EventsView };
}

export interface StreamLimits {
  /** A client that reads nothing for this long is ended. */
  readonly unreadMs: number;
  /** A comment is sent after each such time, by which a client that is gone is noticed. */
  readonly silentMs: number;
}

const LIMITS: StreamLimits = { unreadMs: 30_000, silentMs: 15_000 };
/** Looked at, in one turn of the event loop. */
const BATCH = 128;
/** How long a client waits before it connects again. */
const RETRY_MS = 1_000;

type Wanted = (event: StreamEvent) => boolean;

function listen(call: Call, { view }: EventTarget, limits: StreamLimits): Answer {
  const { query } = call;
  const types = typesOf(query);
  const isWanted = wantedBy(query, types);
  const follow = query.get('follow') ?? 'true';
  if (follow !== 'true' && follow !== 'false') {
    throw problem(400, `follow=${quoted(follow)}: must be true or false.`);
  }
  const after = call.lastEventId ?? query.get('after');
  if (follow === 'false') {
    const kept = view.events.kept(after).filter(({ event }) => isWanted(event));
    const body = `{"events":[${kept.map(({ json }) => json).join(',')}]}\n`;
    return { status: 200, body, mediaType: JSON_TYPE };
  }
  const reader = view.events.read(after, types);
  if (reader === undefined) {
    throw problem(503, 'Too many clients follow events: let one stream serve many views.');
  }
  const afterwards = (): void => reader.close();
  const { unreadMs } = limits;
  const body = (signal: AbortSignal) => streamed(reader, isWanted, limits.silentMs, signal);
  return { status: 200, body, mediaType: EVENT_STREAM_TYPE, unreadMs, afterwards };
}

async function* streamed(
  reader: EventReader,
  isWanted: Wanted,
  silentMs: number,
  signal: AbortSignal,
): AsyncGenerator<string, void> {
  yield `retry: ${RETRY_MS}\n\n`;
  while (!signal.aborted) {
    const events = reader.next(BATCH);
    if (events.length === 0) {
      const isSilent = await silence(reader, silentMs, signal);
      if (isSilent) yield ': nothing new\n\n';
      continue;
    }
    yield events
      .filter(({ event }) => isWanted(event))
      .map(messageOf)
      .join('');
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** @returns whether nothing has come for so long */
function silence(reader: EventReader, silentMs: number, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => end(true), silentMs);
    const onAbort = (): void => end(false);
    const end = (isSilent: boolean): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      resolve(isSilent);
    };
    signal.addEventListener('abort', onAbort);
    reader.whenMore(() => end(false));
  });
}

const messageOf = ({ event, json }: KeptEvent): string =>
  `id: ${event.id}\nevent: ${event.type}\ndata: ${json}\n\n`;

/** @throws ProblemError */
function typesOf(query: ReadonlyMap<string, string>): ReadonlySet<string> {
  const given = query.get('types')?.split(',');
  const unknown = given?.find((type) => !EVENT_TYPES.some((known) => known === type));
  if (unknown !== undefined) {
    throw problem(400, `types=${quoted(unknown)}: must be of ${EVENT_TYPES.join(', ')}.`);
  }
  return new Set(given ?? DEFAULT_TYPES);
}

/** @throws ProblemError */
function wantedBy(query: ReadonlyMap<string, string>, types: ReadonlySet<string>): Wanted {
  const filter = flowFilter(query);
  const guest = query.get('guest');
  return (event) => event.type === 'gap' || (types.has(event.type) && isOf(event, filter, guest));
}

/** Filters of flows leave out other kinds only where those are of another guest. */
function isOf(event: StreamEvent, filter: FlowFilter, guest: string | undefined): boolean {
  if (filter.isOpen) return true;
  switch (event.type) {
    case 'flow':
      return filter.matches(event.flow);
    case 'block':
      return filter.blocks(event.block);
    case 'verdict':
      return filter.blocks(event.verdict);
    default:
      return guest === undefined || isOfGuest(event, guest);
  }
}

function isOfGuest(event: StreamEvent, guest: string): boolean {
  const name = guest.toLowerCase();
  const isIt = (...texts: readonly (string | number | null)[]): boolean =>
    texts.some((text) => text !== null && String(text).toLowerCase() === name);
  switch (event.type) {
    case 'guest':
      return isIt(event.guest.id, event.guest.hostname, event.guest.mac, ...event.guest.addresses);
    case 'lease':
      return isIt(event.lease.mac, event.lease.address, event.lease.hostname);
    case 'port':
      return isIt(event.port.guest, event.port.guestAddress, event.port.guestNow?.address ?? null);
    case 'dns':
      return isIt(event.query.guestId, event.query.guestName, event.query.guestMac);
    case 'mux':
      return isIt(event.mux.guestId);
    case 'conflict': {
      const { address, claimant, owner } = event.conflict;
      return [claimant, owner].some(({ guestId, guestName, guestMac }) =>
        isIt(address, guestId, guestName, guestMac),
      );
    }
    case 'limit':
    case 'gap':
      return true;
    case 'flow':
    case 'block':
    case 'verdict':
      return false;
  }
}

export const eventRoutes = (limits: StreamLimits = LIMITS): readonly Route<EventTarget>[] => [
  {
    method: 'GET',
    path: '/v1/events',
    summary:
      'What happens, as server-sent events that a client resumes by Last-Event-ID; with follow=false the last ones that are kept.',
    query: [
      {
        name: 'types',
        description: `Only these, with commas: ${EVENT_TYPES.join(', ')}. Default: all but ${[...ON_WISH].join(' and ')}.`,
        schema: { type: 'string' },
      },
      {
        name: 'after',
        description:
          'For clients that cannot send Last-Event-ID: the id of the last event they have.',
        schema: { type: 'string' },
      },
      {
        name: 'follow',
        description: 'Stay, and send what happens.',
        schema: { type: 'boolean', default: true },
      },
      ...FILTER_QUERY,
    ],
    success: 200,
    mediaType: EVENT_STREAM_TYPE,
    schema: eventsSchema,
    body: undefined,
    handle: (call, target) => listen(call, target, limits),
  },
];
