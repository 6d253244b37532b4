/**
 * A request that was passed on has {@link ANSWER_MS} for the head of its answer, from the last part of it that left. The
 * time does not run while the guest owes the rest of its body, but while it waits for 100; `information` (1xx) begins it again. Bodies of answers
 * have no limit: events of a server may be hours apart, and the client sees that an answer has begun.
 */
import type { ClientRequest } from 'node:http';
import type { Expectation } from './expectation.ts';
import { PageError } from './page-error.ts';
import type { Body } from './request-body.ts';

/** Browsers wait as long. */
export const ANSWER_MS = 300_000;

interface Limited {
  /** What is piped into `passed`; undefined: it has none. */
  readonly body: Body | undefined;
  readonly expectation: Expectation;
}

/**
 * @param onLate called once with a page of 504; it ends `passed`
 */
export function limitAnswer(
  passed: ClientRequest,
  { body, expectation }: Limited,
  answerMs: number,
  onLate: (error: PageError) => void,
): void {
  const timer = setTimeout(() => {
    const isOwed = body !== undefined && !body.complete && !expectation.isAwaited;
    const isGuestsTurn = isOwed && !passed.writableNeedDrain;
    if (isGuestsTurn) timer.refresh();
    else onLate(new PageError(504, `nothing answers the request within ${answerMs} ms`));
  }, answerMs).unref();
  const refresh = (): void => void timer.refresh();
  const stop = (): void => {
    clearTimeout(timer);
    body?.off('data', refresh);
  };
  body?.on('data', refresh);
  passed.on('information', refresh);
  for (const event of ['response', 'upgrade', 'close']) passed.once(event, stop);
}
