/**
 * A request of HTTP/1, what it is passed on as, and its answer. The connection is that of Node's server, or one that this
 * has handed over for a wish of another protocol: then the answer is written here, and the connection is a tunnel
 * afterwards, or goes back to the server, or ends.
 */
import { type ClientRequest, type IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { finished } from 'node:stream/promises';
import { limitAnswer } from './answer-deadline.ts';
import { Expectation } from './expectation.ts';
import { endToEnd, headText, namedByConnection } from './http-fields.ts';
import { PageError } from './page-error.ts';
import { type Body, bodyIn, bodyOf } from './request-body.ts';

export interface Exchange {
  readonly request: IncomingMessage;
  /** Undefined: it has none. */
  readonly body: Body | undefined;
  readonly expectation: Expectation;
  readonly response: ServerResponse;
  /** The answer is written, or the guest has left. */
  readonly over: Promise<void>;
}

export function exchangeOf(request: IncomingMessage, response: ServerResponse): Exchange {
  const body = bodyOf(request);
  const over = new Promise<void>((resolve) => {
    if (response.destroyed || response.closed) resolve();
    else response.once('close', resolve);
  });
  return { request, body, expectation: new Expectation(request, body), response, over };
}

export class HandedOver implements Exchange {
  readonly request: IncomingMessage;
  readonly body: Body | undefined;
  readonly expectation: Expectation;
  readonly response: ServerResponse;
  readonly over: Promise<void>;
  /** What follows the request, and the way back. */
  readonly connection: Duplex;

  /** @param connection its first request is this one: those before it are answered */
  constructor(request: IncomingMessage, connection: Duplex) {
    this.request = request;
    this.connection = connection;
    // Node's server leaves these behind where the connection is no socket of the system.
    connection.removeAllListeners('pause').removeAllListeners('resume');
    this.body = bodyIn(connection, request);
    this.expectation = new Expectation(request, this.body);
    const response = new ServerResponse(request);
    this.response = response;
    // Node from version 26 on may hand over a stream of its own, which must not be another's for each request.
    response.shouldKeepAlive &&=
      connection === request.socket && !namedByConnection(request.rawHeaders).includes('close');
    response.assignSocket(request.socket);
    request.socket.on('drain', this.onDrain);
    this.over = new Promise((resolve) => {
      response.once('finish', resolve).once('close', resolve);
    });
  }

  /** The connection is not that of an answer any more. */
  release(): void {
    const { response, request } = this;
    request.socket.off('drain', this.onDrain);
    if (response.socket !== null) response.detachSocket(request.socket);
  }

  /**
   * Once the answer is written: what is left of the body is dropped.
   *
   * @returns whether another request may follow
   */
  async finish(): Promise<boolean> {
    const { response, connection, body } = this;
    await this.over;
    this.release();
    const isKept = response.shouldKeepAlive && response.writableFinished;
    if (!isKept) connection.end();
    if (body !== undefined) await finished(body.resume(), { writable: false }).catch(() => {});
    if (isKept) return true;
    connection.resume();
    return false;
  }

  private readonly onDrain = (): void => void this.response.emit('drain');
}

/**
 * The request goes as `passed`, with its body, which may be longer under way than its answer.
 *
 * @param answerMs see {@link limitAnswer}
 * @returns undefined where the guest has left
 * @throws whatever ends `passed`; PageError
 */
export async function passOn(
  passed: ClientRequest,
  exchange: Exchange,
  answerMs: number,
): Promise<IncomingMessage | undefined> {
  const { body, over } = exchange;
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    passed.once('response', resolve);
    passed.on('error', reject);
    passed.once('close', () => reject(new Error('it ends without an answer')));
    body?.on('error', ({ message }) => reject(new PageError(400, message)));
  });
  limitAnswer(passed, exchange, answerMs, (late) => passed.destroy(late));
  passInformation(passed, exchange);
  void over.then(() => {
    passed.destroy();
    body?.unpipe(passed).resume(); // an answer may come before the body is whole: the next request is behind it
  });
  if (body === undefined) passed.end();
  else body.pipe(passed);
  try {
    return await Promise.race([answered, over.then(() => undefined)]);
  } catch (error) {
    body?.unpipe(passed);
    throw error;
  }
}

/** 1xx (RFC 9110 §15.2), but 100 that nobody waits for; what a guest does not read is dropped. */
function passInformation(
  passed: ClientRequest,
  { request, response, expectation }: Exchange,
): void {
  passed.on('information', (information) => {
    const { socket } = response;
    if (socket === null || response.headersSent || request.httpVersion === '1.0') return;
    if (information.statusCode === 100) {
      if (expectation.isOpen) response.writeContinue();
      expectation.meet();
      return;
    }
    if (socket.writableNeedDrain) return;
    socket.write(headText(information, endToEnd(information.rawHeaders)), 'latin1');
  });
}
