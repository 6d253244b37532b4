/**
 * What an engine in a guest is to its clients: `unix-service-main.js HTTP_SOCKET RAW_SOCKET`.
 *
 * HTTP: `/_ping`, `/bytes/N`, and a sum of what is sent to `/sink`. RAW: what a client sends until it ends its side is
 * answered then, by its sum; before that, nothing.
 */
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { createServer as createRawServer } from 'node:net';
import { Readable } from 'node:stream';
import { SeededStream } from '../../../src/lab/seeded-stream.ts';

const [, , httpSocket = '', rawSocket = ''] = process.argv;
const SEED = 11;

function* blocks(sizeBytes: number): Generator<Uint8Array> {
  const stream = new SeededStream(SEED, sizeBytes);
  for (let block = stream.next(); block !== undefined; block = stream.next()) yield block;
}

const http = createServer((request, response) => {
  const { url = '' } = request;
  if (url.startsWith('/bytes/')) {
    Readable.from(blocks(Number(url.slice('/bytes/'.length)))).pipe(response);
    return;
  }
  if (url === '/sink') {
    const sum = createHash('sha256');
    request.on('data', (chunk) => sum.update(chunk));
    request.on('end', () => response.end(sum.digest('hex')));
    return;
  }
  response.end('OK');
});
const raw = createRawServer({ allowHalfOpen: true }, (socket) => {
  const sum = createHash('sha256');
  socket.on('error', () => {});
  socket.on('data', (chunk) => sum.update(chunk));
  socket.on('end', () => socket.end(sum.digest('hex')));
});
http.listen(httpSocket, () => raw.listen(rawSocket, () => process.stdout.write('serving\n')));
