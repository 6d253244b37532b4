/** Two kernels on one segment, whose frames the stack only carries: of either family, and whatever their cards leave undone. */
import assert from 'node:assert/strict';
import { LAB, systemSuite } from '../support/requirements.ts';
import { type Guest, Lab, type MessageBridge } from './support/lab.ts';
import { until } from './support/until.ts';
import { VM_GUEST, VmGuest } from './support/vm-guest.ts';

const SIZE = 20_000_000;
/** A machine is emulated, and sums no more in a while. */
const VM_SIZE = 4_000_000;
const LISTEN_MS = 60_000;
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

type Station = Guest | VmGuest;

interface Attached {
  readonly guest: Station;
  readonly link: string;
}

/**
 * `krun`: a `vfkit:` link whose frames have sums and segments undone, without a word. `vhost`: a machine by `vhost-user:`;
 * `plain`: one whose card takes no sums and segments undone, and leaves none.
 */
type Kind = 'tap' | 'qemu' | 'bess' | 'vfkit' | 'krun' | 'dgram' | 'fd' | 'vhost' | 'plain';

const PAIRS: readonly (readonly [readonly [Kind, Kind], boolean])[] = [
  [['tap', 'tap'], true],
  [['tap', 'tap'], false],
  [['tap', 'qemu'], true],
  [['tap', 'qemu'], false],
  [['qemu', 'qemu'], true],
  [['qemu', 'qemu'], false],
  [['krun', 'krun'], true],
  [['krun', 'tap'], true],
  [['krun', 'tap'], false],
  [['krun', 'qemu'], true],
  [['vfkit', 'bess'], true],
  [['fd', 'tap'], true],
  [['dgram', 'krun'], true],
  [['vhost', 'tap'], true],
  [['vhost', 'qemu'], true],
  [['vhost', 'vhost'], true],
  [['vhost', 'plain'], true],
  [['plain', 'tap'], false],
  [['plain', 'qemu'], false],
  [['plain', 'plain'], false],
];
type MessageKind = Exclude<Kind, 'tap' | 'qemu' | 'vhost' | 'plain'>;
let sockets = 0;

function linkOf(kind: MessageKind, socket: string, own: string): string {
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

async function configure(guest: Station, number: number, offloads: boolean): Promise<void> {
  if (!offloads) await guest.run('ethtool', '-K', 'eth0', ...NO_OFFLOADS);
  await guest.run('ip', 'link', 'set', 'eth0', 'up');
  for (const { nc, prefix, bits } of ADDRESSES) {
    const nodad = nc === '-6' ? ['nodad'] : [];
    await guest.run('ip', 'addr', 'add', `${prefix}${number}/${bits}`, 'dev', 'eth0', ...nodad);
  }
}

const listens = (guest: Station, kind: string, port: string): Promise<true> =>
  until(
    `a listener on ${port}`,
    async () => (await guest.run('ss', '-Hln', kind)).includes(`:${port} `),
    LISTEN_MS,
  );

/** The digests of what was sent and of what came. */
async function transfer(
  from: Station,
  to: Station,
  nc: string,
  address: string,
): Promise<string[]> {
  const sink = to.run('bash', '-c', `nc ${nc} -l ${TCP_PORT} | sha256sum`);
  await listens(to, '-t', TCP_PORT);
  const size = [from, to].some((one) => one instanceof VmGuest) ? VM_SIZE : SIZE;
  const send = `head -c ${size} /dev/urandom | tee /dev/fd/3 | nc ${nc} -N -w 20 ${address} ${TCP_PORT}`;
  const sent = from.run('bash', '-c', `{ ${send} >/dev/null; } 3>&1 | sha256sum`);
  return await Promise.all([sent, sink]);
}

/** Datagrams of several lengths, the longest to be fragmented, go there and back. */
async function echo(from: Station, to: Station, nc: string, address: string): Promise<void> {
  const echoing = to.run('bash', '-c', ECHO, 'bash', nc, UDP_PORT);
  await listens(to, '-u', UDP_PORT);
  await Promise.all([from.run('bash', '-c', ASK, 'bash', address, UDP_PORT), echoing]);
}

const LENGTHS = [1, 99, 1200, 1452, 4000, 9000];
/** Ends with the datagram after those. */
const ECHO = `set -e
pipe=$(mktemp -u)
mkfifo $pipe
cat $pipe | nc $1 -u -l -W ${LENGTHS.length + 1} $2 >$pipe
rm $pipe`;
const ASK = `set -e
sent=$(mktemp) came=$(mktemp)
exec 3<>/dev/udp/$1/$2
for len in ${LENGTHS.join(' ')}; do
  head -c $len /dev/urandom >$sent
  dd if=$sent bs=$len count=1 2>/dev/null >&3
  timeout 30 dd of=$came bs=65536 count=1 2>/dev/null <&3
  cmp $sent $came
done
echo end >&3
rm $sent $came`;

systemSuite('guest to guest', [...LAB, 'gcc', ...VM_GUEST], function () {
  this.timeout(300_000);
  let lab: Lab;
  let machines: VmGuest[];
  beforeEach(async () => {
    lab = await Lab.open();
    machines = [];
  });
  afterEach(async () => {
    await Promise.all(machines.map((machine) => machine.close()));
    await lab.close();
  });

  for (const [kinds, offloads] of PAIRS) {
    const title = `${kinds.join(' and ')}, ${offloads ? 'with' : 'without'} offloads`;
    it(`${title}: pings, TCP and UDP pass whole, both ways, in both families`, async () => {
      const [one, two] = [await addGuest(kinds[0]), await addGuest(kinds[1])];
      const args = [one, two].flatMap(({ link }) => ['--listen', link]);
      const daemon = await lab.startDaemon([
        ...args,
        ...machines.flatMap(({ publish }) => publish),
      ]);
      await Promise.all([one.guest.plug(), two.guest.plug()]);
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
    if (kind === 'vhost' || kind === 'plain') {
      const guest = new VmGuest(lab, machines.length + 1, { offloads: kind === 'vhost' });
      machines.push(guest);
      return { guest, link: guest.link };
    }
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

  async function exchange(one: Station, two: Station, offloads: boolean): Promise<void> {
    await configure(one, 1, offloads);
    await configure(two, 2, offloads);
    for (const { name, nc, prefix } of ADDRESSES) {
      for (const [from, to, target] of [
        [one, two, `${prefix}2`],
        [two, one, `${prefix}1`],
      ] as const) {
        const pinged = await from.run('ping', nc, '-c', '3', '-i', '0.05', '-W', '10', target);
        assert.match(pinged, /3 received/, name);
        const [sent, came] = await transfer(from, to, nc, target);
        assert.equal(came, sent, name);
        await echo(from, to, nc, target);
      }
    }
  }
});
