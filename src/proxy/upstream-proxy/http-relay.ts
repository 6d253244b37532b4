/**
 * Requests of HTTP/1 passed on one by one, by Node's server and client: to a proxy in absolute form, so that one
 * connection of a guest may ask for many hosts; to a host itself where that is excluded; by a tunnel where the proxy is
 * one of SOCKS, or the guest asks for another protocol (`Upgrade`, CONNECT).
 *
 * A connection has one request under way, and one connection of the host, which is kept for the next request that goes
 * the same way. Fields of the hop are not passed on. A request that cannot be served is answered by a page: 403 where it
 * is not allowed, 502 where the proxy refuses or cannot be reached, 504 where nothing answers in time. It never goes past
 * the proxy for that.
 */
import {
  type ClientRequest,
  createServer,
  type IncomingMessage,
  type ServerResponse,
  request as sendRequest,
} from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { reportFault } from '../../base/faults.ts';
import { statedAuthority } from '../../services/sniff/host-name.ts';
import { basicAuthorization } from '../../services/upstream-proxy/connect-handshake.ts';
import { openHandshake } from '../../services/upstream-proxy/open-handshake.ts';
import { authority, type ProxyTarget } from '../../services/upstream-proxy/proxy-server.ts';
import { errorPage, PAGE_TYPE, pageText, REASONS } from '../inspect/error-page.ts';
import { ANSWER_MS } from './answer-deadline.ts';
import { type Exchange, exchangeOf, HandedOver, passOn } from './exchange.ts';
import { Hop, type SocketCallback } from './hop.ts';
import { endToEnd, fieldsOf, reasonOf } from './http-fields.ts';
import { PageError, pageErrorOf, pageStatusOf } from './page-error.ts';
import type { ProxyDialDeps } from './proxy-dial.ts';
import { type Ask, absoluteForm, HTTP_PORT, readAsk, withHost } from './request-ask.ts';
import type { ProxiedCount, RelayClient, RouteStep } from './route-step.ts';
import { StreamGuard } from './stream-guard.ts';
import { openSocket } from './tunnel-socket.ts';
import { askUpgrade, isUpgrade, join, requestHead, switchTo } from './upgrade.ts';

const IDLE_MS = 60_000;

/** Requests that a client has sent at once: more than any does. */
const MAX_WAITING = 256;
/**
 * How long a client that has ended may wait for an answer to begin: whether it still reads, or has left, is known only
 * once something is sent to it.
 */
const ENDED_MS = 60_000;

export interface RelayTimes {
  readonly endedMs: number;
  readonly answerMs: number;
}

const TIMES: RelayTimes = { endedMs: ENDED_MS, answerMs: ANSWER_MS };

interface Connection {
  readonly client: RelayClient;
  /** Requests that are not answered. */
  waiting: number;
  /** The answer to the first of them has begun. */
  isAnswering: boolean;
  /** The request before. */
  before: Promise<void>;
  hop: Hop | undefined;
}

export class HttpRelay {
  private readonly dial: ProxyDialDeps;
  private readonly count: (what: ProxiedCount) => void;
  private readonly connections = new WeakMap<Duplex, Connection>();
  private readonly server = createServer({ keepAliveTimeout: IDLE_MS, requestTimeout: 0 });
  private readonly times: RelayTimes;

  constructor(dial: ProxyDialDeps, count: (what: ProxiedCount) => void, times: RelayTimes = TIMES) {
    this.dial = dial;
    this.count = count;
    this.times = times;
    const { server } = this;
    server.timeout = 0;
    // Node's, without a type: a client that ends behind its request is answered all the same.
    Object.assign(server, { httpAllowHalfOpen: true });
    server.on('request', (request, response) => this.onRequest(request, response));
    for (const event of ['checkContinue', 'checkExpectation']) {
      server.on(event, (request, response) => this.onRequest(request, response));
    }
    server.on('upgrade', (request, socket, head) => this.onUpgrade(request, socket, head));
    server.on('connect', (request, socket, head) => this.onConnect(request, socket, head));
    server.on('clientError', (_error, socket) => {
      if (socket.writable) socket.end(errorPage(400, 'the request cannot be read'));
      else socket.destroy();
    });
  }

  serve(duplex: Duplex, client: RelayClient): void {
    const connection: Connection = {
      ...{ client, waiting: 0, isAnswering: false, before: Promise.resolve(), hop: undefined },
    };
    this.connections.set(duplex, connection);
    let timer: NodeJS.Timeout | undefined;
    duplex.on('error', () => {}); // reset, or gone: 'close' follows
    duplex.once('end', () => {
      timer = setTimeout(() => {
        if (connection.waiting > 0 && !connection.isAnswering) duplex.destroy();
      }, this.times.endedMs).unref();
    });
    duplex.once('close', () => {
      clearTimeout(timer);
      connection.hop?.close();
    });
    this.server.emit('connection', duplex);
  }

