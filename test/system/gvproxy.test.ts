/**
 * podman machine's own sequence with `hawser-gvproxy` in the place of gvproxy (`pkg/machine/shim/networking.go`,
 * `libpod/networking_machine.go`): the helper under its name, flags in its order, the socket waited for as it does, the guest
 * that publishes for itself, and the end by SIGKILL. The guest is a kernel behind the socket that QEMU would connect to.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { LAB, systemSuite } from '../support/requirements.ts';
import { download, upload } from './support/clients.ts';
import { GATEWAY, type Guest, HOST, HOST_OUTER, HTTP_PORT, Lab } from './support/lab.ts';
import { Background } from './support/processes.ts';
import { SshGuest } from './support/ssh-guest.ts';
import { until } from './support/until.ts';

const GVPROXY = fileURLToPath(new URL('../../bin/hawser-gvproxy.js', import.meta.url));
const MACHINE_MAC = '5a:94:ef:e4:0c:ee';
const MACHINE = '192.168.127.2';
const SSH_PORT = 42_022;
const MIB = 1 << 20;
const METADATA = '169.254.169.254';
/** podman's: `waitForSocket`, and the end after SIGKILL. */
const SOCKET_TRIES = 6;
const KILL_MS = 255;

/** gvforwarder's default; that of gvproxy is 1500. */
const FORWARDER_MTU = 4000;
const IPV4_AND_ICMP = 28;
/** The machine's frames with podman's provider libkrun. */
const VFKIT = { kind: 'vfkit', undone: true } as const;

/** As a container's port is for the machine. */
const SERVER = `require('http').createServer((q, r) => r.end('from the container')).listen(8080);
  console.log('serving');`;

const EXPOSE_MANY = `const http = require('http');
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const connections = new Set();
  const post = (port) => new Promise((resolve, reject) => {
    const asked = http.request({ host: process.argv[1], method: 'POST', agent, path: '/services/forwarder/expose' });
    asked.on('socket', (socket) => connections.add(socket.localPort || socket));
    asked.on('error', reject);
    asked.on('response', (answer) => { answer.resume(); answer.on('end', () => resolve(answer.statusCode)); });
    asked.end(JSON.stringify({ local: ':' + port, remote: ':' + port, protocol: 'tcp' }));
  });
  (async () => {
    let good = 0;
    const used = new Set();
    for (let port = 21000; port < 22000; port++) if ((await post(port)) === 200) good++;
    for (const one of connections) used.add(typeof one === 'number' ? one : one.localPort);
    console.log(good + ' of 1000 on ' + used.size + ' connections');
    process.exit();
  })();`;

class Machine {
  readonly lab: Lab;
  readonly guest: Guest;
  readonly helpers: string;
  readonly socket: string;
  readonly pidFile: string;
  readonly logFile: string;
  process: Background;

  private constructor(lab: Lab, guest: Guest, helpers: string, more: readonly string[]) {
    this.lab = lab;
    this.guest = guest;
    this.process = Machine.launch(lab, helpers, more);
    this.helpers = helpers;
    this.socket = lab.path('m-gvproxy.sock');
    this.pidFile = lab.path('gvproxy.pid');
    this.logFile = lab.path('gvproxy.log');
  }

  /** @param more flags of tests, before podman's; the link of the machine, where QEMU is not the provider */
  static async start(lab: Lab, guest: Guest, ...more: string[]): Promise<Machine> {
    const helpers = lab.path('helpers');
    mkdirSync(helpers, { recursive: true });
    if (!existsSync(join(helpers, 'gvproxy'))) symlinkSync(GVPROXY, join(helpers, 'gvproxy'));
    const machine = new Machine(lab, guest, helpers, more);
    await machine.waitForSocket();
    return machine;
  }

