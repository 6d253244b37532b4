/** Two kernels on one segment, whose frames the stack only carries: of either family, and whatever their cards leave undone. */
import assert from 'node:assert/strict';
import { LAB, systemSuite } from '../support/requirements.ts';
import { type Guest, Lab } from './support/lab.ts';
import { until } from './support/until.ts';

const SIZE = 20_000_000;
const NOISE = `head -c ${SIZE} /dev/urandom`;
const TCP_PORT = '9000';
const UDP_PORT = '9001';

interface Address {
  readonly name: string;
  readonly nc: '-4' | '-6';
  /** Without the last part: the guest's number. */
  readonly prefix: string;
  readonly bits: number;
}

const ADDRESSES: readonly Address[] = [
  { name: 'IPv4', nc: '-4', prefix: '10.9.0.', bits: 24 },
  { name: 'IPv6', nc: '-6', prefix: 'fd09::', bits: 64 },
];

async function configure(guest: Guest, number: number): Promise<void> {
  await guest.run('ip', 'link', 'set', 'eth0', 'up');
  for (const { nc, prefix, bits } of ADDRESSES) {
    const nodad = nc === '-6' ? ['nodad'] : [];
    await guest.run('ip', 'addr', 'add', `${prefix}${number}/${bits}`, 'dev', 'eth0', ...nodad);
  }
}

const listens = (guest: Guest, kind: string, port: string): Promise<true> =>
  until(`a listener on ${port}`, async () =>
    (await guest.run('ss', '-Hln', kind)).includes(`:${port} `),
  );

/** The digests of what was sent and of what came. */
async function transfer(from: Guest, to: Guest, nc: string, address: string): Promise<string[]> {
  const sink = to.run('sh', '-c', `nc ${nc} -l ${TCP_PORT} | sha256sum`);
  await listens(to, '-t', TCP_PORT);
  const send = `${NOISE} | tee /dev/fd/3 | nc ${nc} -N -w 20 ${address} ${TCP_PORT}`;
  const sent = from.run('sh', '-c', `{ ${send} >/dev/null; } 3>&1 | sha256sum`);
  return await Promise.all([sent, sink]);
}

/** Datagrams of several lengths, the longest to be fragmented, go there and back. */
async function echo(from: Guest, to: Guest, nc: string, address: string): Promise<void> {
  const server = to.start([process.execPath, '-e', ECHO, '--', nc, UDP_PORT]);
  await server.prints(/ready/);
  assert.equal(await from.run(process.execPath, '-e', ASK, '--', nc, address, UDP_PORT), 'good\n');
  await server.stop();
}

const OPEN = `const { createSocket } = require('node:dgram');
const [family, ...args] = process.argv.slice(1);
const socket = createSocket(family === '-6' ? 'udp6' : 'udp4');
`;
const ECHO = `${OPEN}socket.on('message', (data, { port, address }) => socket.send(data, port, address));
socket.bind(Number(args[0]), () => console.log('ready'));
`;
const ASK = `${OPEN}const [address, port] = args;
const lengths = [0, 1, 99, 1200, 1452, 4000, 9000];
const next = () => {
  const sent = Buffer.alloc(lengths.shift(), 'hawser ');
  socket.send(sent, Number(port), address);
  socket.once('message', (data) => {
    if (!data.equals(sent)) throw new Error('came back otherwise: ' + sent.length);
    if (lengths.length > 0) return next();
    console.log('good');
    socket.close();
  });
};
setTimeout(() => { throw new Error('no answer, still to come: ' + lengths); }, 10_000).unref();
next();
`;

systemSuite('guest to guest', [...LAB, 'gcc', 'ping', 'nc'], function () {
  this.timeout(120_000);
  let lab: Lab;
  beforeEach(async () => {
    lab = await Lab.open();
  });
  afterEach(() => lab.close());

  for (const kind of ['two taps', 'a tap and a qemu link'] as const) {
    it(`${kind}: pings, TCP and UDP pass whole, both ways, in both families`, async () => {
      const socket = lab.path('qemu.sock');
      const one = await lab.addGuest();
      const two = await lab.addGuest(kind === 'two taps' ? {} : { bridgeTo: socket });
      const second = kind === 'two taps' ? two.link : `qemu:${socket}`;
      const daemon = await lab.startDaemon(['--listen', one.link, '--listen', second]);
      await two.plug();
      await configure(one, 1);
      await configure(two, 2);
      for (const { name, nc, prefix } of ADDRESSES) {
        for (const [from, to, target] of [
          [one, two, `${prefix}2`],
          [two, one, `${prefix}1`],
        ] as const) {
          const pinged = await from.run('ping', nc, '-c', '3', '-i', '0.05', '-W', '2', target);
          assert.match(pinged, /3 received/, name);
          const [sent, came] = await transfer(from, to, nc, target);
          assert.equal(came, sent, name);
          await echo(from, to, nc, target);
        }
      }
      assert.doesNotMatch(await daemon.request('/metrics'), /bad-offload/);
    });
  }
});