  /** One after the other: the answers have the order of the requests, whatever ways these take. */
  private inTurn(socket: Duplex, act: (connection: Connection) => Promise<void>): void {
    const connection = this.connections.get(socket);
    if (connection === undefined || connection.waiting === MAX_WAITING) {
      socket.destroy();
      return;
    }
    connection.waiting++;
    connection.before = connection.before
      .then(() => (socket.destroyed ? undefined : act(connection)))
      .catch((fault: unknown) => {
        reportFault('http-relay', fault);
        socket.destroy();
      })
      .then(() => {
        connection.waiting--;
        connection.isAnswering = false;
      });
  }

  private onRequest(request: IncomingMessage, response: ServerResponse): void {
    this.count('http-requests');
    this.inTurn(request.socket, async (connection) => {
      const exchange = exchangeOf(request, response);
      await this.orPage(exchange, () => this.serveRequest(connection, exchange));
    });
  }

  private async orPage({ response, over }: Exchange, act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      if (!(error instanceof PageError)) throw error;
      this.countError(error);
      answerPage(response, error);
      await over;
    }
  }

  private async serveRequest(connection: Connection, exchange: Exchange): Promise<void> {
    const ask = readAsk(exchange.request, connection.client.isExplicit);
    const step = await stepFor(connection.client, ask);
    const answer = await this.answerTo(connection, exchange, ask, step);
    if (answer === undefined) return;
    if (answer.statusCode === 407 && step.kind === 'proxy') {
      answer.destroy(); // what the proxy wants of hawser is not the guest's to answer
      throw new PageError(502, 'the proxy answers 407: it wants a user name and password');
    }
    await giveAnswer(connection, exchange, answer);
  }

  /** @returns undefined where the guest has left */
  private async answerTo(
    connection: Connection,
    exchange: Exchange,
    ask: Ask,
    step: Way,
  ): Promise<IncomingMessage | undefined> {
    const { request, body } = exchange;
    for (;;) {
      const passed = this.requestBy(connection, request, ask, step);
      try {
        return await passOn(passed, exchange, this.times.answerMs);
      } catch (error) {
        // The kept connection was closed at the moment that it was used (RFC 9112 §9.3.1).
        const isClosed = passed.reusedSocket && body === undefined && !(error instanceof PageError);
        if (!isClosed)
          throw pageErrorOf(error, `the ${step.kind === 'proxy' ? 'proxy' : 'host'} has failed`);
      }
    }
  }

  private requestBy(
    connection: Connection,
    { method, httpVersion, rawHeaders }: IncomingMessage,
    ask: Ask,
    step: Way,
  ): ClientRequest {
    const isForwarded = step.kind === 'proxy' && step.server.scheme === 'http';
    const own = isForwarded ? step.server.credentials : undefined;
    const only = httpVersion === '1.0' ? [] : ['expect'];
    const headers = withHost(endToEnd(rawHeaders, { only }), ask, hostOf(step));
    if (own !== undefined) headers.push('Proxy-Authorization', basicAuthorization(own));
    const target = step.kind === 'proxy' ? step.target : undefined;
    const path =
      isForwarded && target !== undefined ? absoluteForm(hostText(target), ask) : ask.path;
    return sendRequest({
      ...{ method, path, headers, setHost: false, host: 'next', port: 1 },
      agent: this.hopFor(connection, step).agent,
    });
  }

  private hopFor(connection: Connection, step: Way): Hop {
    const key = keyOf(step);
    if (connection.hop?.key !== key) {
      connection.hop?.close();
      connection.hop = new Hop(key, (onSocket) => this.open(step, onSocket));
    }
    return connection.hop;
  }

  /** @param isTunnel to the destination itself, also where a proxy of HTTP would take requests */
  private open(step: Way, onSocket: SocketCallback, isTunnel = false): void {
    const done = (result: Parameters<Parameters<typeof openSocket>[3]>[0]): void => {
      if ('code' in result) onSocket(new PageError(pageStatusOf(result), result.text));
      else onSocket(null, result);
    };
    if (step.kind === 'direct') {
      const place = { host: step.address, port: step.port };
      openSocket(this.dial, place, undefined, done, isTunnel);
      return;
    }
    const { server, target } = step;
    const isAsked = isTunnel || server.scheme !== 'http';
    const handshake = isAsked ? openHandshake(server, target) : undefined;
    openSocket(this.dial, server, handshake, done, isTunnel);
  }

  private onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const isWanted = isUpgrade(request);
    this.count(isWanted ? 'upgrades' : 'http-requests');
    if (head.length > 0) socket.unshift(head);
    this.inTurn(request.socket, async (connection) => {
      const exchange = new HandedOver(request, socket);
      let isGranted = false;
      await this.orPage(exchange, async () => {
        if (isWanted) isGranted = await this.serveUpgrade(connection, exchange);
        else await this.serveRequest(connection, exchange);
      });
      if (!isGranted && (await exchange.finish())) this.server.emit('connection', socket);
    });
  }

  /** @returns whether the connection is a tunnel now */
  private async serveUpgrade(connection: Connection, exchange: HandedOver): Promise<boolean> {
    const ask = readAsk(exchange.request, connection.client.isExplicit);
    const step = await stepFor(connection.client, ask);
    const tunnel = await this.tunnelTo(step);
    void exchange.over.then(() => tunnel.destroy());
    const asked = { host: hostOf(step), tunnel, answerMs: this.times.answerMs };
    const answer = await askUpgrade(exchange, ask, asked);
    if (answer === undefined) return false;
    if ('early' in answer) {
      connection.hop?.close(); // it is not needed any more
      void switchTo(answer, exchange, tunnel);
      return true;
    }
    await giveAnswer(connection, exchange, answer);
    return false;
  }

  private onConnect(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.inTurn(request.socket, async (connection) => {
      connection.hop?.close(); // it is not needed any more
      connection.hop = undefined;
      try {
        await this.serveConnect(connection, request, socket, head);
      } catch (error) {
        if (!(error instanceof PageError)) throw error;
        this.countError(error);
        socket.end(errorPage(error.status, error.message));
        socket.resume();
      }
    });
  }

  private async serveConnect(
    { client }: Connection,
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
  ): Promise<void> {
    const target = statedAuthority(request.url ?? '');
    if (target?.port === undefined) throw new PageError(400, 'CONNECT must name HOST:PORT');
    const { host, port } = target;
    // Where the guest does not know of us, it asks a proxy of its own, at the address that it has connected to.
    const step = await stepFor(client, { host: client.isExplicit ? host : undefined, port });
    const tunnel = await this.tunnelTo(step);
    if (socket.destroyed) {
      tunnel.destroy();
      return;
    }
    if (client.isExplicit) socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
    else tunnel.write(requestHead(request), 'latin1');
    const check = client.isExplicit ? client.checkIn?.(host, port) : undefined;
    if (head.length > 0) socket.unshift(head);
    join(socket, tunnel, check && new StreamGuard(check));
  }

  private countError({ status }: PageError): void {
    this.count('http-errors');
    if (status === 504) this.count('timed-out');
  }

  private async tunnelTo(step: Way): Promise<Socket> {
    return await new Promise<Socket>((resolve, reject) => {
      this.open(
        step,
        (error, socket) => (socket === undefined ? reject(error) : resolve(socket)),
        true,
      );
    });
  }
}

