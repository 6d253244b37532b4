/**
 * Lima's own sequence with `hawser usernet` in the place of `limactl usernet` (`pkg/networks/usernet`): started with Lima's
 * arguments, waited for by its last socket, machines that come by QEMU's socket and by a descriptor, and what Lima asks for them.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LAB, systemSuite } from '../support/requirements.ts';
import { download, upload } from './support/clients.ts';
import { type Guest, HTTP_PORT, Lab } from './support/lab.ts';
import { Background } from './support/processes.ts';
import { SshGuest } from './support/ssh-guest.ts';
import { until } from './support/until.ts';

const HAWSER = fileURLToPath(new URL('../../bin/hawser.js', import.meta.url));
const SUBNET = '192.168.104.0/24';
const GATEWAY = '192.168.104.2';
const GATEWAY_MAC = '5a:94:ef:e4:0c:dd';
const MACS = ['52:55:55:b3:bc:d9', '52:55:55:b3:bc:da'] as const;
const SSH_PORT = 60_022;
const SIZE = 100_000_000;
/** Lima looks every 500 ms; its end waits for 5 s. */
const END_MS = 5_000;

type Leases = Readonly<Record<string, string>>;

class Network {
  readonly dir: string;
  readonly lab: Lab;
  process: Background;

  constructor(lab: Lab) {
    this.lab = lab;
    this.dir = lab.path('_networks/user-v2');
    mkdirSync(this.dir, { recursive: true });
    this.process = this.launch();
  }

  socket(kind: 'ep' | 'qemu' | 'fd'): string {
    return `${this.dir}/user-v2_${kind}.sock`;
  }

  get pidFile(): string {
    return `${this.dir}/usernet_user-v2.pid`;
  }

  /** `Start` of `recoincile.go`. */
  launch(): Background {
    const leases = this.readLeases();
    const pairs = Object.entries(leases ?? {}).map(([address, mac]) => `${address}=${mac}`);
    const argv = [
      ...[process.execPath, HAWSER, 'usernet', '-p', this.pidFile, '-e', this.socket('ep')],
      ...['--listen-qemu', this.socket('qemu'), '--listen', this.socket('fd')],
      ...['--subnet', SUBNET],
      ...(leases === undefined ? [] : ['--leases', pairs.join(',')]),
    ];
    const stderr = openSync(`${this.dir}/usernet.user-v2.stderr.log`, 'w');
    const stdio = ['ignore', 'ignore', stderr] as const;
    this.process = this.lab.track(new Background(this.lab.host.enter(argv), { stdio: [...stdio] }));
    return this.process;
  }

  async isThere(): Promise<void> {
    await until('the socket for descriptors', () => existsSync(this.socket('fd')));
  }

  /** `Stop`: the leases are read, written, and the process ended. */
  async stop(): Promise<void> {
    writeFileSync(`${this.dir}/leases.json`, JSON.stringify(await this.leases()));
    process.kill(Number(readFileSync(this.pidFile, 'utf8').trim()), 'SIGINT');
    await until('the pid file to be gone', () => !existsSync(this.pidFile), END_MS);
  }

  /** @returns status and body */
  async request(path: string, body?: object): Promise<readonly [number, string]> {
    const data = body === undefined ? [] : ['-d', JSON.stringify(body)];
    const args = ['-sS', '-w', '\n%{http_code}', '--unix-socket', this.socket('ep'), ...data];
    const text = await this.lab.host.run('curl', ...args, `http://lima${path}`);
    const at = text.lastIndexOf('\n');
    return [Number(text.slice(at + 1)), text.slice(0, at)];
  }

  async leases(): Promise<Leases> {
    const [status, body] = await this.request('/services/dhcp/leases');
    assert.equal(status, 200);
    return JSON.parse(body);
  }

  /** `ResolveIPAddress`. */
  async addressOf(mac: string): Promise<string> {
    return await until(`a lease of ${mac}`, async () => {
      const found = Object.entries(await this.leases()).find(([, known]) => known === mac);
      return found?.[0];
    });
  }

  private readLeases(): Leases | undefined {
    const file = `${this.dir}/leases.json`;
    return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
  }
}

