/** A guest that has IPv6 alone, and asks no DHCP server: it is reached from its first second on. */
import assert from 'node:assert/strict';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { addIpv6, GATEWAY6, HOST6, SUBNET6 } from './support/ipv6.ts';
import { type Guest, HOST_OUTER, HTTP_PORT, Lab } from './support/lab.ts';
import { until } from './support/until.ts';

const PUBLISHED = 18_500;
const HELLO = 'hello from the host\n';

systemSuite('a guest with IPv6 alone', [...LAB, 'ipv6', 'curl'], function () {
  this.timeout(60_000);
  let lab: Lab;
  let guest: Guest;
  let daemon: Daemon;

  before(async () => {
    lab = await Lab.open();
    await addIpv6(lab);
    guest = await lab.addGuest();
    // Time to come in between: two questions whether an address is a duplicate, a second each.
    await guest.run('sysctl', '-qw', 'net.ipv6.conf.default.dad_transmits=2');
    await lab.startServers(guest, '::');
    const args = ['--subnet6', SUBNET6, '--ipv6', 'on', '--ipv6-mode', 'slaac'];
    const port = `*:${PUBLISHED}:${HTTP_PORT}`;
    daemon = await lab.startDaemon(['--listen', guest.link, ...args, '-p', port]);
  });
  after(() => lab.close());
  afterEach(() => assert.ok(daemon.isRunning, daemon.stderr));

  const prefix = SUBNET6.slice(0, SUBNET6.indexOf('::'));
  const addresses = async (): Promise<string> => {
    const list = await guest.run('ip', '-6', '-o', 'addr', 'show', 'dev', 'eth0');
    return list.split('\n').find((line) => line.includes(prefix)) ?? '';
  };
  const curl = (where: 'host' | 'outside', address: string): Promise<string> =>
    lab[where].run('curl', '-gsS', '-m', '10', `http://${address}:${PUBLISHED}/`);

  // Detection of duplicates takes a second or two, in which the address answers nobody.
  it('a client waits for an address that is still tentative, and is not reset', async () => {
    // Until its question is heard, there is no guest that could be waited for.
    let before = '';
    const hello = await until('the question whether the address is a duplicate', async () => {
      before = await addresses();
      return await curl('host', '[::1]');
    });
    assert.equal(hello, HELLO);
    assert.match(before, /tentative/);
  });

  it('clients of both families, on the host and outside', async () => {
    assert.equal(await curl('host', '127.0.0.1'), HELLO);
    assert.equal(await curl('outside', HOST_OUTER), HELLO);
    assert.match(await daemon.request('/v1/guests'), new RegExp(`"${prefix}`));
  });

  it('its own connections: the host, and the gateway', async () => {
    await lab.startServers(lab.host, '127.0.0.1');
    const url = `http://[${HOST6}]:${HTTP_PORT}/`;
    assert.equal(await guest.run('curl', '-gsS', '-m', '5', url), HELLO);
    assert.match(await guest.run('ip', '-6', 'route', 'get', GATEWAY6), /dev eth0/);
  });
});
