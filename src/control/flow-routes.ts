/**
 * The routes of flows. There may be tens of thousands: the answer is written in parts, with turns of the event loop in
 * between, and never held as a whole.
 */

import { FILTER_QUERY, type FlowFilter, flowFilter } from './flow-filter.ts';
import type { FlowFeedEvent, FlowView } from './flow-view.ts';
import type { NetworkView } from './network-view.ts';
import { problem, quoted } from './problem.ts';
import { type Answer, type Call, JSON_TYPE, json, NDJSON_TYPE, type Route } from './route.ts';
import { flowSchema, flowsSchema } from './schema.ts';
import { followersMax } from './waiting-room.ts';

export const FLOW_LIMIT_DEFAULT = 1_000;
export const FLOW_LIMIT_MAX = 100_000;
/** Events that a follower has not read; more are left out, and counted. */
const UNREAD_MAX = 4_096;

interface FlowTarget {
  readonly view: Pick<NetworkView, 'flowBook'>;
}

/** How many clients follow the flows of a view. */
const followers = new WeakMap<FlowTarget['view'], number>();

/** Of the work on an answer, in one turn: while guests keep the loop busy, each turn that it waits for is as long as theirs. */
const TURN_MS = 0.3;

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function listFlows({ query }: Call, { view }: FlowTarget): Answer {
  const filter = flowFilter(query);
  const follow = query.get('follow') ?? 'false';
  if (follow !== 'true' && follow !== 'false') {
    throw problem(400, `follow=${quoted(follow)}: must be true or false.`);
  }
  const after = numberIn(query, 'after', 0, Number.MAX_SAFE_INTEGER, 0);
  const limit = numberIn(query, 'limit', 1, FLOW_LIMIT_MAX, FLOW_LIMIT_DEFAULT);
  return follow === 'true'
    ? followFlows(view, filter)
    : { status: 200, body: () => listed(view, filter, after, limit), mediaType: JSON_TYPE };
}

function followFlows(view: FlowTarget['view'], filter: FlowFilter): Answer {
  const others = followers.get(view) ?? 0;
  if (others >= followersMax('flows')) {
    throw problem(503, 'Too many clients follow flows: let one stream serve many views.');
  }
  followers.set(view, others + 1);
  const afterwards = (): void => {
    followers.set(view, (followers.get(view) ?? 1) - 1);
  };
  const body = (signal: AbortSignal) => followed(view, filter, signal);
  return { status: 200, body, mediaType: NDJSON_TYPE, afterwards };
}

async function* listed(
  { flowBook }: FlowTarget['view'],
  filter: FlowFilter,
  after: number,
  limit: number,
): AsyncGenerator<string, void> {
  let total = 0;
  let last: string | null = null;
  let began = performance.now();
  yield '{"flows":[';
  for (const part of flowBook.parts(after)) {
    const wanted = part.filter((flow) => filter.matches(flow));
    const shown = wanted.slice(0, Math.max(limit - total, 0));
    if (shown.length > 0) yield `${total > 0 ? ',' : ''}${itemsOf(shown)}`;
    last = shown.at(-1)?.id ?? last;
    total += wanted.length;
    if (filter.isOpen && total >= limit) {
      total += flowBook.countAfter(Number(part.at(-1)?.id)); // the others need not be looked at
      break;
    }
    if (performance.now() - began < TURN_MS) continue;
    await nextTurn();
    began = performance.now();
  }
  const next = total > limit ? last : null;
  yield `],"total":${total},"next":${JSON.stringify(next)}}\n`;
}

const itemsOf = (flows: readonly FlowView[]): string => JSON.stringify(flows).slice(1, -1);

/** First what flows now, then opens, ends and blocks, until the client leaves. */
async function* followed(
  { flowBook }: FlowTarget['view'],
  filter: FlowFilter,
  signal: AbortSignal,
): AsyncGenerator<string, void> {
  const unread: FlowFeedEvent[] = [];
  let missed = 0;
  let wake = (): void => {};
  const unfollow = flowBook.follow((event) => {
    if (!isWanted(filter, event)) return;
    if (unread.length >= UNREAD_MAX) missed += event.kind === 'missed' ? event.events : 1;
    else unread.push(event);
    wake();
  });
  signal.addEventListener('abort', () => wake());
  try {
    for (const part of flowBook.parts(0)) {
      const present = part.filter((flow) => filter.matches(flow));
      yield present.map((flow) => lineOf({ kind: 'present', flow, why: null })).join('');
      await nextTurn();
    }
    while (!signal.aborted) {
      while (unread.length > 0) yield unread.splice(0, 64).map(lineOf).join('');
      if (missed > 0) {
        const events = missed;
        missed = 0;
        yield lineOf({ kind: 'missed', events });
      }
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (unread.length > 0 || signal.aborted) resolve();
      });
    }
  } finally {
    unfollow();
  }
}

const lineOf = (event: object): string => `${JSON.stringify(event)}\n`;

function isWanted(filter: FlowFilter, event: FlowFeedEvent): boolean {
  if (event.kind === 'missed') return true;
  return 'block' in event ? filter.blocks(event.block) : filter.matches(event.flow);
}

function numberIn(
  query: ReadonlyMap<string, string>,
  key: string,
  min: number,
  max: number,
  byDefault: number,
): number {
  const text = query.get(key);
  if (text === undefined) return byDefault;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : -1;
  if (value >= min && value <= max) return value;
  throw problem(400, `${key}=${quoted(text)}: must be an integer from ${min} to ${max}.`);
}

const noFlow = (id: string): Error =>
  problem(404, `There is no flow ${quoted(id)}: see /v1/flows for those there are.`);

export const FLOW_ROUTES: readonly Route<FlowTarget>[] = [
  {
    method: 'GET',
    path: '/v1/flows',
    summary:
      'Connections, UDP mappings and clients, pings, channels. With follow a stream of JSON lines: flows now, opens, ends, blocks.',
    query: [
      ...FILTER_QUERY,
      {
        name: 'limit',
        description: 'At most this many flows.',
        schema: {
          type: 'integer',
          minimum: 1,
          maximum: FLOW_LIMIT_MAX,
          default: FLOW_LIMIT_DEFAULT,
        },
      },
      {
        name: 'after',
        description: 'Only flows with greater ids: the "next" of an answer before.',
        schema: { type: 'integer', minimum: 0, default: 0 },
      },
      {
        name: 'follow',
        description: 'Stay, and send what happens to flows, one JSON object a line.',
        schema: { type: 'boolean', default: false },
      },
    ],
    success: 200,
    mediaType: JSON_TYPE,
    schema: flowsSchema,
    body: undefined,
    handle: listFlows,
  },
  {
    method: 'GET',
    path: '/v1/flows/{id}',
    summary: 'One flow.',
    query: [],
    success: 200,
    mediaType: JSON_TYPE,
    schema: flowSchema,
    body: undefined,
    handle: ({ id }, { view }) => {
      const flow = view.flowBook.find(id);
      if (flow === undefined) throw noFlow(id);
      return json(flow);
    },
  },
  {
    method: 'DELETE',
    path: '/v1/flows/{id}',
    summary: 'End a flow at both ends, as a reset does.',
    query: [],
    success: 204,
    mediaType: JSON_TYPE,
    schema: undefined,
    body: undefined,
    handle: ({ id }, { view }) => {
      if (!view.flowBook.close(id)) throw noFlow(id);
      return { status: 204, body: undefined, mediaType: JSON_TYPE };
    },
  },
];
