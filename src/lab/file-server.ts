/**
 * The server of the demo and the system tests: on the host's loopback for what guests fetch, and in the
 * guest for what is fetched through a published port.
 *
 * | request | answer |
 * |---|---|
 * | `GET /bytes/N?seed=S` | N bytes of the seeded stream S |
 * | `POST /sink` | reads the body; `bytes=N sha256=HEX` |
 * | `GET /` | one line of text |
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { SeededStream } from './seeded-stream.ts';

/** Where it is, for the line of text. */
export type ServerPlace = 'host' | 'guest';

/** @returns a server that does not listen yet */
export function makeFileServer(place: ServerPlace = 'host'): Server {
  const server = createServer((request, response) => {
    answer(request, response, place);
  });
  server.keepAliveTimeout = 0;
  server.requestTimeout = 0;
  return server;
}

/**
 * @param address undefined: every address of both families, or of IPv4 where there is no other
 * @param port 0 picks one
 * @returns a server that listens
 */
export function startFileServer(
  address: string | undefined,
  port: number,
  place?: ServerPlace,
): Promise<Server> {
  const server = makeFileServer(place);
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    const host = address === undefined ? {} : { host: address };
    server.listen({ ...host, port, backlog: 4096 }, () => resolve(server));
  });
}

function answer(request: IncomingMessage, response: ServerResponse, place: ServerPlace): void {
  const url = new URL(request.url ?? '/', 'http://server');
  const size = /^\/bytes\/(\d+)$/.exec(url.pathname)?.[1];
  if (request.method === 'GET' && size !== undefined) {
    sendBytes(response, Number(url.searchParams.get('seed') ?? 0), Number(size));
  } else if (request.method === 'POST' && url.pathname === '/sink') {
    receive(request, response);
  } else if (request.method === 'GET' && url.pathname === '/') {
    response.end(`hello from the ${place}\n`);
  } else {
    response.statusCode = 404;
    response.end('not found\n');
  }
}

function sendBytes(response: ServerResponse, seed: number, sizeBytes: number): void {
  response.setHeader('content-type', 'application/octet-stream');
  response.setHeader('content-length', sizeBytes);
  const stream = new SeededStream(seed, sizeBytes);
  const pump = (): void => {
    for (let bytes = stream.next(); bytes !== undefined; bytes = stream.next()) {
      if (!response.write(bytes)) return;
    }
    response.end();
  };
  response.on('drain', pump);
  pump();
}

function receive(request: IncomingMessage, response: ServerResponse): void {
  const hash = createHash('sha256');
  let bytes = 0;
  request.on('data', (chunk: Uint8Array) => {
    hash.update(chunk);
    bytes += chunk.length;
  });
  request.on('end', () => response.end(`bytes=${bytes} sha256=${hash.digest('hex')}\n`));
}
