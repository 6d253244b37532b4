/** Two kernels on one segment, whose frames the stack only carries: of either family, and whatever their cards leave undone. */
import assert from 'node:assert/strict';
import { LAB, systemSuite } from '../support/requirements.ts';
import { type Guest, Lab, type MessageBridge } from './support/lab.ts';
import { until } from './support/until.ts';

const SIZE = 20_000_000;
const NOISE = `head -c ${SIZE} /dev/urandom`;
const TCP_PORT = '9000';
const UDP_PORT = '9001';
const NO_OFFLOADS = ['tx', 'off', 'tso', 'off', 'gso', 'off', 'gro', 'off'];

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

interface Attached {
  readonly guest: Guest;
  readonly link: string;
}

/** `krun`: a `vfkit:` link whose frames have sums and segments undone, without a word. */
type Kind = 'tap' | 'qemu' | 'bess' | 'vfkit' | 'krun' | 'dgram' | 'fd';

const PAIRS: readonly (readonly [readonly [Kind, Kind], boolean])[] = [
  [['tap', 'tap'], true],
  [['tap', 'tap'], false],
  [['tap', 'qemu'], true],
  [['tap', 'qemu'], false],
  [['qemu', 'qemu'], true],
  [['krun', 'krun'], true],
  [['krun', 'tap'], true],
  [['krun', 'tap'], false],
  [['krun', 'qemu'], true],
  [['vfkit', 'bess'], true],
  [['fd', 'tap'], true],
  [['dgram', 'krun'], true],
];
let sockets = 0;

function linkOf(kind: Exclude<Kind, 'tap' | 'qemu'>, socket: string, own: string): string {
  switch (kind) {
    case 'bess':
      return `bess:${socket}`;
    case 'vfkit':
    case 'krun':
      return `vfkit:${socket}`;
    case 'dgram':
      return `qemu-dgram:${socket},${own}`;
    case 'fd':
      return `fd-socket:${socket}`;
  }
}

async function configure(guest: Guest, number: number, offloads: boolean): Promise<void> {
  if (!offloads) await guest.run('ethtool', '-K', 'eth0', ...NO_OFFLOADS);
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

systemSuite('guest to guest', [...LAB, 'gcc', 'ping', 'nc', 'ethtool'], function () {
  this.timeout(120_000);
  let lab: Lab;
  beforeEach(async () => {
    lab = await Lab.open();
  });
  afterEach(() => lab.close());

  for (const [kinds, offloads] of PAIRS) {
    const title = `${kinds.join(' and ')}, ${offloads ? 'with' : 'without'} offloads`;
    it(`${title}: pings, TCP and UDP pass whole, both ways, in both families`, async () => {
      const [one, two] = [await addGuest(kinds[0]), await addGuest(kinds[1])];
      const links = [one, two].flatMap(({ link }) => ['--listen', link]);
      const daemon = await lab.startDaemon(links);
      await one.guest.plug();
      await two.guest.plug();
      await exchange(one.guest, two.guest, offloads);
      assert.doesNotMatch(await daemon.request('/metrics'), /bad-offload/);
    });
  }

  const addGuest = async (kind: Kind): Promise<Attached> => {
    if (kind === 'tap') {
      const guest = await lab.addGuest();
      return { guest, link: guest.link };
    }
    const number = ++sockets;
    const socket = lab.path(`link-${number}.sock`);
    if (kind === 'qemu') {
      return { guest: await lab.addGuest({ bridgeTo: socket }), link: `qemu:${socket}` };
    }
    const own = lab.path(`own-${number}.sock`);
    const messages: MessageBridge = {
      kind: kind === 'krun' ? 'vfkit' : kind,
      ...(kind === 'bess' || kind === 'fd' ? {} : { own }),
      undone: kind === 'krun',
    };
    return {
      guest: await lab.addGuest({ bridgeTo: socket, messages }),
      link: linkOf(kind, socket, own),
    };
  };

  async function exchange(one: Guest, two: Guest, offloads: boolean): Promise<void> {
    await configure(one, 1, offloads);
    await configure(two, 2, offloads);
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
  }
});
