/**
 * `Expect: 100-continue` (RFC 9110 §10.1.1) is not met here: it is passed on, and 100, or another answer, comes from where
 * the request goes. The body is read all the while: a client that is not answered sends it in the end.
 */
import type { IncomingMessage } from 'node:http';
import type { Body } from './request-body.ts';

const CONTINUE = /(^|[,\s])100-continue($|[,;\s])/i;

export class Expectation {
  private readonly body: Body | undefined;
  private isMet: boolean;

  /** @param body undefined: there is nothing to wait with */
  constructor({ headers, httpVersion }: IncomingMessage, body: Body | undefined) {
    this.body = body;
    this.isMet = httpVersion === '1.0' || !CONTINUE.test(headers.expect ?? '');
  }

  /** The client has not been answered by 100. */
  get isOpen(): boolean {
    return !this.isMet;
  }

  /** Nor has it sent anything of its body, which it may leave out. */
  get isAwaited(): boolean {
    const { body, isMet } = this;
    return !isMet && body !== undefined && !body.complete && !body.readableDidRead;
  }

  meet(): void {
    this.isMet = true;
  }
}
