import * as z from 'zod';
import type { QueryParameter, Route } from './route.ts';
import { problemSchema, type Schema } from './schema.ts';

export const OPENAPI_PATH = '/v1/openapi.json';

type Json = Readonly<Record<string, unknown>>;

function jsonSchema(schema: Schema<unknown>): Json {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema(), { target: 'draft-2020-12' });
  return rest;
}

const queryParameter = ({ name, description, schema }: QueryParameter): Json => ({
  name,
  in: 'query',
  required: false,
  description,
  schema,
});

const PROBLEM: Json = { $ref: '#/components/responses/Problem' };

function operation(route: Route<never>): Json {
  const parameters = route.query.map(queryParameter);
  if (route.path.endsWith('/{id}')) {
    parameters.push({ name: 'id', in: 'path', required: true, schema: { type: 'string' } });
  }
  const schema = route.schema === undefined ? { type: 'string' } : jsonSchema(route.schema);
  const success = {
    description: route.summary,
    ...(route.success === 204 ? {} : { content: { [route.mediaType]: { schema } } }),
  };
  return {
    summary: route.summary,
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(route.body === undefined
      ? {}
      : {
          requestBody: {
            required: false,
            content: { 'application/json': { schema: jsonSchema(route.body) } },
          },
        }),
    responses: { [route.success]: success, default: PROBLEM },
  };
}

/** The OpenAPI 3.1 document of `routes` and of itself. */
export function openApiDocument(routes: readonly Route<never>[], version: string): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const route of routes) {
    const path = paths[route.path] ?? {};
    path[route.method.toLowerCase()] = operation(route);
    paths[route.path] = path;
  }
  paths[OPENAPI_PATH] = {
    get: {
      summary: 'This document.',
      responses: {
        200: {
          description: 'This document.',
          content: { 'application/json': { schema: { type: 'object' } } },
        },
        default: PROBLEM,
      },
    },
  };
  return {
    openapi: '3.1.0',
    info: {
      title: 'hawser control API',
      version,
      description:
        'Served on a Unix socket of mode 0600, or over TCP with a bearer token. Requests with a foreign Host or Origin are refused.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    security: [{}, { token: [] }],
    paths,
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      responses: {
        Problem: {
          description: 'What was wrong with the request (RFC 9457).',
          content: { 'application/problem+json': { schema: jsonSchema(problemSchema) } },
        },
      },
    },
  };
}