  static launch(lab: Lab, helpers: string, more: readonly string[]): Background {
    const socket = lab.path('m-gvproxy.sock');
    rmSync(socket, { force: true });
    const link = more.includes('-listen-vfkit') ? [] : ['-listen-qemu', `unix://${socket}`];
    const flags = [
      ...more,
      ...['-mtu', '1500', '-ssh-port', `${SSH_PORT}`, ...link],
      ...['-pid-file', lab.path('gvproxy.pid'), '-log-file', lab.path('gvproxy.log')],
    ];
    // As `cmd.Start()` does: nothing is read, and nobody waits.
    const stdio = 'ignore' as const;
    const argv = lab.host.enter([join(helpers, 'gvproxy'), ...flags]);
    return lab.track(new Background(argv, { stdio }));
  }

  private async waitForSocket(): Promise<void> {
    for (let i = 0, ms = 500; i < SOCKET_TRIES; i++, ms *= 2) {
      if (existsSync(this.socket)) return;
      await sleep(ms);
    }
    throw new Error(`no socket: ${this.log}`);
  }

  get log(): string {
    return existsSync(this.logFile) ? readFileSync(this.logFile, 'utf8') : 'no log';
  }

  async boot(): Promise<Background> {
    const bridge = await this.guest.plug();
    assert.ok(bridge !== undefined);
    await this.guest.run('ip', 'link', 'set', 'dev', 'eth0', 'address', MACHINE_MAC);
    const { address } = await this.guest.lease();
    assert.equal(address, MACHINE);
    return bridge;
  }

  /** As podman does in the machine. @returns status and body */
  async post(path: string, body: object): Promise<string> {
    const url = `http://gateway.containers.internal/services/forwarder/${path}`;
    const resolve = ['--resolve', `gateway.containers.internal:80:${GATEWAY}`];
    const data = ['-d', JSON.stringify(body), '-H', 'content-type: application/json'];
    return await this.guest.run('curl', '-sS', '-w', '%{http_code} ', ...resolve, ...data, url);
  }
}

const machineIn = (lab: Lab): Promise<Guest> =>
  lab.addGuest({ bridgeTo: lab.path('m-gvproxy.sock') });

/** Names, pings, a page of the host. */
async function online({ guest }: { readonly guest: Guest }): Promise<void> {
  const names = ['gateway.containers.internal', 'host.containers.internal'];
  for (const [i, address] of [GATEWAY, HOST].entries()) {
    assert.equal((await guest.run('dig', `@${GATEWAY}`, '+short', names[i] ?? '')).trim(), address);
    await guest.run('ping', '-c', '1', '-W', '2', address);
  }
  const page = await guest.run('curl', '-sS', '-m', '5', `http://${HOST}:${HTTP_PORT}/`);
  assert.equal(page, 'hello from the host\n');
}

const PORT = { local: ':8080', remote: ':8080', protocol: 'tcp' };

