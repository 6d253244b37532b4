/** Guests that are known from their lease only, and guests that change their Ethernet address without a word. */
import assert from 'node:assert/strict';
import { LAB, systemSuite } from '../support/requirements.ts';
import { GUEST6, SUBNET6 } from './support/ipv6.ts';
import { HTTP_PORT, Lab } from './support/lab.ts';
import { until } from './support/until.ts';

const PORT = '9000';
const NEW_MAC = '02:00:00:00:77:01';

systemSuite('neighbors', [...LAB, 'ipv6', 'curl', 'nc'], function () {
  this.timeout(60_000);
  let lab: Lab;
  beforeEach(async () => {
    lab = await Lab.open();
  });
  afterEach(() => lab.close());

  it('the first datagram to a guest that has only done DHCP arrives', async () => {
    const guest = await lab.addGuest();
    const publish = `127.0.0.1:${PORT}:${PORT}/udp`;
    await lab.startDaemon(['--listen', guest.link, '--publish', publish]);
    await guest.lease();
    const sink = guest.start(['nc', '-u', '-l', PORT], { stdio: ['ignore', 'pipe', 'pipe'] });
    await until('nc to listen', async () => (await guest.run('ss', '-Hlun')).includes(`:${PORT} `));
    await lab.host.run('sh', '-c', `echo once | nc -u -w 1 -q 0 127.0.0.1 ${PORT}`);
    await sink.prints(/once/);
  });

  it('the first datagram to a guest with a static address waits for ARP', async () => {
    const guest = await lab.addGuest();
    const publish = `127.0.0.1:${PORT}:192.168.127.9:${PORT}/udp`;
    await lab.startDaemon(['--listen', guest.link, '--publish', publish]);
    await guest.run('ip', 'addr', 'add', '192.168.127.9/24', 'dev', 'eth0');
    const sink = guest.start(['nc', '-u', '-l', PORT], { stdio: ['ignore', 'pipe', 'pipe'] });
    await until('nc to listen', async () => (await guest.run('ss', '-Hlun')).includes(`:${PORT} `));
    await lab.host.run('sh', '-c', `echo once | nc -u -w 1 -q 0 127.0.0.1 ${PORT}`);
    await sink.prints(/once/);
  });

  for (const [family, address, bits, target] of [
    ['IPv4', '192.168.127.9', 24, '192.168.127.9'],
    ['IPv6', GUEST6, 64, `[${GUEST6}]`],
  ] as const) {
    it(`a guest whose Ethernet address changes without a word is found again by ${family}`, async () => {
      const guest = await lab.addGuest();
      const publish = `127.0.0.1:${HTTP_PORT}:${target}:${HTTP_PORT}`;
      const args = ['--subnet6', SUBNET6, '--publish', publish];
      await lab.startDaemon(['--listen', guest.link, ...args]);
      await guest.run('sysctl', '-qw', 'net.ipv6.conf.eth0.addr_gen_mode=1');
      const nodad = family === 'IPv6' ? ['nodad'] : [];
      await guest.run('ip', 'addr', 'add', `${address}/${bits}`, 'dev', 'eth0', ...nodad);
      await lab.startServers(guest, address);
      const get = (): Promise<string> =>
        lab.host.run('curl', '-sS', '-m', '10', `http://127.0.0.1:${HTTP_PORT}/`);
      const page = await get();
      await guest.run('sysctl', '-qw', 'net.ipv4.conf.all.arp_notify=0');
      await guest.run('ip', 'link', 'set', 'eth0', 'address', NEW_MAC);
      assert.match(await guest.run('ip', '-br', 'link', 'show', 'eth0'), new RegExp(NEW_MAC));
      assert.equal(await get(), page);
    });
  }
});
