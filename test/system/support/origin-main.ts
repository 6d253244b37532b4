/**
 * What is behind a proxy: `node origin-main.js ADDRESS KEY CERT`. Prints `serving`, and for each request `HOST URL` and
 * for each other connection `PORT`.
 *
 * | port | what |
 * |---|---|
 * | 80, 8080 | HTTP and WebSocket (echo): `host HOST`, with the length of the body, `via` and the client's address; `/raw` with `Upgrade` sends back every byte behind its head; `/refuse` does not wait for a body; `Expect: 100-continue` is met, and `expects` printed, but `/early/STATUS` answers with that |
 * | 443, 8443 | the same with TLS |
 * | 25 | speaks first, and sends back what it gets |
 * | 7, UDP | sends back what it gets |
 */
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { createServer as createHttp, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { createServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';

const [, , address = '', key = '', cert = ''] = process.argv;

const answer = (request: IncomingMessage, response: ServerResponse): void => {
  const { headers, url, method } = request;
  process.stdout.write(`${headers.host} ${url}\n`);
  if (url === '/refuse') {
    response.writeHead(413, { Connection: 'close' }).end('no\n', () => request.destroy());
    return;
  }
  let length = 0;
  request.on('data', (bytes: Buffer) => {
    length += bytes.length;
  });
  request.on('end', () => {
    if (url === '/slow') return;
    const own = Object.keys(headers).filter((name) => name.startsWith('proxy-'));
    response.end(`${method} host ${headers.host} body ${length}${own.join(' ')}\n`);
  });
};
const meet = (request: IncomingMessage, response: ServerResponse): void => {
  const [, status] = /^\/early\/(\d+)$/.exec(request.url ?? '') ?? [];
  process.stdout.write('expects ');
  if (status === undefined) {
    response.writeContinue();
    answer(request, response);
  } else {
    process.stdout.write(`${request.headers.host} ${request.url}\n`);
    response.writeHead(Number(status), { 'Content-Length': 6 }).end('early\n');
  }
};
const sockets = new WebSocketServer({ noServer: true });
const upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
  process.stdout.write(`${request.headers.host} upgrade\n`);
  if (request.url === '/no') {
    socket.end('HTTP/1.1 426 No\r\nContent-Length: 3\r\n\r\nno\n');
    return;
  }
  if (request.url === '/raw') {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n');
    socket.write(head);
    socket.pipe(socket);
    return;
  }
  sockets.handleUpgrade(request, socket, head, (ws) => {
    ws.on('message', (data, isBinary) => ws.send(data, { binary: isBinary }));
  });
};
const http = createHttp(answer).on('upgrade', upgrade).on('checkContinue', meet);
const https = createHttps({ key: readFileSync(key), cert: readFileSync(cert) }, answer);
https.on('upgrade', upgrade);

async function listen(port: number, onSocket: (socket: Socket) => void): Promise<void> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on('error', () => {});
    onSocket(socket);
  });
  await new Promise<void>((resolve) => server.listen(port, address, resolve));
}

for (const port of [80, 8080]) await listen(port, (socket) => http.emit('connection', socket));
for (const port of [443, 8443]) await listen(port, (socket) => https.emit('connection', socket));
await listen(25, (socket) => {
  process.stdout.write('25\n');
  socket.write('220 hello\r\n');
  socket.pipe(socket);
});
const udp = createSocket(address.includes(':') ? 'udp6' : 'udp4');
udp.on('message', (bytes, { address: peer, port }) => udp.send(bytes, port, peer));
await new Promise<void>((resolve) => udp.bind(7, address, resolve));
process.stdout.write('serving\n');