systemSuite(
  'hawser usernet for Lima',
  [...LAB, 'gcc', 'curl', 'dig', 'nc', 'ping', 'sshd'],
  function () {
    this.timeout(90_000);
    let lab: Lab;
    let network: Network;
    let guests: readonly [Guest, Guest];
    let ssh: SshGuest;

    before(async () => {
      lab = await Lab.open();
      await lab.host.run('sysctl', '-qw', 'net.unix.max_dgram_qlen=512');
      await lab.startServers(lab.host);
      network = new Network(lab);
      guests = [
        await lab.addGuest({ bridgeTo: network.socket('qemu') }),
        await lab.addGuest({ bridgeTo: network.socket('fd'), messages: { kind: 'fd' } }),
      ];
      ssh = new SshGuest(lab, guests[0]);
    });
    after(async () => {
      await ssh.stopServer();
      await lab.close();
    });

    const leaseOf = async (index: 0 | 1): Promise<string> => (await guests[index].lease()).address;

    it('is there with its last socket, and with its process id', async () => {
      await network.isThere();
      const text = readFileSync(network.pidFile, 'utf8');
      assert.match(text, /^\d+\n$/);
      for (const kind of ['ep', 'qemu', 'fd'] as const) assert.ok(existsSync(network.socket(kind)));
      assert.deepEqual(await network.leases(), { [GATEWAY]: GATEWAY_MAC });
    });

    it('a machine by QEMU’s socket and one by a descriptor: their leases, by Ethernet address', async () => {
      for (const index of [0, 1] as const) {
        const guest = guests[index];
        await guest.plug();
        await guest.run('ip', 'link', 'set', 'dev', 'eth0', 'address', MACS[index]);
        const address = await leaseOf(index);
        assert.equal(await network.addressOf(MACS[index]), address);
      }
    });

    it('the port of SSH is waited for, and forwarded', async () => {
      const address = await network.addressOf(MACS[0]);
      const wait = `/extension/wait_port?ip=${address}&port=22`;
      const [status, why] = await network.request(`${wait}&timeout=1`);
      assert.equal(status, 408);
      assert.equal(why, `timed out waiting for port to become available on ${address}:22\n`);
      const waiting = network.request(`${wait}&timeout=599`);
      await ssh.startServer();
      assert.deepEqual(await waiting, [200, '']);
      const forward = { local: `127.0.0.1:${SSH_PORT}`, remote: `${address}:22`, protocol: 'tcp' };
      assert.deepEqual(await network.request('/services/forwarder/expose', forward), [200, '']);
      const greet = `echo | nc -N -w 3 127.0.0.1 ${SSH_PORT}`;
      assert.match(await lab.host.run('sh', '-c', greet), /^SSH-2\.0-OpenSSH/);
      const [again, refused] = await network.request('/services/forwarder/expose', forward);
      assert.equal(again, 500);
      assert.match(refused, /^proxy already running for tcp on 127\.0\.0\.1:60022/);
    });

    it('names of machines and of the host are added, and found by both', async () => {
      const addresses = await Promise.all(MACS.map((mac) => network.addressOf(mac)));
      const Records = addresses.map((IP, i) => ({ Name: `lima-vm${i}`, IP }));
      const zones = [
        { Name: 'internal.', Records },
        { Name: 'lima.internal.', Records: [{ Name: 'host', IP: GATEWAY }] },
      ];
      for (const zone of zones) {
        assert.deepEqual(await network.request('/services/dns/add', zone), [200, '']);
      }
      const expected = { 'lima-vm0.internal': addresses[0], 'lima-vm1.internal': addresses[1] };
      for (const guest of guests) {
        for (const [name, address] of Object.entries({
          ...expected,
          'host.lima.internal': GATEWAY,
        })) {
          const answer = await guest.run('dig', '+short', '+time=2', `@${GATEWAY}`, name);
          assert.equal(answer.trim(), address);
        }
      }
    });

    it('the gateway is the host’s loopback, answers pings, and machines reach each other', async () => {
      for (const guest of guests) {
        await guest.run('ping', '-c', '1', '-W', '2', GATEWAY);
        await download(guest, `http://${GATEWAY}:${HTTP_PORT}`, SIZE);
        await upload(guest, `http://${GATEWAY}:${HTTP_PORT}`, SIZE);
      }
      await guests[0].run('ping', '-c', '1', '-W', '2', await network.addressOf(MACS[1]));
    });

    it('another one is not started beside it', async () => {
      const second = network.launch();
      assert.equal(await second.exited, 1);
      const log = readFileSync(`${network.dir}/usernet.user-v2.stderr.log`, 'utf8');
      assert.match(log, /belongs to the running process/);
      assert.ok(existsSync(network.socket('fd')));
    });

    it('ends in time, and leaves nothing but the leases, which it gives again', async () => {
      const before = await network.leases();
      await network.stop();
      for (const kind of ['ep', 'qemu', 'fd'] as const)
        assert.ok(!existsSync(network.socket(kind)));
      network.launch();
      await network.isThere();
      for (const index of [1, 0] as const) assert.equal(before[await leaseOf(index)], MACS[index]);
      assert.deepEqual(await network.leases(), before);
    });

    it('after a SIGKILL the next one takes over what it has left', async () => {
      await network.process.stop('SIGKILL');
      const pid = Number(readFileSync(network.pidFile, 'utf8'));
      await until('the process to be gone', () => !existsSync(`/proc/${pid}`));
      rmSync(network.socket('fd'), { force: true });
      network.launch();
      await network.isThere();
      assert.notEqual(Number(readFileSync(network.pidFile, 'utf8')), pid);
      assert.equal(dirname(network.socket('ep')), network.dir);
    });
  },
);
