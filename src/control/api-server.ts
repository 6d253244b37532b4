/**
 * The control API's HTTP server.
 *
 * Theory of operation: a request passes, in this order, admission (Host, Origin, token), routing,
 * reading its bounded body, and its handler. Any step may throw a `ProblemError`, which becomes the answer;
 * any other error is a bug and becomes a 500 and a log line. Limits: header size and time, body size and
 * time; one request of a connection at a time (`request-line.ts`); the number of connections is limited elsewhere
 * (`waiting-room.ts`, `ports/guest-api.ts`).
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { reportFault } from '../base/faults.ts';
import type { Log } from '../base/log.ts';
import { keepaliveOptions } from '../native/stream/keepalive-options.ts';
import { HeldConnections } from './held-connections.ts';
import { OPENAPI_PATH, openApiDocument } from './openapi.ts';
import { GVPROXY_PREFIX, gvproxyForwarder } from './ports/gvproxy-forwarder.ts';
import type { PortTarget } from './ports/port-routes.ts';
import { VPNKIT_PREFIX, vpnkitForwards } from './ports/vpnkit-forwards.ts';
import { ProblemError, problem, problemBody, problemTitle, quoted } from './problem.ts';
import { parseJsonBody, readBody, readJsonText } from './request-body.ts';
import { serveInTurn } from './request-line.ts';
import { type Answer, JSON_TYPE, type Parts, type Route } from './route.ts';

const PROBLEM_TYPE = 'application/problem+json';

/** What a server serves, and to which clients. */
export interface ApiService<T extends PortTarget> {
  readonly routes: readonly Route<T>[];
  readonly version: string;
  /** @returns why the request is refused, or undefined */
  refusal(request: IncomingMessage): ProblemError | undefined;
  /** The objects that handlers act on, for the client of `request`. */
  target(request: IncomingMessage): T;
}

interface Routed<T> {
  readonly route: Route<T>;
  readonly id: string;
  readonly query: ReadonlyMap<string, string>;
}

export interface ApiServer {
  readonly server: Server;
  readonly held: HeldConnections;
}

export function createApiServer<T extends PortTarget>(service: ApiService<T>, log: Log): ApiServer {
  const routes = [...service.routes, openApiRoute(service.routes, service.version)];
  const held = new HeldConnections();
  const server = createServer({
    maxHeaderSize: 16 * 1024,
    headersTimeout: 10_000,
    requestTimeout: 30_000,
    keepAliveTimeout: 5_000,
    connectionsCheckingInterval: 5_000,
    ...keepaliveOptions(), // a client that vanished while it was answered
    requireHostHeader: false, // checked by admission, which answers with a problem document
  });
  serveInTurn(server, (request, response) => {
    void answer(routes, service, held, request, response)
      .catch((error: unknown) => problemAnswer(error, log))
      .then((result) => send(request, response, held, result));
  });
  server.on('clientError', onClientError);
  // Refused like any method that no route has; without a listener Node drops the connection.
  server.on('connect', (_request, socket) => {
    endRaw(socket, 405, 'CONNECT is not served here.');
  });
  return { server, held };
}

