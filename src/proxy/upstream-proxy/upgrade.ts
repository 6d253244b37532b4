/** Requests for another protocol (`Upgrade`), in a tunnel of their own. */
import { type IncomingMessage, request as sendRequest } from 'node:http';
import type { Socket } from 'node:net';
import { type Duplex, pipeline, Transform } from 'node:stream';
import { pipeline as pipelined } from 'node:stream/promises';
import { type Exchange, type HandedOver, passOn } from './exchange.ts';
import { endToEnd, headText, linesOf, namedByConnection } from './http-fields.ts';
import { pageErrorOf } from './page-error.ts';
import { type Ask, withHost } from './request-ask.ts';
import type { Body } from './request-body.ts';

/** The host has granted it. */
export interface Granted {
  readonly answer: IncomingMessage;
  /** What the host has sent behind its answer. */
  readonly early: Buffer;
}

/**
 * The host may grant it, or answer as to any request.
 *
 * @param host of a request that does not say it
 * @param answerMs see `limitAnswer`
 * @returns undefined: the guest has left
 * @throws PageError
 */
export async function askUpgrade(
  exchange: Exchange,
  ask: Ask,
  { host, tunnel, answerMs }: { host: string; tunnel: Socket; answerMs: number },
): Promise<Granted | IncomingMessage | undefined> {
  const { method, rawHeaders } = exchange.request;
  const only = ['connection', 'upgrade', 'expect', ...namedByConnection(rawHeaders)];
  const headers = withHost(endToEnd(rawHeaders, { only }), ask, host);
  const passed = sendRequest({
    ...{ method, path: ask.path, headers, setHost: false, createConnection: () => tunnel },
  });
  const granted = new Promise<Granted>((resolve) => {
    passed.once('upgrade', (answer, _socket, early) => {
      exchange.body?.unpipe(passed).pause(); // or what waits for room is lost
      resolve({ answer, early });
    });
  });
  try {
    return await Promise.race([granted, passOn(passed, exchange, answerMs)]);
  } catch (error) {
    throw pageErrorOf(error, 'the host has failed');
  }
}

/** The guest's connection and the tunnel become one, behind what is left of the request. */
export async function switchTo(
  { answer, early }: Granted,
  exchange: HandedOver,
  tunnel: Socket,
): Promise<void> {
  const { connection, body } = exchange;
  exchange.release();
  const fields = endToEnd(answer.rawHeaders, { only: ['connection', 'upgrade'] });
  connection.write(headText(answer, fields), 'latin1');
  if (early.length > 0) connection.write(early);
  pipeline(tunnel, connection, () => {});
  try {
    if (body?.readableEnded === false) await passRest(exchange.request, body, tunnel);
    pipeline(connection, tunnel, () => {});
  } catch {
    connection.destroy();
    tunnel.destroy();
  }
}

const passRest = ({ headers }: IncomingMessage, body: Body, tunnel: Socket): Promise<void> =>
  headers['transfer-encoding'] === undefined
    ? pipelined(body, tunnel, { end: false })
    : pipelined(body, new Chunks(), tunnel, { end: false });

/** RFC 9112 §7.1. */
class Chunks extends Transform {
  override _transform(bytes: Buffer, _encoding: string, done: () => void): void {
    this.push(`${bytes.length.toString(16)}\r\n`);
    this.push(bytes);
    this.push('\r\n');
    done();
  }

  override _flush(done: () => void): void {
    this.push('0\r\n\r\n');
    done();
  }
}

/**
 * HTTP/2 in the clear is obsolete (RFC 9113 §3.1): the request is served by HTTP/1.1, as a server may. In HTTP/1.0 there
 * is no such wish (RFC 9110 §7.8).
 */
export const isUpgrade = ({ headers, httpVersion }: IncomingMessage): boolean =>
  httpVersion !== '1.0' && !/(^|[,\s])h2c([,\s]|$)/i.test(headers.upgrade ?? '');

/** As the client has sent it. */
export const requestHead = ({ method, url, httpVersion, rawHeaders }: IncomingMessage): string =>
  `${method} ${url} HTTP/${httpVersion}\r\n${linesOf(rawHeaders)}\r\n`;

/**
 * Bytes and ends in both directions; what fails at one end is reset at the other.
 *
 * @param guard in front of `host`
 */
export function join(guest: Duplex, host: Duplex, guard?: Duplex): void {
  if (guard === undefined) pipeline(guest, host, () => {});
  else pipeline(guest, guard, host, () => {});
  pipeline(host, guest, () => {});
}
