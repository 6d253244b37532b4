/**
 * What is behind the proxy: `node origin.js ADDRESS`. Prints `serving`.
 *
 * | port | answer |
 * |---|---|
 * | 80 | HTTP: `/bulk` has no end, everything else is two bytes |
 * | 443, 5001 | bytes without end, once the client has said something |
 * | 444, 5002 | 64 bytes and an end, likewise |
 */
import { createServer as createHttp, type ServerResponse } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';

const [, , address = '127.0.0.1'] = process.argv;
const CHUNK = Buffer.alloc(256 * 1024, 'x');
const SHORT = Buffer.alloc(64, 'x');

function pour(to: Socket | ServerResponse): void {
  const more = (): void => {
    while (!to.destroyed && to.write(CHUNK));
  };
  to.on('drain', more);
  more();
}

const onFirstBytes = (act: (socket: Socket) => void): Server =>
  createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => {});
    socket.once('data', () => {
      socket.resume();
      act(socket);
    });
  });

const http = createHttp((request, response) => {
  if (request.url?.endsWith('/bulk') === true) pour(response);
  else response.end('ok');
});
const servers: readonly (readonly [Server, number])[] = [
  [http, 80],
  ...[443, 5001].map((port) => [onFirstBytes(pour), port] as const),
  ...[444, 5002].map((port) => [onFirstBytes((socket) => socket.end(SHORT)), port] as const),
];
for (const [server, port] of servers) {
  await new Promise<void>((resolve) =>
    server.listen({ port, host: address, backlog: 4096 }, resolve),
  );
}
process.stdout.write('serving\n');
