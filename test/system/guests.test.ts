import assert from 'node:assert/strict';
import { tool } from '../../bench/rig/tools.ts';
import { makePacketNamespace } from '../../src/lab/guest/packet-namespace.ts';
import { LAB, systemSuite } from '../support/requirements.ts';
import { client, download } from './support/clients.ts';
import { type Guest, HOST, HTTP_PORT, Lab } from './support/lab.ts';
import { Background } from './support/processes.ts';
import { until } from './support/until.ts';

const MIB = 1 << 20;
const ECHO_PORT = 7000;

systemSuite('guests', [...LAB, 'gcc', 'ping', 'curl', 'dhclient', 'userns'], function () {
  this.timeout(60_000);
  let lab: Lab;
  beforeEach(async () => {
    lab = await Lab.open();
    await lab.startServers(lab.host);
  });
  afterEach(() => lab.close());

  const server = `http://${HOST}:${HTTP_PORT}`;

  it('two at once see each other and both the host', async () => {
    const socket = lab.path('qemu.sock');
    const one = await lab.addGuest();
    const two = await lab.addGuest({ bridgeTo: socket });
    const three = await lab.addGuest({ bridgeTo: socket });
    await lab.startDaemon(['--listen', one.link, '--listen', `qemu:${socket}`]);
    await two.plug();
    await three.plug();
    const guests = [one, two, three];
    const addresses: string[] = [];
    for (const guest of guests) addresses.push((await guest.lease()).address);
    assert.equal(new Set(addresses).size, 3);
    for (const guest of guests) {
      for (const address of addresses) {
        const text = await guest.run('ping', '-c', '3', '-i', '0.05', '-w', '5', address);
        assert.match(text, /3 received/);
      }
    }
    await lab.startServers(one);
    await lab.startServers(two);
    const [first = '', second = ''] = addresses;
    await download(three, `http://${first}:${HTTP_PORT}`, 8 * MIB);
    await download(one, `http://${second}:${HTTP_PORT}`, 8 * MIB);
    await Promise.all(guests.map((guest) => download(guest, server, 8 * MIB)));
  });

  for (const dhcp of ['udhcpc', 'dhclient', 'own'] as const) {
    it(`the DHCP client "${dhcp}" gets address, router, DNS and MTU`, async () => {
      const guest = await lab.addGuest({ client: dhcp });
      await lab.startDaemon(['--listen', guest.link, '--mtu', '1400']);
      const lease = await guest.lease();
      assert.deepEqual(
        { ...lease, client: '' },
        {
          address: '192.168.127.2',
          prefixLen: 24,
          router: '192.168.127.1',
          dns: '192.168.127.1',
          mtu: 1400,
          client: '',
        },
      );
      assert.equal(await guest.run('curl', '-sS', `${server}/`), 'hello from the host\n');
    });
  }

  it('1,000 idle connections cost at most 64 MiB', async () => {
    const guest: Guest = await lab.addGuest();
    const daemon = await lab.startDaemon(['--listen', guest.link]);
    await guest.lease();
    const echo = lab.host.start([tool('netbench'), 'srv', String(ECHO_PORT)]);
    await until('netbench to listen', async () =>
      (await lab.host.run('ss', '-Hltn', `sport = :${ECHO_PORT}`)).includes('LISTEN'),
    );
    await download(guest, server, 8 * MIB);
    const before = daemon.residentBytes;
    const hold = guest.start([tool('netbench'), 'hold', HOST, String(ECHO_PORT), '1000'], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    await hold.prints(/"held":1000,/);
    const grown = daemon.residentBytes - before;
    assert.ok(grown <= 64 * MIB, `grew by ${(grown / MIB).toFixed(1)} MiB`);
    const flows = await daemon.flows();
    assert.equal(flows.filter((flow) => flow.remotePort === ECHO_PORT).length, 1000);
    hold.child.stdin?.end();
    assert.equal(await hold.exited, 0);
    assert.ok(echo.isRunning);
    await until('the flows to be gone', async () => {
      const left = await daemon.flows();
      return left.every((flow) => flow.remotePort !== ECHO_PORT);
    });
  });

  it('an unprivileged namespace gives a packet socket', async () => {
    const namespace = await makePacketNamespace();
    try {
      const [program = '', ...args] = namespace.enter(['ip', '-br', 'link', 'show', 'eth0']);
      const ip = new Background([program, ...args], {});
      assert.equal(await ip.exited, 0, ip.stderr);
      assert.match(ip.stdout, /^eth0@hawser0/);
      assert.ok(namespace.packetFd !== undefined && namespace.packetFd > 2);
    } finally {
      namespace.remove();
    }
  });

  it('1,000 downloads by two guests at once', async () => {
    const socket = lab.path('qemu.sock');
    const one = await lab.addGuest();
    const two = await lab.addGuest({ bridgeTo: socket });
    await lab.startDaemon(['--listen', one.link, '--listen', `qemu:${socket}`]);
    await two.plug();
    await one.lease();
    await two.lease();
    const all = [one, two].map((guest) => client(guest, 'many', server, '500', '32768'));
    for (const result of await Promise.all(all)) {
      assert.deepEqual(result, { good: 500, bad: 0, errors: {} });
    }
  });
});
