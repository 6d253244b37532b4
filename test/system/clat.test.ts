/** 464XLAT (RFC 6877): programs that know IPv4 alone, in a guest that has IPv6 alone, by a translator of its own and our NAT64. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { LAB, systemSuite } from '../support/requirements.ts';
import { download, upload } from './support/clients.ts';
import type { Daemon } from './support/daemon.ts';
import { SUBNET6, slaacAddress } from './support/ipv6.ts';
import { type Guest, HTTP_PORT, Lab } from './support/lab.ts';
import { until } from './support/until.ts';

const MIB = 1 << 20;
const HELD = fileURLToPath(new URL('./support/port-clients-main.js', import.meta.url));
/** A server of the Internet's, which is in the outside. */
const PUBLIC = '11.1.1.1';
/** Of the programs, and what the translator makes of it, which it answers for as a proxy. */
const INNER = '192.0.0.1';
const OUTER = 'fd12:3456:0:1:464::1';
/** Of the translator itself. */
const TRANSLATOR = '192.0.0.2';
/** RFC 7915 §1.4: a header of IPv6 is longer, and may have one for fragments. */
const INNER_MTU = '1472';

systemSuite('464XLAT', [...LAB, 'ipv6', 'tayga', 'curl', 'ping'], function () {
  this.timeout(60_000);
  let lab: Lab;
  let guest: Guest;
  let daemon: Daemon;

  before(async () => {
    lab = await Lab.open();
    await lab.outside.run('ip', 'addr', 'add', `${PUBLIC}/32`, 'dev', 'lo');
    await lab.startServers(lab.outside, PUBLIC);
    guest = await lab.addGuest();
    daemon = await lab.startDaemon(['--listen', guest.link, '--subnet6', SUBNET6, '--nat64']);
    const set = (...settings: string[]): Promise<string> => guest.run('sysctl', '-qw', ...settings);
    await set('net.ipv6.conf.eth0.accept_ra=2', 'net.ipv6.conf.eth0.proxy_ndp=1');
    await set('net.ipv6.conf.all.forwarding=1', 'net.ipv4.conf.all.forwarding=1');
    await guest.run('ip', 'link', 'set', 'eth0', 'up');
    await slaacAddress(guest);
    await until('a default route', async () =>
      (await guest.run('ip', '-6', 'route', 'show', 'default')).includes('via fe80:'),
    );
    await translate();
  });
  after(() => lab.close());
  afterEach(() => assert.ok(daemon.isRunning, daemon.stderr));

  async function translate(): Promise<void> {
    const conf = lab.path('tayga.conf');
    const lines = [`ipv4-addr ${TRANSLATOR}`, 'prefix 64:ff9b::/96', `map ${INNER} ${OUTER}`];
    writeFileSync(conf, ['tun-device clat', ...lines, ''].join('\n'));
    const ip = (...args: string[]): Promise<string> => guest.run('ip', ...args);
    await guest.run('tayga', '-c', conf, '--mktun');
    await ip('link', 'set', 'clat', 'up');
    await ip('addr', 'add', `${INNER}/32`, 'dev', 'clat');
    await ip('route', 'add', 'default', 'dev', 'clat', 'src', INNER, 'mtu', INNER_MTU);
    await ip('-6', 'route', 'add', OUTER, 'dev', 'clat');
    await ip('-6', 'neigh', 'add', 'proxy', OUTER, 'dev', 'eth0');
    guest.start(['tayga', '-c', conf, '--nodetach']);
  }

  it('TCP: 8 MiB each way', async () => {
    const url = `http://${PUBLIC}:${HTTP_PORT}`;
    await download(guest, url, 8 * MIB);
    await upload(guest, url, 8 * MIB);
  });

  it('pings, with DF and without; flows show both addresses of who is pinged', async () => {
    for (const df of ['do', 'dont']) {
      const args = ['-4', '-n', '-c', '3', '-i', '0.1', '-W', '5', '-M', df, PUBLIC];
      assert.match((await guest.try('ping', ...args)).stdout, / 3 received/);
    }
    const flows = await daemon.request('/v1/flows');
    assert.match(flows, new RegExp(`"64:ff9b::b01:101","dialledAddress":"${PUBLIC}"`));
  });

  it('UDP, 1 to 9,000 bytes', async () => {
    for (const size of ['1', '1400', '1472', '9000']) {
      const args = ['udp', PUBLIC, String(HTTP_PORT + 5), size];
      const { got } = JSON.parse(await guest.run(process.execPath, HELD, ...args));
      assert.equal(got, 'equal', size);
    }
  });

  it('TCP: what is refused is refused', async () => {
    const { status, stderr } = await guest.try('curl', '-sS', '-m', '5', `http://${PUBLIC}:9/`);
    assert.equal(status, 7, stderr);
  });
});
