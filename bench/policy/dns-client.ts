/**
 * Asks a resolver for `n0.DOMAIN`, `n1.DOMAIN`, ... in turn, one query after the other: `node dns-client.js SERVER DOMAIN
 * NAMES QUERIES`. Prints JSON: queries a second, and the median time of one in us.
 */
import { createSocket } from 'node:dgram';

const [, , server = '', domain = '', names = '1', queries = '1'] = process.argv;
const PORT = 53;
const GIVE_UP_MS = 5_000;

function query(id: number): Buffer {
  const labels = `n${id % Number(names)}.${domain}`.split('.');
  const name = labels.flatMap((label) => [label.length, ...Buffer.from(label)]);
  return Buffer.from([id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...name, 0, 0, 1, 0, 1]);
}

const socket = createSocket('udp4');
const times: number[] = [];
let next = 0;
let sentAt = 0;
let timer: NodeJS.Timeout | undefined;
const ask = (): void => {
  clearTimeout(timer);
  timer = setTimeout(() => process.exit(1), GIVE_UP_MS);
  sentAt = performance.now();
  socket.send(query(next & 0xffff));
};
const began = performance.now();
socket.on('message', () => {
  times.push((performance.now() - sentAt) * 1_000);
  next++;
  if (next < Number(queries)) {
    ask();
    return;
  }
  const rate = (1_000 * times.length) / (performance.now() - began);
  const p50Us = times.toSorted((a, b) => a - b)[times.length >> 1] ?? 0;
  process.stdout.write(`${JSON.stringify({ rate, p50Us })}\n`);
  process.exit();
});
socket.connect(PORT, server, ask);
