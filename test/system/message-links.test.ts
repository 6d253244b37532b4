/** Real kernels behind sockets that keep frames whole, one frame a message: leases, both families, bulk, restarts of either side. */
import assert from 'node:assert/strict';
import { LAB, systemSuite } from '../support/requirements.ts';
import { download, upload } from './support/clients.ts';
import type { Daemon } from './support/daemon.ts';
import { GATEWAY6, HOST6, SUBNET6, slaacAddress } from './support/ipv6.ts';
import { GATEWAY, type Guest, HOST, HTTP_PORT, Lab, type MessageBridge } from './support/lab.ts';
import { until } from './support/until.ts';

const SIZE = 100_000_000;
const SMALL = 4_000_000;
/** Of libkrun, which has it where `net.core.wmem_max` allows it. */
const KRUN_SEND_BUFFER = String(7 << 20);

interface Kind {
  readonly name: string;
  /** Of `--listen`. */
  link(lab: Lab): string;
  /** Where the machine connects, and how. */
  readonly socket: string;
  readonly messages: Omit<MessageBridge, 'own'>;
  /** The file name of the machine's own socket. */
  readonly own?: string;
}

const KINDS: readonly Kind[] = [
  {
    name: 'bess:',
    link: (lab) => `bess:${lab.path('net.sock')}`,
    socket: 'net.sock',
    messages: { kind: 'bess' },
  },
  {
    name: 'vfkit:',
    link: (lab) => `vfkit:${lab.path('net.sock')}`,
    socket: 'net.sock',
    own: 'vm.sock',
    messages: { kind: 'vfkit' },
  },
  {
    name: 'vfkit:, as libkrun leaves frames,',
    link: (lab) => `vfkit:${lab.path('net.sock')}`,
    socket: 'net.sock',
    own: 'krun-net-1-0.sock',
    messages: { kind: 'vfkit', undone: true },
  },
  {
    name: 'qemu-dgram:',
    link: (lab) => `qemu-dgram:${lab.path('net.sock')},${lab.path('vm.sock')}`,
    socket: 'net.sock',
    own: 'vm.sock',
    messages: { kind: 'dgram' },
  },
  {
    name: 'fd-socket:',
    link: (lab) => `fd-socket:${lab.path('net.sock')}`,
    socket: 'net.sock',
    messages: { kind: 'fd' },
  },
];

