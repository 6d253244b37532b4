/** Requests to an API server, which is believed in nothing: answers and events are bounded in bytes, and answers in time. */
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { finished } from 'node:stream/promises';
import { member } from '../../docker-proxy/lease.ts';
import { ClusterError } from './cluster.ts';

export interface RequestBounds {
  /** Of an answer, and of an event: etcd has no object beyond 1.5 MB by default. */
  readonly answerBytes: number;
  readonly eventBytes: number;
  /** For the whole of an answer, and for the head of a watch. */
  readonly answerMs: number;
}

export const REQUEST_BOUNDS: RequestBounds = {
  answerBytes: 64 << 20,
  eventBytes: 16 << 20,
  answerMs: 30_000,
};
const KEEPALIVE_MS = 30_000;
const GOOD = 200;
const NEWLINE = 0x0a;

/** @throws ClusterError when the server refuses, or an Error that says what is wrong */
export async function readJson(
  url: URL,
  options: RequestOptions,
  bounds: RequestBounds,
): Promise<unknown> {
  const asked = ask(url, options);
  const deadline = limit(asked, bounds);
  try {
    return await jsonOf(await answerOf(asked), bounds);
  } finally {
    clearTimeout(deadline);
    asked.destroy();
  }
}

/**
 * Until the server ends it in order, or the signal comes.
 *
 * @param onLine called with each line that is JSON
 * @throws as {@link readJson}
 */
export async function readJsonLines(
  url: URL,
  options: RequestOptions,
  bounds: RequestBounds,
  onLine: (line: unknown) => void,
): Promise<void> {
  const asked = ask(url, options);
  const deadline = limit(asked, bounds);
  try {
    const answer = await answerOf(asked);
    if (answer.statusCode !== GOOD) {
      await jsonOf(answer, bounds);
      return;
    }
    clearTimeout(deadline);
    asked.setSocketKeepAlive(true, KEEPALIVE_MS);
    const lines = new Lines(bounds.eventBytes, onLine, (error) => answer.destroy(error));
    answer.on('data', (part: Buffer) => lines.add(part));
    await finished(answer);
  } finally {
    clearTimeout(deadline);
    asked.destroy();
  }
}

function ask(url: URL, options: RequestOptions): ClientRequest {
  const send = url.protocol === 'http:' ? httpRequest : httpsRequest;
  const headers = { ...options.headers, accept: 'application/json' };
  const asked = send(url, { ...options, headers });
  asked.end();
  return asked;
}

/** Ends what there is by then: a request, or its answer, which would hear of no reason otherwise. */
function limit(asked: ClientRequest, { answerMs }: RequestBounds): NodeJS.Timeout {
  let last: ClientRequest | IncomingMessage = asked;
  asked.once('response', (answer) => {
    last = answer;
  });
  const end = (): void => void last.destroy(new Error(`no whole answer in ${answerMs / 1_000} s`));
  return setTimeout(end, answerMs);
}

const answerOf = (asked: ClientRequest): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    asked.once('response', resolve);
    asked.on('error', reject);
  });

async function jsonOf(answer: IncomingMessage, { answerBytes }: RequestBounds): Promise<unknown> {
  const parts: Buffer[] = [];
  let len = 0;
  for await (const part of answer) {
    const bytes = Buffer.from(part);
    len += bytes.length;
    if (len > answerBytes) throw new Error('its answer is too long');
    parts.push(bytes);
  }
  const text = Buffer.concat(parts).toString('utf8');
  const status = answer.statusCode ?? 0;
  if (status === GOOD) return JSON.parse(text);
  throw new ClusterError(status, `the API server answers ${status}: ${messageIn(text)}`);
}

/** Of a `Status` of Kubernetes. */
function messageIn(text: string): string {
  try {
    return String(member(JSON.parse(text), 'message') ?? '');
  } catch {
    return text.slice(0, 200);
  }
}

class Lines {
  private parts: Buffer[] = [];
  private len = 0;
  private readonly lenMax: number;
  private readonly onLine: (line: unknown) => void;
  private readonly fail: (error: Error) => void;

  constructor(lenMax: number, onLine: (line: unknown) => void, fail: (error: Error) => void) {
    this.lenMax = lenMax;
    this.onLine = onLine;
    this.fail = fail;
  }

  add(part: Buffer): void {
    let from = 0;
    for (let at = part.indexOf(NEWLINE); at >= 0; at = part.indexOf(NEWLINE, from)) {
      this.keep(part.subarray(from, at));
      this.end();
      from = at + 1;
    }
    this.keep(part.subarray(from));
  }

  private keep(piece: Buffer): void {
    this.len += piece.length;
    if (this.len > this.lenMax) this.fail(new Error('one of its events does not end'));
    else this.parts.push(piece);
  }

  private end(): void {
    const text = Buffer.concat(this.parts).toString('utf8');
    this.parts = [];
    this.len = 0;
    if (text.trim() === '') return;
    let line: unknown;
    try {
      line = JSON.parse(text);
    } catch (cause) {
      this.fail(new Error('one of its events is not JSON', { cause }));
      return;
    }
    this.onLine(line);
  }
}
