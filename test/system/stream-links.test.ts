/** Real kernels as guests on links over streams: leases, names, pings, both families, bytes, and restarts of either side. */
import assert from 'node:assert/strict';
import { existsSync, openSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { loadPosix } from '../../src/native/load.ts';
import { connectedTo } from '../support/connected-to.ts';
import { goDiscover, offered } from '../support/go-vmnet.ts';
import { LAB, systemSuite } from '../support/requirements.ts';
import { Vmn3tClient } from '../support/vmn3t-client.ts';
import { download, upload } from './support/clients.ts';
import { Daemon } from './support/daemon.ts';
import { addIpv6, GATEWAY6, HOST6, SUBNET6, slaacAddress } from './support/ipv6.ts';
import { GATEWAY, type Guest, HOST, HTTP_PORT, Lab } from './support/lab.ts';
import { Background } from './support/processes.ts';
import { until } from './support/until.ts';

const WS_RELAY = fileURLToPath(new URL('./support/ws-relay-main.js', import.meta.url));
const SIZE = 100_000_000;
const UUID = '4a1b2c3d-0000-4000-8000-00000000000';
const IPV6 = ['--subnet6', SUBNET6, '--ipv6', 'on'];

const isOnline = (guest: Guest): Promise<true> =>
  until('the guest to be online', async () => {
    const { stdout } = await guest.try('curl', '-sS', '-m', '1', `http://${HOST}:${HTTP_PORT}/`);
    return stdout === 'hello from the host\n';
  });

/** Everything that a guest does with a network. */
async function works(guest: Guest): Promise<void> {
  await guest.run('ping', '-c', '2', '-W', '2', GATEWAY);
  await slaacAddress(guest);
  await guest.run('ping', '-c', '2', '-W', '2', GATEWAY6);
  for (const host of [HOST, `[${HOST6}]`]) {
    const url = `http://${host}:${HTTP_PORT}`;
    await download(guest, url, SIZE);
    await upload(guest, url, SIZE);
  }
}

systemSuite('links over streams', [...LAB, 'gcc', 'curl', 'ping', 'ipv6'], function () {
  this.timeout(120_000);
  let lab: Lab;
  beforeEach(async () => {
    lab = await Lab.open();
    await addIpv6(lab);
    await lab.startServers(lab.host, '::');
  });
  afterEach(() => lab.close());

  it('qemu: and tap: a guest on each, with 100 MB each way by each family', async () => {
    const path = lab.path('qemu.sock');
    const guests = [await lab.addGuest({ bridgeTo: path }), await lab.addGuest()] as const;
    await lab.startDaemon(['--listen', `qemu:${path}`, '--listen', guests[1].link, ...IPV6]);
    for (const guest of guests) {
      await guest.plug();
      await guest.lease();
      await works(guest);
    }
  });

  it('qemu-connect: a guest whose machine listens, with 100 MB each way by each family, and goes on over restarts of either side', async () => {
    const path = lab.path('machine.sock');
    const args = ['--listen', `qemu-connect:${path}`, ...IPV6];
    const first = await lab.startDaemon(args);
    const guest = await lab.addGuest();
    const plug = async (): Promise<Background> => {
      rmSync(path, { force: true });
      const bridge = await guest.bridge(['-l', path]);
      await guest.lease();
      return bridge;
    };
    let machine = await plug();
    await works(guest);
    await machine.stop('SIGKILL');
    machine = await plug();
    await isOnline(guest);
    await first.stop('SIGKILL');
    await machine.stop('SIGKILL'); // QEMU with server=on waits for the next: this bridge does not
    await lab.startDaemon(args);
    await plug();
    await isOnline(guest);
  });

  it('vpnkit: two guests at once, each with 100 MB each way by each family', async () => {
    const path = lab.path('vpnkit.sock');
    await lab.startDaemon(['--listen', `vpnkit:${path}`, ...IPV6]);
    const guests: Guest[] = [];
    for (const number of [1, 2]) {
      const guest = await lab.addGuest({ bridgeTo: path, framing: `vmn3t=${UUID}${number}` });
      await guest.plug();
      await guest.lease();
      guests.push(guest);
    }
    for (const guest of guests) await works(guest);
    const [first, second] = guests;
    assert.ok(first !== undefined && second !== undefined);
    const { address } = await second.lease();
    await first.run('ping', '-c', '2', '-W', '2', address);
  });

  it('vpnkit: the guest outlives the daemon, and the daemon the guest; address and Ethernet address stay', async () => {
    const path = lab.path('vpnkit.sock');
    const args = ['--listen', `vpnkit:${path}`, '--lease-file', lab.path('leases'), ...IPV6];
    const first = await lab.startDaemon(args);
    const guest = await lab.addGuest({ bridgeTo: path, framing: `vmn3t=${UUID}1` });
    const bridge = await guest.plug();
    const { address } = await guest.lease();
    await isOnline(guest);
    await first.stop('SIGKILL');
    const daemon = await lab.startDaemon(args);
    await isOnline(guest);
    await bridge?.stop('SIGKILL');
    await guest.plug();
    assert.equal((await guest.lease()).address, address);
    await isOnline(guest);
    assert.ok(daemon.isRunning);
  });

  it('vpnkit: as RootlessKit uses it: its parent takes an address and never reads, its child has the traffic', async () => {
    const path = lab.path('vpnkit.sock');
    const daemon = await lab.startDaemon(['--listen', `vpnkit:${path}`, ...IPV6]);
    const parent = await Vmn3tClient.at(path);
    const { mac } = await parent.open(`${UUID}1`);
    parent.send(goDiscover(mac));
    const address = await offered(parent);
    parent.stopReading();
    const child = await lab.addGuest({ bridgeTo: path, framing: `vmn3t=${UUID}1` });
    await child.plug();
    await child.run('ip', 'addr', 'add', `${address}/24`, 'dev', 'eth0');
    await child.run('ip', 'route', 'add', 'default', 'via', GATEWAY);
    const noisy = await lab.addGuest({ bridgeTo: path, framing: `vmn3t=${UUID}2` });
    await noisy.plug();
    await noisy.lease();
    await noisy.try('ping', '-b', '-f', '-c', '4000', '-s', '1400', '-w', '5', '192.168.127.255');
    await works(child);
    const { links } = JSON.parse(await daemon.request('/v1/info'));
    assert.deepEqual(links, [{ link: `vpnkit:${path}`, attachedGuests: 2 }]);
    parent.readOn();
    assert.ok((await parent.readFrame()).length >= 42); // whole frames, for all
    parent.close();
    await works(child);
  });

  it('vpnkit: without a UUID', async () => {
    const daemon = await lab.startDaemon(['--listen', `vpnkit:${lab.path('v')}`, ...IPV6]);
    const guest = await lab.addGuest({ bridgeTo: lab.path('v'), framing: 'vmn3t' });
    await guest.plug();
    await guest.lease();
    await isOnline(guest);
    assert.ok(daemon.isRunning);
  });

  it('ws: a guest with 100 MB each way by each family, which outlives the daemon, and the daemon the guest', async () => {
    const args = ['--listen', 'ws:127.0.0.1:8080/vm', ...IPV6]; // of the lab's own host
    const first = await lab.startDaemon(args);
    const guest = await lab.addGuest({ framing: 'u16' });
    const path = lab.path('bridge.sock');
    const plug = async (): Promise<readonly Background[]> => {
      rmSync(path, { force: true });
      const bridging = guest.bridge(['-l', path]);
      await until('the bridge to listen', () => existsSync(path));
      const relay = lab.host.start([process.execPath, WS_RELAY, path, 'ws://127.0.0.1:8080/vm']);
      const bridge = await bridging;
      await relay.prints(/joined/);
      await guest.lease();
      return [relay, bridge];
    };
    const machine = await plug();
    await works(guest);
    await first.stop('SIGKILL');
    const daemon = await lab.startDaemon(args);
    await isOnline(guest);
    for (const one of machine) await one.stop('SIGKILL');
    await plug();
    await isOnline(guest);
    assert.ok(daemon.isRunning);
  });

  for (const [query, word] of [
    ['', 'u16'],
    ['?framing=qemu', 'qemu'],
  ] as const) {
    it(`POST /connect${query}: a guest with 100 MB each way by each family, until its connection ends`, async () => {
      const daemon = await lab.startDaemon(['--exit-with-guest', ...IPV6]);
      const guest = await lab.addGuest({ framing: word });
      const path = lab.path('bridge.sock');
      const bridging = guest.bridge(['-l', path]);
      await until('the bridge to listen', () => existsSync(path));
      const bridge = await connectedTo(path);
      const api = connect(lab.path('hawser/default/api.sock'));
      api.write(`POST /connect${query} HTTP/1.1\r\nHost: x\r\n\r\n`);
      const relayed = pipeline(bridge, api, bridge).catch(() => {}); // it ends with either
      await bridging;
      await guest.lease();
      await works(guest);
      bridge.destroy();
      await relayed;
      await until('the daemon to end', () => !daemon.isRunning);
    });
  }

  for (const [framing, type, word] of [
    ['vpnkit', 'stream', 'u16'],
    ['qemu', 'stream', 'qemu'],
    [undefined, 'stream', 'qemu'],
  ] as const) {
    it(`fd: with ${framing ?? 'no'} framing: a guest on an inherited ${type} socket, until it leaves`, async () => {
      const [ours, theirs] = loadPosix().socketPair(type);
      const named = framing === undefined ? '' : `:${framing}`;
      const guest = await lab.addGuest({ framing: word });
      const daemon = new Background(
        lab.host.enter(Daemon.command(['--listen', `fd:4${named}`, '--exit-with-guest', ...IPV6])),
        { stdio: ['ignore', 'pipe', 'pipe', 'pipe', ours], env: { XDG_RUNTIME_DIR: lab.dir } },
      );
      lab.track(daemon);
      const bridge = await guest.bridge(['-s', '3'], {
        stdio: ['ignore', 'pipe', 'pipe', theirs],
      });
      for (const fd of [ours, theirs]) loadPosix().close(fd);
      await guest.lease();
      await works(guest);
      await bridge.stop('SIGKILL');
      assert.equal(await daemon.exited, 0, daemon.stderr);
    });
  }

  it('stdio: by two pipes, as gvforwarder starts it; nothing but frames is written there', async () => {
    const guest = await lab.addGuest({ framing: 'u16' });
    const daemon = lab.host.enter(
      Daemon.command(['--listen', 'stdio', '--exit-with-guest', '--log-level', 'debug', ...IPV6]),
    );
    const ready = openSync(lab.path('ready'), 'w');
    const bridge = await guest.bridge(['-x', ...daemon], {
      stdio: ['ignore', 'pipe', 'pipe', ready],
      env: { XDG_RUNTIME_DIR: lab.dir },
    });
    await guest.lease();
    await works(guest);
    assert.ok(bridge.isRunning, bridge.stderr); // it ends at an impossible length
    await bridge.stop('SIGTERM');
    await bridge.prints(/hawser ends: the last guest has left/);
  });

  it('stdio: is refused where standard output is a file, and where it would carry the readiness line', async () => {
    const args = (readyFd: number): readonly string[] => [
      ...Daemon.command(['--listen', 'stdio', '--ready-fd', String(readyFd)]),
    ];
    const env = { XDG_RUNTIME_DIR: lab.dir };
    const file = openSync(lab.path('out'), 'w');
    const toFile = new Background(args(3), { stdio: ['pipe', file, 'pipe', 'pipe'], env });
    assert.equal(await toFile.exited, 1);
    assert.match(toFile.stderr, /cannot attach stdio: standard output must be a pipe or a socket/);
    const twice = new Background(args(1), { stdio: ['pipe', 'pipe', 'pipe', 'pipe'], env });
    assert.equal(await twice.exited, 2);
    assert.match(twice.stderr, /--ready-fd 1: must be a descriptor that no link has/);
    assert.equal(twice.stdout, '');
  });
});
