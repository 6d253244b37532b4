/** Three kernels on one segment: what they say of the groups of IPv4 that they joined is heard. */
import assert from 'node:assert/strict';
import { LAB, systemSuite } from '../support/requirements.ts';
import { type Guest, Lab } from './support/lab.ts';
import { until } from './support/until.ts';

const GROUP = '239.1.2.3';
const OTHER_GROUP = '239.9.9.9';
const PORT = '5000';
/** Reports count ten seconds after the first question. */
const LEARNED_MS = 60_000;

const JOIN = `const socket = require('node:dgram').createSocket('udp4');
const [group, port, address] = process.argv.slice(1);
socket.on('message', () => console.log('heard'));
socket.bind(Number(port), () => { socket.addMembership(group, address); console.log('ready'); });
`;
const SEND = `const socket = require('node:dgram').createSocket('udp4');
const [group, port, address] = process.argv.slice(1);
socket.bind(0, address, () => {
  socket.setMulticastInterface(address);
  let left = 10;
  const timer = setInterval(() => {
    socket.send('hello', Number(port), group);
    if (--left === 0) { clearInterval(timer); socket.close(); }
  }, 100);
});
`;

const addressOf = (number: number): string => `10.9.0.${number}`;

/** Whether a frame to the group comes within a while. */
async function hears(guest: Guest): Promise<boolean> {
  const filter = ['-c', '1', '-ni', 'eth0', 'dst', 'host', GROUP];
  const { status } = await guest.try('timeout', '2', 'tcpdump', ...filter);
  return status === 0;
}

systemSuite('groups of IPv4', [...LAB, 'tcpdump'], function () {
  this.timeout(120_000);
  let lab: Lab;
  beforeEach(async () => {
    lab = await Lab.open();
  });
  afterEach(() => lab.close());

  it('a datagram to a group is heard by who joined it, and not by another', async () => {
    const guests = [await lab.addGuest(), await lab.addGuest(), await lab.addGuest()] as const;
    const links = guests.flatMap(({ link }) => ['--listen', link]);
    await lab.startDaemon([
      ...links,
      '--subnet',
      '10.9.0.0/24',
      '--gateway',
      '10.9.0.200',
      '--host-ip',
      'none',
    ]);
    for (const [i, guest] of guests.entries()) {
      await guest.run('ip', 'link', 'set', 'eth0', 'up');
      await guest.run('ip', 'addr', 'add', `${addressOf(i + 1)}/24`, 'dev', 'eth0');
      await guest.run('ip', 'route', 'add', '224.0.0.0/4', 'dev', 'eth0');
    }
    const [sender, member, other] = guests;
    const join = (guest: Guest, number: number, group: string) =>
      guest.start([process.execPath, '-e', JOIN, '--', group, PORT, addressOf(number)]);
    const joined = [join(member, 2, GROUP), join(other, 3, OTHER_GROUP)];
    for (const one of joined) await one.prints(/ready/);
    await until(
      'a datagram that only the member hears',
      async () => {
        const sending = sender.run(process.execPath, '-e', SEND, '--', GROUP, PORT, addressOf(1));
        const heard = await Promise.all([hears(member), hears(other)]);
        await sending;
        return heard[0] && !heard[1];
      },
      LEARNED_MS,
    );
    assert.match(joined[0]?.stdout ?? '', /heard/);
  });
});
