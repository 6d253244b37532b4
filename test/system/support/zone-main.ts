/**
 * A name server that answers what it was given, however wrong: `node zone-main.js ADDRESS FILE`. FILE is JSON, records of
 * dns-packet by `NAME TYPE`: those of the answer, and of what stands beside it. What is not there has no data. Prints
 * `serving`, then each question.
 */
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import type { Answer } from 'dns-packet';
import { HTTPS, replyBytes, unpack } from '../../services/dns/dns-wire.ts';

export interface ZoneReply {
  readonly answers: Answer[];
  readonly additionals?: Answer[];
}
export type Zone = Readonly<Record<string, ZoneReply>>;

const [, , address = '', file = ''] = process.argv;
/** Bytes in JSON are as `Buffer.toJSON` makes them. */
const zone: Zone = JSON.parse(readFileSync(file, 'utf8'), (_key, value) =>
  value?.type === 'Buffer' ? Buffer.from(value) : value,
);
const socket = createSocket('udp4');
socket.on('message', (query, from) => {
  const { name = '', type = 'A' } = unpack(query).questions?.[0] ?? {};
  const key = `${name.toLowerCase()} ${type === HTTPS ? 'HTTPS' : type}`;
  process.stdout.write(`${key}\n`);
  socket.send(replyBytes(query, zone[key] ?? {}), from.port, from.address);
});
socket.bind(53, address, () => process.stdout.write('serving\n'));
