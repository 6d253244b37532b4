/**
 * Servers that say what reached them: `node named-main.js ADDRESS KEY CERT`. Prints `serving`, and when a connection has
 * ended `PORT BYTES`, the bytes that it brought.
 *
 * | port | what |
 * |---|---|
 * | 80 | HTTP: answers each request with its host |
 * | 443 | TLS with HTTP/1 in it |
 * | 8443 | the same, but has clients say hello again (HelloRetryRequest) |
 * | 443, UDP | counts |
 * | 25 | speaks first, sends lines back |
 * | 9000 | reads to the end, then answers with the number of bytes |
 */
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { createServer as createHttp, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { createServer, type Server, type Socket } from 'node:net';

const [, , address = '', key = '', cert = ''] = process.argv;

const answer = (request: IncomingMessage, response: ServerResponse): void => {
  request.resume().on('end', () => response.end(`host ${request.headers.host}\n`));
};
const http = createHttp(answer);
const identity = { key: readFileSync(key), cert: readFileSync(cert) };
const https = createHttps(identity, answer);
const retrying = createHttps({ ...identity, ecdhCurve: 'P-384' }, answer);
http.on('clientError', (_error, socket) => socket.destroy());
https.on('tlsClientError', (_error, socket) => socket.destroy());

async function listen(port: number, onSocket: (socket: Socket) => void): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on('error', () => {});
    socket.on('close', () => process.stdout.write(`${port} ${socket.bytesRead}\n`));
    onSocket(socket);
  });
  await new Promise<void>((resolve) => server.listen(port, address, resolve));
  return server;
}

await listen(80, (socket) => http.emit('connection', socket));
await listen(443, (socket) => https.emit('connection', socket));
await listen(8443, (socket) => retrying.emit('connection', socket));
await listen(25, (socket) => {
  socket.write('220 hello\r\n');
  socket.on('data', (bytes: Buffer) => socket.write(bytes));
  socket.on('end', () => socket.end());
});
await listen(9000, (socket) => {
  socket.resume().on('end', () => socket.end(`${socket.bytesRead}\n`));
});
const udp = createSocket('udp4');
udp.on('message', (bytes) => process.stdout.write(`udp ${bytes.length}\n`));
if (process.argv[5] !== 'quic') udp.bind(443, address);
process.stdout.write('serving\n');
