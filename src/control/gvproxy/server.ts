/**
 * gvproxy's HTTP API, on any kind of listener: `ServicesMux` and `Mux` of `pkg/virtualnetwork/mux.go`.
 *
 * It has no token, as clients know of none: on a Unix socket its mode decides who may use it, and over TCP every program of
 * this host may, but no web page (`admission.ts`). On a Unix socket hawser's own API is served as well, for `hawser status`
 * and the like.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Log } from '../../base/log.ts';
import { keepaliveOptions } from '../../native/stream/keepalive-options.ts';
import { refusal, unixAdmission } from '../admission.ts';
import type { ApiServer } from '../api-server.ts';
import { type Hijacker, hijackRequests } from '../hijacked-requests.ts';
import { ProblemError, quoted } from '../problem.ts';
import { readBody } from '../request-body.ts';
import { serveInTurn } from '../request-line.ts';
import type { Answer } from '../route.ts';
import { WaitingRoom } from '../waiting-room.ts';
import { errorAnswer, GoHttpError, notFound } from './go-http.ts';
import { answerService, type GvproxyTarget } from './services.ts';
import { serveTunnel, tunnelProblem } from './tunnel.ts';

export const CONNECT_PATH = '/connect';
export const TUNNEL_PATH = '/tunnel';

const TIMEOUT_MS = 10_000;
/** Clients of a path that takes long, beside those that are served at a time. */
const WAITS_MAX = 256;
/** Of its own API, on the same socket. */
const OWN_PATHS = /^\/(v1\/|metrics$)/;

export interface GvproxyServerOptions {
  readonly target: GvproxyTarget;
  /** Attaches the guest's link that a connection turns into; undefined: `/connect` is not served. */
  readonly attach: Hijacker | undefined;
  /** Whether web pages can reach the listener: it is TCP's. */
  readonly isOpenToBrowsers: boolean;
  /** hawser's own API, on listeners that are not. */
  readonly own: ApiServer | undefined;
  /** A path that may take minutes to answer. */
  readonly long?: LongAnswer | undefined;
  readonly log: Log;
}

export interface LongAnswer {
  readonly path: string;
  /** @param gone aborted when the client has left */
  answer(query: URLSearchParams, gone: AbortSignal): Promise<Answer>;
}

export interface GvproxyServer {
  readonly server: Server;
  /** Ends connections that are no longer HTTP's, and those that wait. */
  close(): void;
}

export function createGvproxyServer(options: GvproxyServerOptions): GvproxyServer {
  const { target, attach, own } = options;
  const waits = new Set<Duplex>();
  const server = createServer({
    maxHeaderSize: 16 * 1024,
    headersTimeout: TIMEOUT_MS,
    requestTimeout: TIMEOUT_MS,
    keepAliveTimeout: TIMEOUT_MS,
    connectionsCheckingInterval: TIMEOUT_MS / 2,
    ...keepaliveOptions(),
    requireHostHeader: false,
  });
  serveInTurn(server, (request, response) => {
    if (own !== undefined && OWN_PATHS.test(pathOf(request))) {
      own.server.emit('request', request, response);
      return;
    }
    void answer(options, request, waits)
      .catch((error: unknown) => failure(error, options.log))
      .then((result) => send(request, response, result));
  });
  const hijacked = hijackRequests(server, ({ path, query }) => {
    if (path === CONNECT_PATH && attach !== undefined) return admitted(attach, options);
    if (path !== TUNNEL_PATH || tunnelProblem(query) !== undefined) return undefined;
    return admitted(serveTunnel(target.dial, options.log), options);
  });
  const room = new WaitingRoom(server, {
    has: (connection) =>
      hijacked.has(connection) || waits.has(connection) || (own?.held.has(connection) ?? false),
  });
  return {
    server,
    close: () => {
      room.close();
      hijacked.close();
    },
  };
}

const pathOf = ({ url = '' }: IncomingMessage): string => url.split('?', 1)[0] ?? '';

/** A web page's request gets nothing of it. */
function admitted(hijacker: Hijacker, options: GvproxyServerOptions): Hijacker {
  return (connection, head) => {
    if (objection(head, options) === undefined) hijacker(connection, head);
    else connection.end('HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
  };
}

/** @returns why a request is refused */
function objection(
  request: Pick<IncomingMessage, 'headers' | 'httpVersion'>,
  { isOpenToBrowsers }: GvproxyServerOptions,
): GoHttpError | undefined {
  const refused = refusal(request, unixAdmission);
  if (refused !== undefined) return new GoHttpError(refused.problem.status, refused.message);
  const { host = '' } = request.headers;
  if (!isOpenToBrowsers || LOCAL_HOST.test(host)) return undefined;
  return new GoHttpError(403, `the Host ${quoted(host)} is not this API: use its address`);
}

/** An address, or a name that no DNS server decides on. */
const LOCAL_HOST = /^((\d{1,3}\.){3}\d{1,3}|\[[\da-f:.]+\]|localhost)?(:\d{1,5})?$/i;

async function answer(
  options: GvproxyServerOptions,
  request: IncomingMessage,
  waits: Set<Duplex>,
): Promise<Answer> {
  const refused = objection(request, options);
  if (refused !== undefined) throw refused;
  const { method = '', url = '' } = request;
  const path = pathOf(request);
  const contentType = request.headers['content-type'];
  const query = new URLSearchParams(url.slice(path.length + 1));
  const body = await readBody(request);
  if (path === TUNNEL_PATH) {
    const why = tunnelProblem(query);
    throw new GoHttpError(500, why ?? "webserver doesn't support hijacking");
  }
  if (path === CONNECT_PATH && options.attach !== undefined) {
    throw new GoHttpError(500, "webserver doesn't support hijacking");
  }
  if (path === options.long?.path) {
    return await answerLong(options.long, query, request.socket, waits);
  }
  const made = await answerService({ method, path, contentType, body }, options.target);
  if (made === undefined) throw notFound();
  return made;
}

async function answerLong(
  long: LongAnswer,
  query: URLSearchParams,
  client: Duplex,
  waits: Set<Duplex>,
): Promise<Answer> {
  if (waits.size >= WAITS_MAX) throw new GoHttpError(503, `${WAITS_MAX} clients wait already`);
  const gone = new AbortController();
  const onClose = (): void => gone.abort();
  client.once('close', onClose);
  waits.add(client);
  try {
    return await long.answer(query, gone.signal);
  } finally {
    waits.delete(client);
    client.off('close', onClose);
  }
}

function failure(error: unknown, log: Log): Answer {
  if (error instanceof GoHttpError) return errorAnswer(error);
  if (error instanceof ProblemError) {
    return errorAnswer(new GoHttpError(error.problem.status, error.message));
  }
  log.error({ err: error }, 'the API failed to answer: a bug in hawser');
  return errorAnswer(new GoHttpError(500, 'hawser failed to answer; its log says why'));
}

function send(request: IncomingMessage, response: ServerResponse, result: Answer): void {
  const { status, body, mediaType, afterwards } = result;
  const text = typeof body === 'string' ? body : '';
  response.statusCode = status;
  if (!request.complete) response.setHeader('connection', 'close');
  if (status >= 400) response.setHeader('x-content-type-options', 'nosniff');
  if (text !== '') response.setHeader('content-type', mediaType);
  response.setHeader('content-length', Buffer.byteLength(text));
  if (afterwards !== undefined) response.once('close', afterwards);
  response.end(request.method === 'HEAD' ? undefined : text);
}
