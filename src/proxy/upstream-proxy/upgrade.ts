/** Requests for another protocol (`Upgrade`), in a tunnel of their own. */
import { type IncomingMessage, request as sendRequest } from 'node:http';
import type { Socket } from 'node:net';
import { type Duplex, pipeline } from 'node:stream';
import { limitAnswer } from './answer-deadline.ts';
import { endToEnd, fieldsOf, namedByConnection, type RawFields } from './http-fields.ts';
import { PageError } from './page-error.ts';
import { type Ask, withHost } from './request-ask.ts';

/**
 * The host may grant it, or answer as to any request; the connection then ends.
 *
 * @throws PageError
 * @param host of a request that does not say it
 * @param answerMs see {@link limitAnswer}
 */
export function upgrade(
  { method, rawHeaders }: IncomingMessage,
  ask: Ask,
  { host, tunnel, answerMs }: { host: string; tunnel: Socket; answerMs: number },
  guest: Duplex,
  head: Buffer,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const only = ['connection', 'upgrade', ...namedByConnection(rawHeaders)];
    const headers = withHost(endToEnd(rawHeaders, { only }), ask, host);
    const request = sendRequest({
      ...{ method, path: ask.path, headers, setHost: false, createConnection: () => tunnel },
    });
    request.once('upgrade', (answer, socket, early) => {
      guest.write(headOf(answer, endToEnd(answer.rawHeaders, { only: ['connection', 'upgrade'] })));
      if (early.length > 0) guest.write(early);
      if (head.length > 0) socket.write(head);
      join(guest, socket);
      resolve();
    });
    request.once('response', (answer) => {
      const fields = endToEnd(answer.rawHeaders, { withoutChunks: true });
      guest.write(headOf(answer, [...fields, 'Connection', 'close']));
      pipeline(answer, guest, () => resolve());
    });
    request.on('error', (error) => reject(hostFailure(error)));
    limitAnswer(request, undefined, answerMs, (late) => {
      reject(late); // first: an error of the tunnel ends the guest without a page
      request.destroy();
    });
    request.end();
  });
}

const hostFailure = (error: Error): PageError =>
  error instanceof PageError ? error : new PageError(502, `the host has failed: ${error.message}`);

/** HTTP/2 in the clear, which is obsolete (RFC 9113 §3.1): the request is served by HTTP/1.1, as a server may. */
export const isH2c = ({ headers }: IncomingMessage): boolean =>
  /(^|[,\s])h2c([,\s]|$)/i.test(headers.upgrade ?? '');

/** The request's head again, without its wish. */
export function withoutUpgrade({ method, url, rawHeaders }: IncomingMessage): string {
  const kept = fieldsOf(rawHeaders).filter(
    ([name]) => !/^(upgrade|connection|http2-settings)$/i.test(name),
  );
  return `${method} ${url} HTTP/1.1\r\n${linesOf(kept.flat())}\r\n`;
}

/** As the client has sent it. */
export const requestHead = ({ method, url, httpVersion, rawHeaders }: IncomingMessage): string =>
  `${method} ${url} HTTP/${httpVersion}\r\n${linesOf(rawHeaders)}\r\n`;

function headOf({ statusCode, statusMessage }: IncomingMessage, raw: RawFields): string {
  return `HTTP/1.1 ${statusCode} ${statusMessage}\r\n${linesOf(raw)}\r\n`;
}

const linesOf = (raw: RawFields): string =>
  fieldsOf(raw)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');

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
