/** What arrives outside, read off the wire by tcpdump, and a mark in it: a datagram that the policy of a suite allows. */
import type { Guest, Lab } from './lab.ts';
import type { Background } from './processes.ts';
import { until } from './until.ts';

/** Where the marks go. */
export const MARK_ADDRESS = '198.18.0.3';
export const MARK_PORT = 5000;

const SEND = `const family = process.argv[1].includes(':') ? 'udp6' : 'udp4';
  const s = require('dgram').createSocket(family);
  s.on('error', (e) => { console.log(e.code); process.exit(); });
  s.connect(+process.argv[2], process.argv[1], () => s.send('x', () => setTimeout(() => {
    console.log('silence'); process.exit(); }, +process.argv[3])));`;

/** @returns the code of the error within `waitMs`, or `silence` */
export const sendUdp = async (
  guest: Guest,
  address: string,
  port: number,
  waitMs = 0,
): Promise<string> =>
  (await guest.run(process.execPath, '-e', SEND, address, `${port}`, `${waitMs}`)).trim();

export async function startWire(lab: Lab): Promise<Background> {
  const wire = lab.outside.start(['tcpdump', '-l', '-n', '--immediate-mode', '-i', 'up0']);
  await until('tcpdump', () => (/listening on/.test(wire.stderr) ? true : undefined));
  return wire;
}

/** Whatever the guest has sent before, and may arrive, has arrived: its order is kept. */
export async function settled(wire: Background, guest: Guest): Promise<void> {
  const mark = new RegExp(`> ${MARK_ADDRESS}\\.${MARK_PORT}: UDP`, 'g');
  const before = (wire.stdout.match(mark) ?? []).length;
  await sendUdp(guest, MARK_ADDRESS, MARK_PORT);
  await until('the mark', () =>
    (wire.stdout.match(mark) ?? []).length > before ? true : undefined,
  );
}