systemSuite('links of messages', [...LAB, 'gcc', 'ipv6', 'ping', 'curl', 'tcpdump'], function () {
  this.timeout(120_000);
  let lab: Lab;
  beforeEach(async () => {
    lab = await Lab.open();
    await lab.host.run('sysctl', '-qw', 'net.unix.max_dgram_qlen=512');
    await lab.startServers(lab.host);
    await lab.startServers(lab.host, '::1');
  });
  afterEach(() => lab.close());

  const start = (kind: Kind, args: readonly string[] = []): Promise<Daemon> =>
    lab.startDaemon(['--listen', kind.link(lab), '--subnet6', SUBNET6, ...args]);
  const addGuest = (kind: Kind): Promise<Guest> =>
    lab.addGuest({
      bridgeTo: lab.path(kind.socket),
      messages: {
        ...kind.messages,
        ...(kind.own === undefined ? {} : { own: lab.path(kind.own) }),
      },
    });
  const works = async (guest: Guest): Promise<void> => {
    const url = `http://${HOST}:${HTTP_PORT}`;
    await until('the guest to be online', async () => {
      const { stdout } = await guest.try('curl', '-sS', '-m', '1', url);
      return stdout === 'hello from the host\n';
    });
    await download(guest, url, SMALL);
  };

  for (const kind of KINDS) {
    it(`${kind.name} a lease, an address of IPv6, pings, and 100 MB each way in both families`, async () => {
      const daemon = await start(kind);
      const guest = await addGuest(kind);
      await guest.plug();
      await guest.lease();
      await slaacAddress(guest);
      for (const [family, address] of [
        ['-4', GATEWAY],
        ['-6', GATEWAY6],
      ] as const) {
        const args = [family, '-c', '3', '-i', '0.05', '-w', '5', address];
        assert.match(await guest.run('ping', ...args), /3 received/);
      }
      for (const host of [HOST, `[${HOST6}]`]) {
        await download(guest, `http://${host}:${HTTP_PORT}`, SIZE);
        await upload(guest, `http://${host}:${HTTP_PORT}`, SIZE);
      }
      assert.doesNotMatch(await daemon.request('/metrics'), /bad-checksum|write-failed/);
    });

    it(`${kind.name} the daemon, killed, is started anew, and the guest goes on`, async () => {
      const first = await start(kind);
      const guest = await addGuest(kind);
      await guest.plug();
      await guest.lease();
      await works(guest);
      await first.stop('SIGKILL');
      await start(kind);
      await works(guest);
    });

    it(`${kind.name} the machine is started anew, and goes on`, async () => {
      const daemon = await start(kind);
      const guest = await addGuest(kind);
      const bridge = await guest.plug();
      await guest.lease();
      await works(guest);
      await bridge?.stop('SIGKILL');
      await guest.plug();
      await guest.lease();
      await works(guest);
      assert.ok(daemon.isRunning);
    });
  }

  // A pair of datagram sockets has no end that could be seen before something is sent.
  for (const kind of KINDS.filter(({ messages }) => messages.kind !== 'fd')) {
    it(`${kind.name} with --exit-with-guest the daemon ends with its machine`, async () => {
      const daemon = await start(kind, ['--exit-with-guest']);
      const guest = await addGuest(kind);
      const bridge = await guest.plug();
      await guest.lease();
      await bridge?.stop('SIGKILL');
      assert.equal(await daemon.exited, 0, daemon.stderr);
    });
  }

  it('vfkit: as libkrun leaves frames, captured: every sum is complete, and segments are whole', async () => {
    const kind = KINDS[2];
    assert.ok(kind !== undefined);
    const capture = lab.path('all.pcap');
    const daemon = await start(kind, ['--pcap', capture]);
    const guest = await addGuest(kind);
    await guest.plug();
    await guest.lease();
    await upload(guest, `http://${HOST}:${HTTP_PORT}`, SMALL);
    await daemon.stop();
    const text = await lab.host.run('tcpdump', '-nn', '-vv', '-r', capture, 'tcp');
    assert.doesNotMatch(text, /incorrect|bad cksum/);
    const lens = [...text.matchAll(/, length (\d+)$/gm)].map(([, len]) => Number(len));
    assert.ok(Math.max(...lens) > 30_000);
  });

  it('vfkit: libkrun, which loses more than a frame at a full queue, finds none while TCP goes at full speed', async () => {
    const kind = KINDS[2];
    assert.ok(kind?.own !== undefined);
    await start(kind);
    const guest = await lab.addGuest({});
    const link = ['-c', lab.path(kind.socket), '-k', 'vfkit', '-o', lab.path(kind.own), '-O'];
    const bridge = await guest.bridge([...link, '-b', KRUN_SEND_BUFFER]);
    await guest.lease();
    for (const host of [HOST, `[${HOST6}]`]) {
      await upload(guest, `http://${host}:${HTTP_PORT}`, SIZE);
      await download(guest, `http://${host}:${HTTP_PORT}`, SIZE);
    }
    await bridge.stop('SIGTERM');
    const sent = JSON.parse(bridge.stdout.split('\n')[0] ?? '');
    assert.ok(sent['tap2sock_bytes'] > 2 * SIZE);
    // None on a machine of its own; where the daemon is kept from its CPU for 10 ms there may be one.
    assert.ok(sent['tap2sock_full'] * 1000 < sent['tap2sock_frames'], bridge.stdout);
  });

  it('vfkit: with a queue of ten datagrams, the least that a system has, nothing is lost for good', async () => {
    const kind = KINDS[1];
    assert.ok(kind !== undefined);
    await lab.host.run('sysctl', '-qw', 'net.unix.max_dgram_qlen=10');
    await start(kind);
    const guest = await addGuest(kind);
    await guest.plug();
    await guest.lease();
    await works(guest);
    await upload(guest, `http://${HOST}:${HTTP_PORT}`, SMALL);
  });
});
