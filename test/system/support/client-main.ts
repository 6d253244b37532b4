/**
 * Programs for a lab's guest: `node client-main.js COMMAND ...`. Each prints one line of JSON.
 *
 * | command | does | prints |
 * |---|---|---|
 * | `many URL COUNT BYTES` | COUNT downloads at once, each with a seed of its own | `good`, `bad`, `errors` |
 * | `scan ADDRESS` | connects to ports 1..65535 | `open` (list), `refused`, `other` |
 * | `udp ADDRESS PORT BYTES` | one datagram there and back | `equal` |
 * | `requests ADDRESS PORT COUNT` | requests of 2 to 5 KB, each after the answer to the one before | `answered` |
 */
import { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { get } from 'node:http';
import { connect } from 'node:net';
import { seededSha256 } from '../../../src/lab/seeded-stream.ts';

const SCAN_AT_ONCE = 500;
const LAST_PORT = 65_535;

const say = (what: object): void => {
  process.stdout.write(`${JSON.stringify(what)}\n`);
};

function fetchSum(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false }, (response) => {
      const hash = createHash('sha256');
      response.on('data', (chunk) => hash.update(chunk));
      response.on('end', () => resolve(hash.digest('hex')));
      response.once('error', reject);
    });
    request.once('error', reject);
  });
}

async function many(url: string, count: number, bytes: number): Promise<void> {
  let bad = 0;
  let good = 0;
  const errors: Record<string, number> = {};
  const one = async (seed: number): Promise<void> => {
    try {
      const sum = await fetchSum(`${url}/bytes/${bytes}?seed=${seed}`);
      if (sum === seededSha256(seed, bytes)) good++;
      else bad++;
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
      errors[code] = (errors[code] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: count }, (_, i) => one(i % 16)));
  say({ good, bad, errors });
}

async function requests(address: string, port: number, count: number): Promise<void> {
  const socket = connect({ host: address, port, noDelay: true });
  await once(socket, 'connect');
  for (let i = 0; i < count; i++) {
    const request = Buffer.alloc(2000 + ((i * 997) % 3000));
    request.writeUInt32BE(request.length - 4);
    socket.write(request);
    await once(socket, 'data');
  }
  socket.end();
  say({ answered: count });
}

async function scan(address: string): Promise<void> {
  const open: number[] = [];
  let refused = 0;
  const other: Record<string, number> = {};
  let next = 1;
  const probe = (port: number): Promise<void> =>
    new Promise((resolve) => {
      const socket = connect({ host: address, port, noDelay: true });
      socket.once('connect', () => {
        open.push(port);
        socket.resetAndDestroy();
        resolve();
      });
      socket.once('error', (error) => {
        const code = 'code' in error ? String(error.code) : error.message;
        if (code === 'ECONNREFUSED') refused++;
        else other[code] = (other[code] ?? 0) + 1;
        socket.destroy();
        resolve();
      });
    });
  const worker = async (): Promise<void> => {
    while (next <= LAST_PORT) await probe(next++);
  };
  await Promise.all(Array.from({ length: SCAN_AT_ONCE }, worker));
  say({ open: open.sort((a, b) => a - b), refused, other });
}

function udp(address: string, port: number, bytes: number): void {
  const socket = createSocket('udp4');
  const sent = Buffer.alloc(bytes);
  for (let i = 0; i < bytes; i++) sent[i] = (i * 31) >>> 3;
  const timer = setTimeout(() => {
    say({ error: 'no answer' });
    socket.close();
  }, 5000);
  socket.on('message', (got) => {
    clearTimeout(timer);
    say({ equal: got.equals(sent) });
    socket.close();
  });
  socket.on('error', (error) => {
    clearTimeout(timer);
    say({ error: error.message });
    socket.close();
  });
  socket.send(sent, port, address);
}

const [, , name, first = '', second = '', third = ''] = process.argv;
if (name === 'many') await many(first, Number(second), Number(third));
if (name === 'scan') await scan(first);
if (name === 'requests') await requests(first, Number(second), Number(third));
if (name === 'udp') udp(first, Number(second), Number(third));
