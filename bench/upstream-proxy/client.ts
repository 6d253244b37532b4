/**
 * A guest's client, which knows of a proxy or does not: `node client.js KIND ORIGIN SECONDS [PROXY]`. Prints one number:
 * Gbit/s of one connection, or connections or requests a second.
 *
 * | kind | what it does |
 * |---|---|
 * | `tunnel-bulk`, `direct-bulk` | reads port 443, or 5001, in one connection |
 * | `tunnel-rate`, `direct-rate` | connections to port 444, or 5002, one after the other in each of {@link AT_ONCE} places |
 * | `http-bulk` | one request for a body without end |
 * | `http-rate` | requests, one after the other in each place, each on a connection of its own |
 * | `http-kept` | the same on kept connections |
 */
import { Agent, get, type RequestOptions } from 'node:http';
import { connect, type Socket } from 'node:net';

const AT_ONCE = 32;
const PROXY_PORT = 3128;
const [, , kind = '', origin = '', seconds = '1', proxy] = process.argv;
const PORTS: Readonly<Record<string, number>> = {
  ...{ 'tunnel-bulk': 443, 'tunnel-rate': 444, 'direct-bulk': 5001, 'direct-rate': 5002 },
};
const WARM_MS = 200;
const [what = '', how = ''] = kind.split('-');
const port = PORTS[kind] ?? 80;
/** What follows it is neither TLS nor HTTP. */
const HELLO = Buffer.from([1]);

let count = 0;

/** Connected to the origin, and whatever a proxy has answered is read. */
function open(onOpen: (socket: Socket) => void): Socket {
  const isAsked = proxy !== undefined && what === 'tunnel';
  const to = isAsked ? { host: proxy, port: PROXY_PORT } : { host: origin, port };
  const socket = connect({ ...to, noDelay: true }, () => {
    if (!isAsked) {
      onOpen(socket);
      return;
    }
    let head = '';
    const onAnswer = (bytes: Buffer): void => {
      head += bytes.toString('latin1');
      if (!head.includes('\r\n\r\n')) return;
      if (!/^HTTP\/1\.[01] 200 /.test(head)) throw new Error(head);
      socket.off('data', onAnswer);
      onOpen(socket);
    };
    socket.on('data', onAnswer);
    socket.write(`CONNECT ${origin}:${port} HTTP/1.1\r\nHost: ${origin}:${port}\r\n\r\n`);
  });
  return socket;
}

function bulk(): void {
  open((socket) => {
    socket.on('data', (bytes: Buffer) => {
      count += bytes.length;
    });
    socket.write(HELLO);
  });
}

function rate(): void {
  const socket = open((opened) => opened.write(HELLO));
  let got = 0;
  socket.on('data', (bytes: Buffer) => {
    got = bytes.length;
  });
  socket.on('close', () => {
    if (got > 0) count++;
    rate();
  });
}

const request = (path: string, agent: Agent): RequestOptions =>
  proxy === undefined
    ? { host: origin, port: 80, path, agent }
    : {
        host: proxy,
        port: PROXY_PORT,
        path: `http://${origin}${path}`,
        agent,
        headers: { host: origin },
      };

function httpBulk(): void {
  get(request('/bulk', new Agent()), (answer) => {
    if (answer.statusCode !== 200) throw new Error(`status ${answer.statusCode}`);
    answer.on('data', (bytes: Buffer) => {
      count += bytes.length;
    });
  });
}

/** tinyproxy ends some connections without an answer: those are not counted. */
function httpRate(agent: Agent): void {
  get(request('/', agent), (answer) => {
    answer.resume().on('end', () => {
      if (answer.statusCode === 200) count++;
      httpRate(agent);
    });
  }).on('error', () => httpRate(agent));
}

if (what === 'http' && how === 'bulk') httpBulk();
else if (how === 'bulk') bulk();
else if (what !== 'http') for (let i = 0; i < AT_ONCE; i++) rate();
else {
  const keepAlive = how === 'kept';
  for (let i = 0; i < AT_ONCE; i++) httpRate(new Agent({ keepAlive, maxSockets: 1 }));
}

setTimeout(() => {
  const [from, began] = [count, performance.now()];
  setTimeout(() => {
    const s = (performance.now() - began) / 1_000;
    const each = (count - from) / s;
    process.stdout.write(`${how === 'bulk' ? (each * 8) / 1e9 : each}\n`);
    process.exit();
  }, Number(seconds) * 1_000);
}, WARM_MS);
