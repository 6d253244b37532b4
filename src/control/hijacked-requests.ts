/**
 * Requests that take their connection over and get no answer of HTTP's, as servers in Go let them: `POST /connect` of a
 * guest's link, `POST /tunnel`. Such a request is the first of its connection: it is recognised by its line, before Node's
 * HTTP server has the connection, and the bytes behind its head are the new protocol's.
 *
 * A connection whose first line is another's is the HTTP server's, from its first byte on. A head has the server's own
 * limits of length and time.
 */
import type { IncomingHttpHeaders, Server } from 'node:http';
import type { Duplex } from 'node:stream';

const HEAD_LIMIT = 16 * 1024;
const HEAD_TIMEOUT_MS = 10_000;

export interface RequestHead {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  /** Names in lower case; of a repeated one the last. */
  readonly headers: IncomingHttpHeaders;
  readonly httpVersion: string;
}

/** Has the connection from now on, paused, with what follows the head still to be read. */
export type Hijacker = (connection: Duplex, head: RequestHead) => void;

export interface HijackedConnections {
  /** Whether it was taken over, and is open. */
  has(connection: Duplex): boolean;
  close(): void;
}

/**
 * Called before other wrappers of the server's listeners.
 *
 * @param choose by method, path and query: who takes a request over; undefined for the HTTP server's own
 */
export function hijackRequests(
  server: Server,
  choose: (line: Pick<RequestHead, 'method' | 'path' | 'query'>) => Hijacker | undefined,
): HijackedConnections {
  const own = server.listeners('connection');
  const hijacked = new Set<Duplex>();
  const reading = new Set<Duplex>();
  server.removeAllListeners('connection');
  server.on('connection', (connection: Duplex) => {
    reading.add(connection);
    readHead(connection, choose, (hijacker, head) => {
      reading.delete(connection);
      if (hijacker === undefined || head === undefined) {
        for (const listener of own) listener.call(server, connection);
        return;
      }
      hijacked.add(connection);
      connection.once('close', () => hijacked.delete(connection));
      connection.on('error', () => {}); // 'close' follows
      hijacker(connection, head);
    });
    connection.once('close', () => reading.delete(connection));
  });
  return {
    has: (connection) => hijacked.has(connection),
    close: () => {
      for (const connection of [...reading, ...hijacked]) connection.destroy();
    },
  };
}

function readHead(
  connection: Duplex,
  choose: Parameters<typeof hijackRequests>[1],
  done: (hijacker: Hijacker | undefined, head: RequestHead | undefined) => void,
): void {
  let received: Buffer = Buffer.alloc(0);
  let hijacker: Hijacker | undefined;
  const stop = (rest: Buffer): void => {
    connection.off('data', onData).off('end', onEnd).off('error', ignore);
    clearTimeout(timer);
    connection.pause();
    if (rest.length > 0) connection.unshift(rest);
  };
  const pass = (): void => {
    stop(received);
    done(undefined, undefined);
    connection.resume();
  };
  const onData = (chunk: Buffer): void => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
    const text = received.subarray(0, HEAD_LIMIT).toString('latin1');
    const lineEnd = text.indexOf('\r\n');
    if (hijacker === undefined) {
      if (lineEnd < 0 && text.length < HEAD_LIMIT && /^[A-Z]{0,16}( |$)/.test(text)) return;
      const line = requestLine(text.slice(0, Math.max(lineEnd, 0)));
      hijacker = line && choose(line);
      if (hijacker === undefined) {
        pass();
        return;
      }
    }
    const end = text.indexOf('\r\n\r\n');
    if (end < 0 && text.length < HEAD_LIMIT) return;
    const line = end < 0 ? undefined : requestLine(text.slice(0, lineEnd));
    if (line === undefined) {
      pass(); // too long: the server says so
      return;
    }
    stop(received.subarray(end + '\r\n\r\n'.length));
    done(hijacker, { ...line, headers: headersOf(text.slice(lineEnd + 2, end)) });
  };
  const onEnd = (): void => {
    if (received.length === 0) connection.end();
    else pass();
  };
  const timer = setTimeout(() => connection.destroy(), HEAD_TIMEOUT_MS).unref();
  connection.once('close', () => clearTimeout(timer));
  connection.on('data', onData).on('end', onEnd).on('error', ignore);
}

const ignore = (): void => {};

function requestLine(text: string): Omit<RequestHead, 'headers'> | undefined {
  const [, method = '', target = '', httpVersion = ''] =
    /^([A-Z]+) (\S+) HTTP\/(1\.[01])$/.exec(text) ?? [];
  if (method === '') return undefined;
  const [path = '', query = ''] = target.replace(/^http:\/\/[^/]*/i, '').split('?', 2);
  return { method, path, query: new URLSearchParams(query), httpVersion };
}

function headersOf(text: string): IncomingHttpHeaders {
  const headers: IncomingHttpHeaders = {};
  for (const line of text.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0)
      headers[line.slice(0, colon).trim().toLowerCase()] = line.slice(colon + 1).trim();
  }
  return headers;
}