systemSuite(
  'hawser-gvproxy for podman machine',
  [...LAB, 'curl', 'dig', 'nc', 'ping', 'sshd', 'ssh-keygen', 'gcc'],
  function () {
    this.timeout(90_000);
    let lab: Lab;
    let machine: Machine;
    let bridge: Background;
    let ssh: SshGuest | undefined;
    beforeEach(async () => {
      lab = await Lab.open();
    });
    afterEach(async () => {
      await ssh?.stopServer();
      ssh = undefined;
      await lab.close();
    });

    it('the whole of it', async () => {
      await lab.startServers(lab.host);
      const guest = await machineIn(lab);
      ssh = new SshGuest(lab, guest);
      const api = lab.path('m-api.sock');
      const forward = [
        ...['-forward-sock', api, '-forward-dest', ssh.httpSocket],
        ...['-forward-user', 'root', '-forward-identity', await ssh.makeKey('ed25519')],
      ];
      machine = await Machine.start(lab, guest, ...forward);
      assert.equal(readFileSync(machine.pidFile, 'utf8'), `${machine.process.pid}`);
      bridge = await machine.boot();
      const server = guest.start(['node', '-e', SERVER]);
      await server.prints(/serving/);
      await ssh.startServer();
      await ssh.startService();

      const greeting = (): Promise<string> =>
        lab.host.run('sh', '-c', `nc -w 3 127.0.0.1 ${SSH_PORT} </dev/null | head -1`);
      const ping = ['-sS', '-m', '20', '--unix-socket', api, 'http://d/_ping'];
      assert.match(await greeting(), /^SSH-2\.0-OpenSSH/);
      assert.equal(statSync(api).mode & 0o777, 0o600);
      assert.equal(await lab.host.run('curl', ...ping), 'OK');
      for (const [name, address] of [
        ['gateway.containers.internal', GATEWAY],
        ['host.containers.internal', HOST],
        ['host.docker.internal', HOST],
      ] as const) {
        assert.equal((await guest.run('dig', `@${GATEWAY}`, '+short', name)).trim(), address);
      }
      await guest.run('ping', '-c', '1', '-W', '2', HOST);

      assert.equal(await machine.post('expose', PORT), '200 ');
      for (const [from, to] of [
        [lab.host, '127.0.0.1'],
        [lab.outside, HOST_OUTER],
      ] as const) {
        assert.equal(
          await from.run('curl', '-sS', '-m', '5', `http://${to}:8080/`),
          'from the container',
        );
      }
      assert.equal(
        await machine.post('expose', PORT),
        'proxy already running for tcp on :8080\n500 ',
      );
      assert.match(
        await machine.post('all', {}),
        /^\[\{"local":":8080","remote":"192\.168\.127\.2:8080"/,
      );

      // A machine that boots anew with restart policies: it asks for a lease, then publishes what it had.
      await guest.lease();
      assert.equal(await machine.post('expose', PORT), '200 ');
      assert.equal(
        await machine.post('expose', PORT),
        'proxy already running for tcp on :8080\n500 ',
      );
      assert.equal(await machine.post('unexpose', { local: ':8080', protocol: 'tcp' }), '200 ');
      assert.equal(
        await machine.post('unexpose', { local: ':8080', protocol: 'tcp' }),
        'proxy not found\n500 ',
      );

      // `podman machine stop`
      const pid = Number(readFileSync(machine.pidFile, 'utf8'));
      const before = performance.now();
      process.kill(pid, 'SIGKILL');
      await machine.process.exited;
      assert.ok(performance.now() - before < KILL_MS, 'it is gone in time');
      assert.doesNotMatch(await lab.host.run('ss', '-Hltn'), new RegExp(`:${SSH_PORT}`));

      await bridge.stop();

      // `podman machine start`, with all that SIGKILL has left
      machine.process = Machine.launch(lab, machine.helpers, forward);
      await until('the socket', () => existsSync(machine.socket));
      assert.equal(readFileSync(machine.pidFile, 'utf8'), `${machine.process.pid}`);
      bridge = await machine.boot();
      assert.match(await greeting(), /^SSH-2\.0-OpenSSH/);
      assert.equal(await lab.host.run('curl', ...ping), 'OK');

      // The machine ends by itself: so does its network.
      await bridge.stop();
      assert.equal(await machine.process.exited, 0);
      assert.ok(!existsSync(machine.socket) && !existsSync(machine.pidFile));
    });

    it('100 MB each way', async () => {
      machine = await Machine.start(lab, await machineIn(lab));
      await lab.startServers(lab.host, HOST_OUTER);
      await machine.boot();
      for (const transfer of [download, upload]) {
        await transfer(machine.guest, `http://${HOST_OUTER}:${HTTP_PORT}`, 100 * MIB);
      }
      assert.doesNotMatch(machine.log, /level=(error|warning)/);
    });

    it('the providers libkrun and applehv: datagrams, as libkrun leaves them; it ends with its machine', async () => {
      await lab.host.run('sysctl', '-qw', 'net.unix.max_dgram_qlen=512');
      await lab.startServers(lab.host);
      const socket = lab.path('m-gvproxy.sock');
      const messages = { ...VFKIT, own: lab.path('krun-net-1-0.sock') };
      const guest = await lab.addGuest({ bridgeTo: socket, messages });
      machine = await Machine.start(lab, guest, '-listen-vfkit', `unixgram://${socket}`);
      bridge = await machine.boot();
      await online(machine);
      assert.equal(await machine.post('expose', PORT), '200 ');
      await guest.start(['node', '-e', SERVER]).prints(/serving/);
      const page = await lab.outside.run('curl', '-sS', '-m', '5', `http://${HOST_OUTER}:8080/`);
      assert.equal(page, 'from the container');
      for (const transfer of [download, upload]) {
        await transfer(guest, `http://${HOST}:${HTTP_PORT}`, 100 * MIB);
      }
      await bridge.stop();
      assert.equal(await machine.process.exited, 0);
      assert.ok(!existsSync(socket) && !existsSync(machine.pidFile));
      assert.doesNotMatch(machine.log, /level=(error|warning)/);
    });

    it('WSL: started by gvforwarder, whose flags are in any order, over two pipes', async () => {
      await lab.startServers(lab.host);
      const guest = await lab.addGuest({ framing: 'u16', mtu: FORWARDER_MTU });
      const flags = ['-ssh-port=-1', '-listen-stdio=accept', '-debug=0'];
      const helper = lab.host.enter([process.execPath, GVPROXY, ...flags]);
      bridge = await guest.bridge(['-x', ...helper], { stdio: ['ignore', 'pipe', 'pipe'] });
      await guest.run('ip', 'link', 'set', 'dev', 'eth0', 'address', MACHINE_MAC);
      assert.equal((await guest.lease()).address, MACHINE);
      await guest.run('ip', 'link', 'set', 'dev', 'eth0', 'mtu', `${FORWARDER_MTU}`);
      await online({ guest });
      const whole = `${FORWARDER_MTU - IPV4_AND_ICMP}`;
      await guest.run('ping', '-M', 'do', '-c', '1', '-W', '2', '-s', whole, GATEWAY);
      for (const transfer of [download, upload]) {
        await transfer(guest, `http://${HOST}:${HTTP_PORT}`, 100 * MIB);
      }
      assert.ok(bridge.isRunning, bridge.stderr); // it ends at an impossible length
    });

    for (const [flags, isOpen] of [
      [[], false],
      [['-ec2-metadata-access'], true],
    ] as const) {
      it(`metadata of EC2 with ${flags.join() || 'no flag'}: ${isOpen ? 'open' : 'closed'}`, async () => {
        await lab.host.run('ip', 'addr', 'add', `${METADATA}/32`, 'dev', 'lo');
        await lab.startServers(lab.host, METADATA);
        machine = await Machine.start(lab, await machineIn(lab), ...flags);
        await machine.boot();
        const url = `http://${METADATA}:${HTTP_PORT}/`;
        const { status } = await machine.guest.try(
          'curl',
          '-sS',
          '-m',
          '5',
          '-o',
          '/dev/null',
          url,
        );
        assert.equal(status === 0, isOpen);
      });
    }

    it('a machine publishes 1,000 ports by as many requests on one connection', async () => {
      machine = await Machine.start(lab, await machineIn(lab), '-exit-with-guest=never');
      bridge = await machine.boot();
      const printed = await machine.guest.run('node', '-e', EXPOSE_MANY, GATEWAY);
      assert.equal(printed, '1000 of 1000 on 1 connections\n');
      const listening = async (): Promise<number> =>
        (await lab.host.run('ss', '-Hltn')).match(/:2[1-2]\d{3}\b/g)?.length ?? 0;
      assert.equal(await listening(), 1000);
      await bridge.stop();
      await until('all of them to be free', async () => (await listening()) === 0);
    });

    it('what a guest has published ends with its link', async () => {
      machine = await Machine.start(lab, await machineIn(lab), '-exit-with-guest=never');
      bridge = await machine.boot();
      assert.equal(await machine.post('expose', PORT), '200 ');
      const listening = async (): Promise<boolean> =>
        (await lab.host.run('ss', '-Hltn')).includes(':8080');
      assert.ok(await listening());
      await bridge.stop();
      await until('the port to be free', async () => !(await listening()));
      await machine.boot();
      assert.equal(await machine.post('expose', PORT), '200 ');
    });
  },
);