type Way = Exclude<RouteStep, { readonly why: string }>;

/** @throws PageError */
async function stepFor(
  client: RelayClient,
  { host, port }: Pick<Ask, 'host' | 'port'>,
): Promise<Way> {
  const step = await client.stepOf(host, port);
  if (step.kind === 'denied') throw new PageError(403, step.why);
  if (step.kind === 'failed') throw new PageError(502, step.why);
  return step;
}

const hostText = (target: ProxyTarget): string =>
  target.port === HTTP_PORT ? authority(target).replace(/:80$/, '') : authority(target);

const hostOf = (step: Way): string =>
  hostText(step.kind === 'proxy' ? step.target : { host: step.address, port: step.port });

const keyOf = (step: Way): string =>
  step.kind === 'direct'
    ? `direct ${step.address} ${step.port}`
    : step.server.scheme === 'http'
      ? `proxy ${authority(step.server)}`
      : `socks ${authority(step.server)} ${authority(step.target)}`;

async function giveAnswer(
  connection: Connection,
  { response, expectation, over }: Exchange,
  answer: IncomingMessage,
): Promise<void> {
  const { statusCode = 0, rawHeaders } = answer;
  if (statusCode < 200) {
    answer.destroy();
    throw new PageError(502, `the answer has status ${statusCode}, which there is not`);
  }
  connection.isAnswering = true;
  response.sendDate = false;
  const fields = endToEnd(rawHeaders, { withoutChunks: true });
  // Its next bytes may be the body, or another request.
  if (expectation.isAwaited) response.shouldKeepAlive = false;
  // Node would close whatever has not been answered by 100.
  else if (expectation.isOpen && response.shouldKeepAlive) fields.push('Connection', 'keep-alive');
  response.writeHead(statusCode, reasonOf(answer), fields);
  answer.on('error', () => response.destroy());
  answer.on('end', () => {
    const trailers = fieldsOf(answer.rawTrailers);
    if (trailers.length > 0)
      response.addTrailers(trailers.map((one): [string, string] => [...one]));
  });
  answer.pipe(response);
  await over;
}

function answerPage(response: ServerResponse, { status, message }: PageError): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const text = pageText(message);
  response.shouldKeepAlive = false;
  response.writeHead(status, REASONS[status], {
    ...{ 'Content-Type': PAGE_TYPE, 'Content-Length': text.length },
    'Cache-Control': 'no-store',
  });
  response.end(text);
}
