/**
 * The routes of the API: one table, by which requests are routed and from which the OpenAPI document is generated, so
 * that they always agree.
 */
import { isIP } from 'node:net';
import * as z from 'zod';
import { FLOW_PROTOCOLS, type NetworkView } from './network-view.ts';
import { PORT_ROUTES, type PortTarget } from './ports/port-routes.ts';
import { problem, quoted } from './problem.ts';
import {
  type Answer,
  type Call,
  JSON_TYPE,
  json,
  type QueryParameter,
  type Route,
} from './route.ts';
import {
  budgetsSchema,
  type DaemonView,
  flowsSchema,
  guestsSchema,
  healthSchema,
  infoSchema,
  leasesSchema,
  muxSchema,
  type Schema,
  shutdownSchema,
} from './schema.ts';

/** The objects that handlers act on. */
export interface ApiTarget extends PortTarget {
  readonly view: NetworkView;
  daemon(): DaemonView;
  /** The Prometheus text, and its media type. */
  metrics(): Promise<Answer>;
  /** Called after the answer to the shutdown request was sent. */
  shutdown(): void;
}

export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';
export const FLOW_LIMIT_DEFAULT = 1_000;
export const FLOW_LIMIT_MAX = 100_000;

function get(
  path: string,
  summary: string,
  schema: Schema<unknown> | undefined,
  answer: (target: ApiTarget) => unknown,
): Route<ApiTarget> {
  return {
    method: 'GET',
    path,
    summary,
    query: [],
    success: 200,
    mediaType: JSON_TYPE,
    schema,
    body: undefined,
    handle: (_call, target) => json(answer(target)),
  };
}

const FLOW_QUERY: readonly QueryParameter[] = [
  {
    name: 'protocol',
    description: 'Only flows of this protocol.',
    schema: { type: 'string', enum: FLOW_PROTOCOLS },
  },
  {
    name: 'guest',
    description: 'Only flows of the guest with this address.',
    schema: { type: 'string' },
  },
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
];

function listFlows({ query }: Call, { view }: ApiTarget): Answer {
  const protocol = query.get('protocol');
  if (protocol !== undefined && !FLOW_PROTOCOLS.some((known) => known === protocol)) {
    throw problem(
      400,
      `protocol=${quoted(protocol)}: must be one of ${FLOW_PROTOCOLS.join(', ')}.`,
    );
  }
  const guest = query.get('guest');
  if (guest !== undefined && isIP(guest) === 0) {
    throw problem(400, `guest=${quoted(guest)}: must be an IP address.`);
  }
  const limitText = query.get('limit') ?? String(FLOW_LIMIT_DEFAULT);
  const limit = /^\d{1,6}$/.test(limitText) ? Number(limitText) : 0;
  if (limit < 1 || limit > FLOW_LIMIT_MAX) {
    throw problem(
      400,
      `limit=${quoted(limitText)}: must be an integer from 1 to ${FLOW_LIMIT_MAX}.`,
    );
  }
  const matching = view
    .flows()
    .filter(
      (flow) =>
        (protocol === undefined || flow.protocol === protocol) &&
        (guest === undefined || flow.guestAddress === guest),
    );
  return json({ total: matching.length, flows: matching.slice(0, limit) });
}

/** Every route but `/v1/openapi.json`, which describes them. */
export const ROUTES: readonly Route<ApiTarget>[] = [
  get('/v1/health', 'Whether the network serves, and what does not work.', healthSchema, (target) =>
    target.view.health(),
  ),
  get('/v1/info', 'The daemon and its network.', infoSchema, (target) => ({
    ...target.daemon(),
    ...target.view.info(),
  })),
  get(
    '/v1/budgets',
    'What guests share, and how much of it is in use.',
    budgetsSchema,
    (target) => ({
      budgets: target.view.budgets(),
    }),
  ),
  get('/v1/guests', 'Guests, attached or still leasing.', guestsSchema, (target) => ({
    guests: target.view.guests(),
  })),
  {
    ...get('/v1/flows', 'Connections, UDP mappings and pings.', flowsSchema, () => undefined),
    query: FLOW_QUERY,
    handle: listFlows,
  },
  {
    method: 'DELETE',
    path: '/v1/flows/{id}',
    summary: 'Reset a flow.',
    query: [],
    success: 204,
    mediaType: JSON_TYPE,
    schema: undefined,
    body: undefined,
    handle: ({ id }, { view }) => {
      if (!view.closeFlow(id)) {
        throw problem(404, `There is no flow ${quoted(id)}: see /v1/flows for those there are.`);
      }
      return { status: 204, body: undefined, mediaType: JSON_TYPE };
    },
  },
  get('/v1/leases', 'DHCP leases.', leasesSchema, (target) => ({ leases: target.view.leases() })),
  get('/v1/mux', "The multiplexer's links to agents in guests.", muxSchema, (target) => ({
    links: target.view.mux(),
  })),
  ...PORT_ROUTES,
  {
    ...get('/metrics', 'Prometheus metrics.', undefined, () => undefined),
    mediaType: METRICS_TYPE,
    handle: (_call, target) => target.metrics(),
  },
  {
    method: 'POST',
    path: '/v1/shutdown',
    summary: 'End the daemon, with exit status 0.',
    query: [],
    success: 202,
    mediaType: JSON_TYPE,
    schema: shutdownSchema,
    body: () => z.strictObject({}),
    handle: ({ body }, target) => {
      const extra = typeof body === 'object' && body !== null ? Object.keys(body) : [];
      if (extra.length > 0) {
        throw problem(
          400,
          `The key ${quoted(extra[0] ?? '')} is not known here: send {} or nothing.`,
        );
      }
      return { ...json({ stopping: true }, 202), afterwards: () => target.shutdown() };
    },
  },
];
