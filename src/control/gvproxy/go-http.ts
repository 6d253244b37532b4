/** Answers and JSON in the manner of Go's `net/http` and `encoding/json`, as clients of gvproxy know them. */
import type { Answer } from '../route.ts';

export const TEXT_TYPE = 'text/plain; charset=utf-8';

/** Of a handler that has written nothing. */
export const EMPTY: Answer = { status: 200, body: '', mediaType: TEXT_TYPE };

/** Ends a request as `http.Error` does. */
export class GoHttpError extends Error {
  readonly code = 'ERR_HAWSER_GO_HTTP';
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export const notFound = (): GoHttpError => new GoHttpError(404, '404 page not found');

export const errorAnswer = ({ status, message }: GoHttpError): Answer => ({
  status,
  body: `${message}\n`,
  mediaType: TEXT_TYPE,
});

/** Go's encoder ends in a line feed and escapes what HTML would take for its own; the type is what its server guesses. */
export const goJson = (value: unknown): Answer => ({
  status: 200,
  body: `${JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, escaped)}\n`,
  mediaType: TEXT_TYPE,
});

const escaped = (character: string): string =>
  `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** Go writes maps in the order of their keys. */
export function sortedObject<T>(entries: Iterable<readonly [string, T]>): Record<string, T> {
  return Object.fromEntries(
    [...entries].sort(([one], [other]) => (one < other ? -1 : one > other ? 1 : 0)),
  );
}
