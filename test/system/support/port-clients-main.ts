/**
 * Servers and clients for published ports: `node port-clients-main.js COMMAND ...`.
 *
 * | command | does | prints |
 * |---|---|---|
 * | `peer-names PORT` | a server that sends each client its address | |
 * | `until-end PORT TEXT` | connects, sends TEXT, reads to the end | `got`: what came, or the error |
 * | `half-closed PORT` | connects, reads what comes, then ends | `got` |
 * | `reset PORT` | connects, waits a moment, resets | `got`: done |
 * | `udp ADDRESS PORT BYTES` | a datagram there and back | `got`: equal |
 * | `publish SOCKET COUNT` | so many ports through the API, and withdraws them | `upMs`, `downMs`, `failed` |
 * | `list SOCKET COUNT` | so many questions for the ports | `askedMs` |
 * | `lease WHERE PORT` | publishes with a lease, and stays | `held` |
 * | `hostile ADDRESS` | 300 connections to port 80: silent, half a request, garbage | `refused`, `open` |
 */
import { createSocket } from 'node:dgram';
import { Agent, request } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const [, , command, first = '', second = '', third = ''] = process.argv;
const HOST = '127.0.0.1';
/** Below the ports that the lab's clients are given: one of theirs may be in use. */
const FIRST_PORT = 4_000;
const say = (what: object): void => {
  process.stdout.write(`${JSON.stringify(what)}\n`);
};

function outcome(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.on('error', (error) => {
      text = 'code' in error ? String(error.code) : error.message;
    });
    socket.on('close', () => resolve(text));
  });
}

async function udp(address: string, port: number, size: number): Promise<string> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  const sent = Buffer.alloc(size, 'abcdefghijk');
  const got = await Promise.race([
    new Promise<string>((resolve) => {
      socket.on('message', (bytes) => resolve(bytes.equals(sent) ? 'equal' : 'different'));
      socket.send(sent, port, address);
    }),
    sleep(5_000, 'no answer', { ref: false }),
  ]);
  socket.close();
  return got;
}

function ask(
  agent: Agent,
  socketPath: string,
  method: string,
  path: string,
  body?: object,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { host: 'localhost', 'content-type': 'application/json' };
    const asked = request({ agent, socketPath, method, path, headers }, (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => resolve(text));
    });
    asked.on('error', reject);
    asked.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

async function list(socketPath: string, count: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  const started = performance.now();
  const asked = Array.from({ length: count }, () => ask(agent, socketPath, 'GET', '/v1/ports'));
  await Promise.all(asked);
  agent.destroy();
  say({ askedMs: Math.round(performance.now() - started) });
}

async function publish(socketPath: string, count: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  const numbers = Array.from({ length: count }, (_, i) => i);
  const started = performance.now();
  const made = await Promise.all(
    numbers.map(async (i) =>
      JSON.parse(
        await ask(agent, socketPath, 'POST', '/v1/ports', {
          hostPort: FIRST_PORT + i,
          guestPort: 80,
        }),
      ),
    ),
  );
  const up = performance.now();
  await Promise.all(made.map(({ id }) => ask(agent, socketPath, 'DELETE', `/v1/ports/${id}`)));
  const down = performance.now();
  agent.destroy();
  const failed = made.filter(({ hostPort }) => typeof hostPort !== 'number').length;
  say({ upMs: Math.round(up - started), downMs: Math.round(down - up), failed });
}

function lease(where: string, hostPort: number): void {
  const socket = where.includes('/') ? connect(where) : connect(80, where);
  const body = JSON.stringify({ hostPort, guestPort: 80, lease: 'connection' });
  socket.write(
    `POST /v1/ports HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  socket.on('data', (bytes) => {
    process.stdout.write(`${bytes}`.startsWith('HTTP/1.1 201') ? 'held\n' : `${bytes}\n`);
  });
}

async function hostile(address: string): Promise<void> {
  const texts = ['', 'POST /v1/ports HTTP/1.1\r\nHost: x\r\nContent-Le', '\0\xff garbage \r\n\r\n'];
  let refused = 0;
  const sockets = Array.from({ length: 300 }, (_, i) => {
    const socket = connect(80, address);
    socket.on('connect', () => socket.write(texts[i % 3] ?? ''));
    socket.on('error', () => {});
    socket.on('close', () => {
      refused++;
    });
    socket.resume();
    return socket;
  });
  await sleep(1_500);
  say({ refused, open: sockets.length - refused });
  for (const socket of sockets) socket.resetAndDestroy();
}

switch (command) {
  case 'peer-names':
    createServer((socket) => {
      socket.on('error', () => {});
      socket.end(`${(socket.remoteAddress ?? '').replace('::ffff:', '')}\n`);
    }).listen(Number(first));
    break;
  case 'until-end': {
    const socket = connect(Number(first), HOST);
    if (second !== '') socket.write(second);
    say({ got: await outcome(socket) });
    break;
  }
  case 'half-closed': {
    const socket = connect({ port: Number(first), host: HOST, allowHalfOpen: true });
    socket.once('data', () => socket.end());
    say({ got: await outcome(socket) });
    break;
  }
  case 'reset': {
    const socket = connect(Number(first), HOST);
    await sleep(300);
    socket.resetAndDestroy();
    say({ got: 'done' });
    break;
  }
  case 'udp':
    say({ got: await udp(first, Number(second), Number(third)) });
    break;
  case 'publish':
    await publish(first, Number(second));
    break;
  case 'list':
    await list(first, Number(second));
    break;
  case 'lease':
    lease(first, Number(second));
    break;
  case 'hostile':
    await hostile(first);
    break;
  default:
    throw new Error(`no such command: ${command}`);
}
