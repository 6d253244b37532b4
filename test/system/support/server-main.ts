/**
 * The servers of a lab, in one process: `node server-main.js ADDRESS HTTP_PORT`. Prints `serving`.
 *
 * | port | what |
 * |---|---|
 * | HTTP_PORT | `src/lab/file-server.ts` |
 * | + 1 | reads until the client's FIN, then answers `bytes=N sha256=HEX`: half-close |
 * | + 2 | the same, but reads nothing until SIGUSR1 |
 * | + 3 | answers a line at once, then reads until FIN and closes |
 * | + 4 | resets the connection at the first byte |
 * | + 5 | UDP: sends each datagram back |
 * | + 6 | a request is its length in four bytes and so many more; answered by `ok` after 30 ms |
 */
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { createServer, type Socket } from 'node:net';
import { startFileServer } from '../../../src/lab/file-server.ts';

const [, , address = '127.0.0.1', port = '8000'] = process.argv;
const base = Number(port);
const ANSWER_AFTER_MS = 30;

function sink(socket: Socket): void {
  const hash = createHash('sha256');
  let bytes = 0;
  socket.on('data', (chunk) => {
    hash.update(chunk);
    bytes += chunk.length;
  });
  socket.on('end', () => socket.end(`bytes=${bytes} sha256=${hash.digest('hex')}\n`));
}

function listen(offset: number, onSocket: (socket: Socket) => void): Promise<void> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: offset === 2 }, (socket) => {
    socket.on('error', () => {});
    onSocket(socket);
  });
  return new Promise((resolve) => {
    server.listen({ host: address, port: base + offset, backlog: 4096 }, resolve);
  });
}

const stalled: Socket[] = [];
process.on('SIGUSR1', () => {
  for (const socket of stalled.splice(0)) socket.resume();
});

await startFileServer(address, base);
await listen(1, sink);
await listen(2, (socket) => {
  sink(socket);
  socket.pause();
  stalled.push(socket);
});
await listen(3, (socket) => {
  socket.write('hello\n');
  socket.on('end', () => socket.end());
  socket.resume();
});
await listen(4, (socket) => {
  socket.once('data', () => socket.resetAndDestroy());
});
await listen(6, (socket) => {
  const waiting: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => {
    waiting.push(chunk);
    const bytes = Buffer.concat(waiting);
    if (bytes.length < 4 || bytes.length < 4 + bytes.readUInt32BE(0)) return;
    waiting.length = 0;
    setTimeout(() => socket.write('ok'), ANSWER_AFTER_MS);
  });
  socket.on('end', () => socket.end());
});
const echo = createSocket(address.includes(':') ? 'udp6' : 'udp4');
echo.on('message', (message, from) => echo.send(message, from.port, from.address));
echo.on('error', () => {});
await new Promise<void>((resolve) => {
  echo.bind(base + 5, address, resolve);
});
process.stdout.write('serving\n');
