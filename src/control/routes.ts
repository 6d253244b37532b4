/**
 * The routes of the API: one table, by which requests are routed and from which the OpenAPI document is generated, so
 * that they always agree.
 */

import * as z from 'zod';
import { DNS_ROUTES } from './dns-routes.ts';
import { eventRoutes } from './events/event-routes.ts';
import type { ServedView } from './events/served-view.ts';
import { FLOW_ROUTES } from './flow-routes.ts';
import { POLICY_ROUTES } from './policy-routes.ts';
import { PORT_ROUTES, type PortTarget } from './ports/port-routes.ts';
import { problem, quoted } from './problem.ts';
import { PROXY_ROUTES } from './proxy-routes.ts';
import { type Answer, JSON_TYPE, json, type Route } from './route.ts';
import {
  budgetsSchema,
  conflictsSchema,
  type DaemonView,
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
  readonly view: ServedView;
  daemon(): DaemonView;
  /** The Prometheus text, and its media type. */
  metrics(): Promise<Answer>;
  /** Called after the answer to the shutdown request was sent. */
  shutdown(): void;
}

export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

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
  get(
    '/v1/conflicts',
    'Addresses that guests use though they are those of others, and whose frames are dropped.',
    conflictsSchema,
    (target) => target.view.conflicts(),
  ),
  ...FLOW_ROUTES,
  ...eventRoutes(),
  get('/v1/leases', 'DHCP leases.', leasesSchema, (target) => ({ leases: target.view.leases() })),
  get('/v1/mux', "The multiplexer's links to agents in guests.", muxSchema, (target) => ({
    links: target.view.mux(),
  })),
  ...POLICY_ROUTES,
  ...PROXY_ROUTES,
  ...DNS_ROUTES,
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
