/**
 * Asks a resolver for `n0.DOMAIN`, `n1.DOMAIN`, ... in turn, one query after the other: `node dns-client.js SERVER DOMAIN`.
 * Each line of its input is `NAMES QUERIES`, and is answered by one of JSON: the median time of a query, in us.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

const [, , server = '', domain = ''] = process.argv;
const PORT = 53;
const GIVE_UP_MS = 5_000;

function query(id: number, names: number): Buffer {
  const labels = `n${id % names}.${domain}`.split('.');
  const name = labels.flatMap((label) => [label.length, ...Buffer.from(label)]);
  return Buffer.from([id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...name, 0, 0, 1, 0, 1]);
}

const socket = createSocket('udp4');

async function run(names: number, queries: number): Promise<number> {
  const asked = Array.from({ length: Math.min(names, queries) }, (_, n) => query(n, names));
  const times = new Float64Array(queries);
  for (let n = 0; n < queries; n++) {
    const timer = setTimeout(() => process.exit(1), GIVE_UP_MS);
    const began = performance.now();
    await new Promise((resolve) => {
      socket.once('message', resolve);
      socket.send(asked[n % asked.length] ?? '');
    });
    times[n] = (performance.now() - began) * 1_000;
    clearTimeout(timer);
  }
  return times.sort()[queries >> 1] ?? 0;
}

socket.connect(PORT, server);
await once(socket, 'connect');
for await (const line of createInterface(process.stdin)) {
  const [names = 1, queries = 1] = line.split(' ').map(Number);
  process.stdout.write(`${JSON.stringify({ p50Us: await run(names, queries) })}\n`);
}
socket.close();
