/** The routes of upstream proxies. */
import * as z from 'zod';
import { once } from '../base/once.ts';
import { problem } from './problem.ts';
import { type ProxyBook, ProxyError, type ProxyStateView } from './proxy-view.ts';
import { type Answer, type Call, JSON_TYPE, json, type Route } from './route.ts';
import type { Schema } from './schema.ts';

const stateSchema: Schema<ProxyStateView> = once(() =>
  z.object({
    generation: z.int().nonnegative(),
    document: z.record(z.string(), z.unknown()).nullable(),
  }),
);

const anyDocument: Schema<object> = once(() => z.record(z.string(), z.unknown()));

export interface ProxyRouteTarget {
  readonly view: { readonly proxy: ProxyBook };
}

async function put({ body }: Call, { view }: ProxyRouteTarget): Promise<Answer> {
  if (body === undefined) {
    throw problem(
      400,
      'The body must be a document such as {"upstreamProxy": "http://HOST:PORT"}.',
    );
  }
  try {
    return json(await view.proxy.replace(body));
  } catch (error) {
    if (error instanceof ProxyError) throw problem(400, error.message);
    throw error;
  }
}

const JSON_ROUTE = { path: '/v1/proxy', query: [], success: 200, mediaType: JSON_TYPE } as const;

export const PROXY_ROUTES: readonly Route<ProxyRouteTarget>[] = [
  {
    ...JSON_ROUTE,
    method: 'GET',
    summary: 'The upstream proxies in use, without user names and passwords.',
    schema: stateSchema,
    body: undefined,
    handle: (_call, { view }) => json(view.proxy.state()),
  },
  {
    ...JSON_ROUTE,
    method: 'PUT',
    summary:
      'Replace the upstream proxies, with the keys of the configuration file: `upstreamProxy`, `proxyExclude`, `proxyAuthFile`, `proxyUnnamed`, `proxyNames`; and `httpPorts`, `httpsPorts`. Flows opened from then on follow it.',
    schema: stateSchema,
    body: anyDocument,
    handle: put,
  },
];
