/** Problem documents (RFC 9457): every answer of the API that is not a success is one. */

export interface Problem {
  readonly status: number;
  readonly title: string;
  /** What was wrong with this request, and what is expected. */
  readonly detail: string;
  /** The system's code (`EADDRINUSE`), or one of ours, where a program can use it. */
  readonly reason?: string | undefined;
}

/** Ends a request with a problem document. */
export class ProblemError extends Error {
  readonly code = 'ERR_HAWSER_PROBLEM';
  readonly problem: Problem;
  /** Headers that belong to the status: `allow`, `www-authenticate`. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(problem: Problem, headers: Readonly<Record<string, string>> = {}) {
    super(problem.detail);
    this.problem = problem;
    this.headers = headers;
  }
}

/** The title of `status` is its HTTP phrase, as RFC 9457 §4.2.1 asks of `about:blank`. */
const TITLES: ReadonlyMap<number, string> = new Map([
  [400, 'Bad Request'],
  [401, 'Unauthorized'],
  [403, 'Forbidden'],
  [404, 'Not Found'],
  [405, 'Method Not Allowed'],
  [408, 'Request Timeout'],
  [409, 'Conflict'],
  [412, 'Precondition Failed'],
  [413, 'Content Too Large'],
  [415, 'Unsupported Media Type'],
  [429, 'Too Many Requests'],
  [431, 'Request Header Fields Too Large'],
  [500, 'Internal Server Error'],
  [503, 'Service Unavailable'],
]);

export const problemTitle = (status: number): string => TITLES.get(status) ?? 'Error';

export function problem(
  status: number,
  detail: string,
  headers?: Readonly<Record<string, string>>,
  reason?: string,
): ProblemError {
  return new ProblemError({ status, title: problemTitle(status), detail, reason }, headers);
}

/** The document's text. */
export const problemBody = ({ status, title, detail, reason }: Problem): string =>
  `${JSON.stringify({ type: 'about:blank', title, status, detail, code: reason })}\n`;

/** Shorten and quote what a client sent, for a message: control characters never reach a log raw. */
export const quoted = (text: string): string =>
  JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
