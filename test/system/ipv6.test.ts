/** IPv6 from a real guest kernel to the host, to the outside and back. The guest's address and route are set by hand. */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { LAB, systemSuite } from '../support/requirements.ts';
import { download, upload } from './support/clients.ts';
import type { Daemon } from './support/daemon.ts';
import {
  addGuestIpv6,
  addIpv6,
  GATEWAY6,
  GUEST6,
  HOST6,
  NOWHERE6,
  OUTSIDE6,
  SUBNET6,
} from './support/ipv6.ts';
import { type Guest, HOST, HTTP_PORT, Lab } from './support/lab.ts';

const MIB = 1 << 20;
const HELD = fileURLToPath(new URL('./support/port-clients-main.js', import.meta.url));
/** The outside forbids it. */
const FAR = '2001:db8:f0::1';

systemSuite('IPv6 of a real guest', [...LAB, 'ipv6', 'curl', 'ping', 'iperf3'], function () {
  this.timeout(60_000);
  let lab: Lab;
  let guest: Guest;
  let daemon: Daemon;

  before(async () => {
    lab = await Lab.open();
    await addIpv6(lab);
    ({ daemon, guest } = await lab.standard(['--subnet6', SUBNET6]));
    await addGuestIpv6(guest);
    await lab.startServers(lab.host, '::1');
    await lab.startServers(lab.outside, OUTSIDE6);
    await lab.outside.run('ip', 'route', 'add', 'prohibit', '2001:db8:f0::/48');
  });
  after(() => lab.close());
  afterEach(() => assert.ok(daemon.isRunning, daemon.stderr));

  for (const [where, address] of [
    ["the host's loopback", HOST6],
    ['the outside', OUTSIDE6],
  ] as const) {
    it(`64 MiB each way, sums equal: ${where}`, async () => {
      const url = `http://[${address}]:${HTTP_PORT}`;
      await download(guest, url, 64 * MIB);
      await upload(guest, url, 64 * MIB);
    });

    it(`ping: ${where}`, async () => {
      const { stdout } = await guest.try('ping', '-6', '-c', '3', '-i', '0.2', '-W', '2', address);
      assert.match(stdout, / 3 received/);
    });
  }
  it('ping: the gateway', async () => {
    const { stdout } = await guest.try('ping', '-6', '-c', '2', '-i', '0.2', '-W', '2', GATEWAY6);
    assert.match(stdout, / 2 received/);
  });

  it('ping: in fragments', async () => {
    const args = ['-6', '-c', '1', '-W', '2', '-s', '4000', OUTSIDE6];
    assert.match((await guest.try('ping', ...args)).stdout, / 1 received/);
  });

  it('ping: hop limits and errors, by whoever reports them', async () => {
    const ping = async (...args: string[]): Promise<string> =>
      (await guest.try('ping', '-6', '-n', '-c', '1', '-W', '2', ...args)).stdout;
    assert.match(await ping('-t', '1', OUTSIDE6), new RegExp(`From ${GATEWAY6}.*Hop limit`));
    assert.match(await ping(NOWHERE6), new RegExp(`From ${GATEWAY6}.*[Uu]nreachable`));
    assert.match(await ping(FAR), new RegExp(`From ${OUTSIDE6}.*Administratively prohibited`));
    assert.match(await ping('fd00:ec2::254'), new RegExp(`From ${GATEWAY6}.*prohibited`));
  });

  it('TCP and UDP: refused by whoever does not listen', async () => {
    for (const address of [HOST6, OUTSIDE6]) {
      const script = (kind: string): string => `
        const end = (what) => { console.log(what); process.exit(); };
        if ('${kind}' === 'tcp') {
          const s = require('net').connect(9, '${address}', () => end('connected'));
          s.on('error', (e) => end(e.code));
        } else {
          const s = require('dgram').createSocket('udp6');
          s.on('error', (e) => end(e.code));
          s.connect(9, '${address}', () => s.send('x'));
        }
        setTimeout(end, 3000, 'silence');`;
      for (const kind of ['tcp', 'udp']) {
        const said = await guest.run(process.execPath, '-e', script(kind));
        assert.equal(said, 'ECONNREFUSED\n', `${kind} ${address}`);
      }
    }
  });

  it('UDP is a full cone: another address and port may answer', async () => {
    const other = '2001:db8:18::77';
    await lab.outside.run('ip', 'addr', 'add', `${other}/64`, 'dev', 'up0', 'nodad');
    const open = `const open = (...at) => {
      const s = require('dgram').createSocket('udp6');
      s.bind(...at);
      return s;
    };`;
    const server = lab.outside.start([
      ...[process.execPath, '-e'],
      `${open} const answer = open(7101, '${other}');
      open(7100, '${OUTSIDE6}').on('message', (_, { address, port }) => answer.send('hello', port, address))
        .on('listening', () => console.log('listening'));`,
    ]);
    await server.prints(/listening/);
    const ask = `${open} const s = open(5000, '${GUEST6}');
      s.on('message', (text, { address, port }) => { console.log(address, port, String(text)); s.close(); });
      s.send('x', 7100, '${OUTSIDE6}');
      setTimeout(() => process.exit(1), 10000).unref();`;
    const said = await guest.run(process.execPath, '-e', ask);
    assert.equal(said, `${other} 7101 hello\n`);
    await server.stop();
  });

  it('the host address of either family leads to a server of the other, by TCP and UDP', async () => {
    const [only6, only4] = [HTTP_PORT + 200, HTTP_PORT + 300];
    await lab.startServers(lab.host, '::1', only6);
    await lab.startServers(lab.host, '127.0.0.1', only4);
    for (const [address, port] of [
      [HOST, only6],
      [HOST6, only4],
    ] as const) {
      const url = `http://${address.includes(':') ? `[${address}]` : address}:${port}/`;
      assert.equal(await guest.run('curl', '-gsS', '-m', '5', url), 'hello from the host\n');
      const args = ['udp', address, String(port + 5), '400'];
      const { got } = JSON.parse(await guest.run(process.execPath, HELD, ...args));
      assert.equal(got, 'equal', address);
    }
  });

  for (const [how, ...args] of [
    ['TCP to the host'],
    ['TCP to the guest', '-R'],
    ['UDP to the host', '-u', '-b', '10M'],
    ['UDP to the guest', '-u', '-b', '10M', '-R'],
  ] as const) {
    it(`iperf3 -6: ${how}`, async () => {
      const server = lab.outside.start(['iperf3', '-s', '-1', '--forceflush', '-B', OUTSIDE6]);
      await server.prints(/listening/);
      const command = ['iperf3', '-6', '-J', '-t', '1', '-c', OUTSIDE6, ...args];
      const { end } = JSON.parse(await guest.run(...command));
      const { bytes, lost_percent: lost = 0 } = end.sum_received ?? end.sum;
      assert.ok(bytes > MIB, `${bytes} bytes`);
      assert.ok(lost < 5, `${lost} % lost`);
      await server.exited;
    });
  }
});