async function answer<T extends PortTarget>(
  routes: readonly Route<T>[],
  service: ApiService<T>,
  held: HeldConnections,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<Answer> {
  if (hosts(request) > 1) throw problem(400, 'The request has two Host headers.'); // RFC 9112 §3.2
  const refused = service.refusal(request);
  if (refused !== undefined) throw refused;
  const { method = '', url = '' } = request;
  const contentType = request.headers['content-type'];
  const path = url.split('?', 1)[0] ?? '';
  const compatible = compatibleApi(path);
  if (compatible !== undefined) {
    const body = await readBody(request);
    return await compatible({ method, path, contentType, body }, service.target(request).ports);
  }
  const { route, id, query } = findRoute(routes, method, url);
  const body = await bodyFor(route, request);
  const connection = held.connectionOf(request.socket, response.shouldKeepAlive);
  const ifMatch = request.headers['if-match'];
  const lastEventId = lastEventIdOf(request);
  const call = { id, query, body, ifMatch, connection, lastEventId };
  return await route.handle(call, service.target(request));
}

async function bodyFor<T>(
  { body, parses, bodyLimit }: Route<T>,
  request: IncomingMessage,
): Promise<object | string | undefined> {
  if (parses === true) return await readJsonText(request, bodyLimit);
  const bytes = await readBody(request, bodyLimit);
  return body === undefined ? undefined : parseJsonBody(bytes, request.headers['content-type']);
}

function lastEventIdOf({ headers }: IncomingMessage): string | undefined {
  const id = headers['last-event-id'];
  return typeof id === 'string' ? id : undefined;
}

/** Node keeps the first alone. */
const hosts = ({ rawHeaders }: IncomingMessage): number =>
  rawHeaders.filter((text, i) => i % 2 === 0 && text.toLowerCase() === 'host').length;

function compatibleApi(path: string): typeof gvproxyForwarder | undefined {
  if (path.startsWith(GVPROXY_PREFIX)) return gvproxyForwarder;
  return path.startsWith(VPNKIT_PREFIX) ? vpnkitForwards : undefined;
}

function findRoute<T>(routes: readonly Route<T>[], method: string, target: string): Routed<T> {
  const [path = '', search = ''] = target.split('?', 2);
  const wanted = method === 'HEAD' ? 'GET' : method;
  const allowed: string[] = [];
  for (const route of routes) {
    const id = matchPath(route.path, path);
    if (id === undefined) continue;
    if (route.method === wanted) return { route, id, query: parseQuery(search, route) };
    allowed.push(...(route.method === 'GET' ? ['GET', 'HEAD'] : [route.method]));
  }
  if (allowed.length === 0) {
    throw problem(404, `There is nothing at ${quoted(path)}: see ${OPENAPI_PATH}.`);
  }
  const allow = allowed.join(', ');
  throw problem(405, `${quoted(method)} is not served here: use ${allow}.`, { allow });
}

/** @returns the decoded id, empty when the route has none, or undefined when the path is another */
function matchPath(pattern: string, path: string): string | undefined {
  if (!pattern.endsWith('{id}')) return path === pattern ? '' : undefined;
  const stem = pattern.slice(0, -'{id}'.length);
  if (!path.startsWith(stem) || path.length === stem.length) return undefined;
  const segment = path.slice(stem.length);
  if (segment.includes('/')) return undefined;
  try {
    return decodeURIComponent(segment);
  } catch {
    throw problem(400, `${quoted(segment)} is not a percent-encoded path segment.`);
  }
}

function parseQuery(search: string, route: Route<never>): ReadonlyMap<string, string> {
  const query = new Map<string, string>();
  const known = route.query.map(({ name }) => name);
  for (const [name, value] of new URLSearchParams(search)) {
    if (!known.includes(name)) {
      const allowed = known.length > 0 ? `allowed are ${known.join(', ')}` : 'there are none';
      throw problem(400, `The query parameter ${quoted(name)} is not known: ${allowed}.`);
    }
    if (query.has(name)) throw problem(400, `The query parameter ${name} is given twice.`);
    query.set(name, value);
  }
  return query;
}

function openApiRoute(described: readonly Route<never>[], version: string): Route<unknown> {
  let document: string | undefined; // rarely requested
  const body = (): string => {
    document ??= `${JSON.stringify(openApiDocument(described, version))}\n`;
    return document;
  };
  return {
    method: 'GET',
    path: OPENAPI_PATH,
    summary: 'The OpenAPI document.',
    query: [],
    success: 200,
    mediaType: JSON_TYPE,
    schema: undefined,
    body: undefined,
    handle: () => ({ status: 200, body: body(), mediaType: JSON_TYPE }),
  };
}

function problemAnswer(error: unknown, log: Log): Answer {
  const known = error instanceof ProblemError;
  if (!known) log.error({ err: error }, 'the control API failed to answer: a bug in hawser');
  const { problem: document, headers } = known
    ? error
    : problem(500, 'hawser failed to answer; its log says why.');
  return { status: document.status, body: problemBody(document), mediaType: PROBLEM_TYPE, headers };
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  held: HeldConnections,
  result: Answer,
): void {
  response.statusCode = result.status;
  response.setHeader('cache-control', 'no-store');
  response.setHeader('x-content-type-options', 'nosniff');
  for (const [name, value] of Object.entries(result.headers ?? {})) response.setHeader(name, value);
  // An unread body would be parsed as the next request.
  if (!request.complete) response.setHeader('connection', 'close');
  const { afterwards } = result;
  if (response.closed) {
    afterwards?.();
    return;
  }
  if (afterwards !== undefined) response.once('close', afterwards);
  // Node's own listener has just armed the timeout of idle connections.
  response.once('finish', () => held.keep(request.socket));
  if (result.body === undefined) {
    response.end();
    return;
  }
  response.setHeader('content-type', result.mediaType);
  if (typeof result.body !== 'string') {
    void writeParts(request, response, result.body, result.unreadMs);
    return;
  }
  response.setHeader('content-length', Buffer.byteLength(result.body));
  response.end(request.method === 'HEAD' ? undefined : result.body);
}

async function writeParts(
  request: IncomingMessage,
  response: ServerResponse,
  parts: Parts,
  unreadMs: number | undefined,
): Promise<void> {
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  const left = new AbortController();
  const { signal } = left;
  response.once('close', () => left.abort());
  response.flushHeaders();
  try {
    for await (const part of parts(signal)) {
      if (signal.aborted) return;
      if (part !== '' && !response.write(part)) await drained(response, signal, unreadMs);
    }
    response.end();
  } catch (fault) {
    if (signal.aborted) return;
    reportFault('api', fault);
    response.destroy();
  }
}

async function drained(
  response: ServerResponse,
  signal: AbortSignal,
  unreadMs: number | undefined,
): Promise<void> {
  const timer = unreadMs === undefined ? undefined : setTimeout(() => response.destroy(), unreadMs);
  try {
    await once(response, 'drain', { signal });
  } finally {
    clearTimeout(timer);
  }
}

function onClientError(error: NodeJS.ErrnoException, socket: Socket | NodeJS.WritableStream): void {
  switch (error.code) {
    case 'ECONNRESET':
    case 'EPIPE':
      endRaw(socket, 0, '');
      return;
    case 'HPE_HEADER_OVERFLOW':
      endRaw(socket, 431, 'The headers are larger than 16 KiB.');
      return;
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      endRaw(socket, 408, 'The request did not arrive in time.');
      return;
    default:
      endRaw(socket, 400, 'This is not an HTTP/1.1 request.');
  }
}

/** Answer where there is no response object, and close. */
export function endRaw(
  socket: NodeJS.WritableStream & { destroy?: () => void },
  status: number,
  detail: string,
): void {
  if (!socket.writable || status === 0) {
    socket.destroy?.();
    return;
  }
  const title = problemTitle(status);
  const body = problemBody({ status, title, detail });
  socket.on('error', () => socket.destroy?.());
  socket.end(
    `HTTP/1.1 ${status} ${title}\r\ncontent-type: ${PROBLEM_TYPE}\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    () => socket.destroy?.(),
  );
}
