/** `/v1/ports`, the same for the control API and for guests. */
import { PublishError } from '../../proxy/ports/publish-spec.ts';
import { type ProblemError, problem, quoted } from '../problem.ts';
import { type Answer, type Call, JSON_TYPE, json, type Route } from '../route.ts';
import { portSchema, portsSchema } from '../schema.ts';
import type { PortAccess } from './port-access.ts';
import { parsePortRequest, portRequestSchema, specOf } from './port-request.ts';
import { leftOutView, portView, waitingPortView } from './port-view.ts';

export interface PortTarget {
  readonly ports: PortAccess;
}

export const PORT_ROUTES: readonly Route<PortTarget>[] = [
  {
    method: 'GET',
    path: '/v1/ports',
    summary: 'Published ports.',
    query: [],
    success: 200,
    mediaType: JSON_TYPE,
    schema: portsSchema,
    body: undefined,
    handle: (_call, { ports }) =>
      json({
        ports: ports.list().map(portView),
        waiting: ports.waiting().map(waitingPortView),
        leftOut: ports.beyond().map(leftOutView),
      }),
  },
  {
    method: 'POST',
    path: '/v1/ports',
    summary: 'Publish a port.',
    query: [],
    success: 201,
    mediaType: JSON_TYPE,
    schema: portSchema,
    body: portRequestSchema,
    handle: publish,
  },
  {
    method: 'DELETE',
    path: '/v1/ports/{id}',
    summary: 'Withdraw a port. Connections being served go on.',
    query: [],
    success: 204,
    mediaType: JSON_TYPE,
    schema: undefined,
    body: undefined,
    handle: ({ id }, { ports }) => {
      if (!ports.unpublish(id)) {
        throw problem(404, `There is no port ${quoted(id)}: see /v1/ports for those there are.`);
      }
      return { status: 204, body: undefined, mediaType: JSON_TYPE };
    },
  },
];

async function publish(call: Call, { ports }: PortTarget): Promise<Answer> {
  const request = parsePortRequest(call.body);
  const spec = specOf(request);
  const leased = request.lease === 'connection';
  if (leased && !call.connection.staysOpen) {
    throw problem(400, 'lease: the connection of the request must stay open, but it is to close.');
  }
  try {
    const port = await ports.publish(spec, leased);
    if (leased) call.connection.hold(() => ports.unpublish(port.id));
    return json(portView(port), 201);
  } catch (error) {
    throw error instanceof PublishError ? publishProblem(error) : error;
  }
}

const STATUS: Readonly<Record<string, number>> = {
  EADDRINUSE: 409,
  EEXIST: 409,
  ERR_HAWSER_PUBLISH_KEPT: 409,
  EACCES: 403,
  EPERM: 403,
  ERR_HAWSER_PUBLISH_FORBIDDEN: 403,
  ERR_HAWSER_PUBLISH_LIMIT: 503,
  ERR_HAWSER_PUBLISH_NO_AGENT: 503,
  ERR_HAWSER_PUBLISH_CLOSED: 503,
  EMFILE: 503,
  ENFILE: 503,
};

export const publishProblem = (error: PublishError): ProblemError =>
  problem(STATUS[error.code] ?? 400, `${error.message}.`, {}, error.code);
