/**
 * One HTTP/1.1 request on a connection of its own that stays open after the answer: it carries the lease.
 * By hand over `node:net`, because a process is started for each port and must be quick, and because
 * an HTTP client's pool would hide the one thing that matters here: when the connection ends.
 */
import { Buffer } from 'node:buffer';
import { connect, type Socket } from 'node:net';
import type { ControlEndpoint } from './endpoint.ts';

export interface Answer {
  readonly status: number;
  readonly body: string;
  /** Open, unless the server closed it; nothing more is expected on it. */
  readonly socket: Socket;
}

/** The daemon could not be asked. Not for answers: those have a status. */
export class UnreachableError extends Error {
  /** The system's, or `ETIMEDOUT`, `EPROTO`. */
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

const ANSWER_BYTES_MAX = 1 << 20;
/** Detects a daemon that has vanished, after about 15 s. */
const KEEPALIVE_MS = 5_000;

/** @throws UnreachableError */
export function exchange(
  endpoint: ControlEndpoint,
  method: 'GET' | 'POST',
  path: string,
  body: object | undefined,
  timeoutMs: number,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const socket =
      endpoint.kind === 'unix'
        ? connect({ path: endpoint.path })
        : connect({ host: endpoint.host, port: endpoint.port, noDelay: true });
    let received: Buffer = Buffer.alloc(0);
    const finish = (): void => {
      clearTimeout(timer);
      socket.removeAllListeners();
      socket.on('error', () => {}); // 'close' follows
    };
    const fail = (code: string, why: string, cause?: Error): void => {
      finish();
      socket.destroy();
      reject(new UnreachableError(code, why, cause === undefined ? {} : { cause }));
    };
    const timer = setTimeout(
      () => fail('ETIMEDOUT', `no answer within ${(timeoutMs / 1000).toFixed(1)} s`),
      timeoutMs,
    );
    const evaluate = (atEnd: boolean): void => {
      const answer = parseAnswer(received, atEnd);
      if (answer === 'more' && atEnd) fail('EPROTO', 'it closed the connection without an answer');
      else if (answer === 'bad') fail('EPROTO', 'the answer is not HTTP');
      else if (answer !== 'more') {
        finish();
        socket.resume();
        resolve({ ...answer, socket });
      } else if (received.length > ANSWER_BYTES_MAX) fail('EPROTO', 'its answer is too long');
    };
    socket.on('error', (error) => fail(codeOf(error), error.message, error));
    socket.on('data', (chunk: Buffer) => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
      evaluate(false);
    });
    socket.on('end', () => evaluate(true));
    socket.setKeepAlive(true, KEEPALIVE_MS);
    socket.write(requestText(endpoint, method, path, body));
  });
}

const codeOf = (error: Error): string =>
  'code' in error && typeof error.code === 'string' ? error.code : 'EIO';

export function requestText(
  endpoint: ControlEndpoint,
  method: string,
  path: string,
  body: object | undefined,
): string {
  const content = body === undefined ? '' : JSON.stringify(body);
  const lines = [`${method} ${path} HTTP/1.1`, `Host: ${hostHeader(endpoint)}`];
  if (endpoint.token !== undefined) lines.push(`Authorization: Bearer ${endpoint.token}`);
  if (body !== undefined) {
    lines.push('Content-Type: application/json', `Content-Length: ${Buffer.byteLength(content)}`);
  }
  return `${lines.join('\r\n')}\r\n\r\n${content}`;
}

function hostHeader(endpoint: ControlEndpoint): string {
  if (endpoint.kind === 'unix') return 'localhost';
  const { host, port } = endpoint;
  const name = host.includes(':') ? `[${host}]` : host;
  return port === 80 ? name : `${name}:${port}`;
}

export interface ParsedAnswer {
  readonly status: number;
  readonly body: string;
}

/**
 * @param atEnd whether the connection has ended: a body without a length ends there
 * @returns `more` when the answer is not complete
 */
export function parseAnswer(bytes: Buffer, atEnd: boolean): ParsedAnswer | 'more' | 'bad' {
  const headEnd = bytes.indexOf('\r\n\r\n');
  const isHttp = 'HTTP/1.'.startsWith(bytes.toString('latin1', 0, 7));
  if (!isHttp) return 'bad';
  if (headEnd < 0) return 'more';
  const [statusLine = '', ...headers] = bytes.toString('latin1', 0, headEnd).split('\r\n');
  const status = Number(/^HTTP\/1\.[01] ([1-5]\d\d)(?: |$)/.exec(statusLine)?.[1]);
  if (Number.isNaN(status)) return 'bad';
  const field = (name: string): string | undefined =>
    headers
      .find((line) => line.toLowerCase().startsWith(`${name}:`))
      ?.slice(name.length + 1)
      .trim()
      .toLowerCase();
  const content = bytes.subarray(headEnd + 4);
  if (field('transfer-encoding') === 'chunked') {
    const body = dechunk(content);
    return typeof body === 'string' ? body : { status, body: body.toString('utf8') };
  }
  const length = field('content-length');
  if (status === 204 || length === undefined) {
    return status === 204 || atEnd ? { status, body: content.toString('utf8') } : 'more';
  }
  if (!/^\d{1,9}$/.test(length)) return 'bad';
  if (content.length < Number(length)) return 'more';
  return { status, body: content.toString('utf8', 0, Number(length)) };
}

/** RFC 9112 §7.1, without trailers: what follows the last chunk is not looked at. */
function dechunk(content: Buffer): Buffer | 'more' | 'bad' {
  const parts: Buffer[] = [];
  for (let at = 0; ; ) {
    const lineEnd = content.indexOf('\r\n', at);
    if (lineEnd < 0) return 'more';
    const size = /^([\da-f]{1,7})(?:;.*)?$/i.exec(content.toString('latin1', at, lineEnd))?.[1];
    if (size === undefined) return 'bad';
    const length = Number.parseInt(size, 16);
    if (length === 0) return Buffer.concat(parts);
    const start = lineEnd + 2;
    if (content.length < start + length + 2) return 'more';
    parts.push(content.subarray(start, start + length));
    at = start + length + 2;
  }
}
