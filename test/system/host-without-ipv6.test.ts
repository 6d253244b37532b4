/** A daemon whose host has no IPv6: guests have it among themselves, everything else is as with IPv4 alone. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { buildNoIpv6 } from '../support/no-family.ts';
import { LAB, systemSuite } from '../support/requirements.ts';
import { download } from './support/clients.ts';
import { Daemon } from './support/daemon.ts';
import { type Guest, HOST, HTTP_PORT, Lab, OUTSIDE } from './support/lab.ts';
import { until } from './support/until.ts';

const SUBNET6 = 'fd12:3456:0:1::/64';
const GATEWAY6 = 'fd12:3456:0:1::1';
const HOST6 = 'fd12:3456:0:1::254';
const OUTSIDE6 = '2001:db8:18::1';
const PUBLISHED = 9100;
const KIB = 1 << 10;

const CONNECT = `const s = require('net').connect({ host: process.argv[1], port: +process.argv[2] });
  const end = (what) => { console.log(what); process.exit(); };
  s.on('connect', () => end('connected'));
  s.on('error', (e) => end(e.code));`;

const REFUSED = `const s = require('dgram').createSocket('udp6');
  s.on('error', (e) => { console.log(e.code); s.close(); });
  s.connect(+process.argv[2], process.argv[1], () => s.send('x'));`;

for (const [what, isShim] of [
  ['a kernel without the family', true],
  ['net.ipv6.conf.all.disable_ipv6', false],
] as const) {
  systemSuite(`a host without IPv6: ${what}`, [...LAB, 'ipv6', 'gcc', 'curl', 'dig'], function () {
    this.timeout(60_000);
    let lab: Lab;
    let guest: Guest;
    let daemon: Daemon;
    let shim: { readonly library: string; readonly dir: string } | undefined;

    before(async () => {
      lab = await Lab.open();
      await lab.startServers(lab.host);
      await lab.startServers(lab.outside);
      guest = await lab.addGuest();
      const args = [
        ...['--listen', guest.link, '--subnet6', SUBNET6, '--log-level', 'info'],
        ...['-p', `${PUBLISHED}:${HTTP_PORT}`, '-p', `*:${PUBLISHED + 1}:${HTTP_PORT}`],
        ...['-p', `${PUBLISHED}:${HTTP_PORT + 5}/udp`],
      ];
      if (isShim) {
        shim = buildNoIpv6();
        const env = { XDG_RUNTIME_DIR: lab.dir, LD_PRELOAD: shim.library };
        daemon = new Daemon(
          lab.host.enter(Daemon.command([...args, '--sandbox', 'off'])),
          env,
          lab.path('hawser'),
        );
        lab.track(daemon);
        await daemon.ready();
      } else {
        await lab.host.run('sysctl', '-qw', 'net.ipv6.conf.all.disable_ipv6=1');
        daemon = await lab.startDaemon(args);
      }
      await guest.lease();
      await lab.startServers(guest, '::');
    });
    after(async () => {
      await lab.close();
      if (shim !== undefined) rmSync(shim.dir, { recursive: true });
    });
    afterEach(() => assert.ok(daemon.isRunning, daemon.stderr));

    const hasAddress = async (): Promise<boolean> => {
      const text = await guest.run('ip', '-6', 'addr', 'show', 'dev', 'eth0', 'scope', 'global');
      return /inet6 fd12:3456:0:1:\S+\/64 scope global dynamic/.test(text);
    };
    const connect = async (host: string): Promise<string> =>
      (await guest.run(process.execPath, '-e', CONNECT, host, `${HTTP_PORT}`)).trim();

    it('is one note', () => {
      const log = `${daemon.stdout}${daemon.stderr}`;
      assert.equal(log.match(/this host has no IPv6/g)?.length, 1, log);
    });

    it('guests reach the host and beyond by IPv4 as ever', async () => {
      await download(guest, `http://${HOST}:${HTTP_PORT}`, 64 * KIB);
      await download(guest, `http://${OUTSIDE}:${HTTP_PORT}`, 64 * KIB);
    });

    for (const [port, where] of [
      [PUBLISHED, '127.0.0.1'],
      [PUBLISHED + 1, '198.18.0.10'],
    ] as const) {
      it(`a published port is taken on the family that there is: ${where}`, async () => {
        await download(lab.host, `http://${where}:${port}`, 64 * KIB);
      });
    }

    it('guests have addresses of IPv6, and no default route', async () => {
      await until('an address', hasAddress);
      assert.doesNotMatch(await guest.run('ip', '-6', 'route'), /^default/m);
    });

    it('the gateway answers DNS by IPv6', async () => {
      await until('an address', hasAddress);
      const { stdout } = await guest.try('dig', `@${GATEWAY6}`, 'host.hawser.internal', 'AAAA');
      assert.match(stdout, /fd12:3456:0:1::254/);
    });

    it("the host's loopback is reached by IPv6, since its twin is there", async () => {
      await until('an address', hasAddress);
      await download(guest, `http://[${HOST6}]:${HTTP_PORT}`, 64 * KIB);
    });

    it('a datagram to a port of the host where nobody listens is refused', async () => {
      await until('an address', hasAddress);
      const refused = await guest.run(process.execPath, '-e', REFUSED, HOST6, '9');
      assert.equal(refused.trim(), 'ECONNREFUSED');
    });

    it('what is beyond is unreachable at once', async () => {
      await guest.run('ip', 'route', 'replace', 'default', 'via', GATEWAY6, 'dev', 'eth0');
      const since = performance.now();
      assert.equal(await connect(OUTSIDE6), 'ENETUNREACH');
      assert.ok(performance.now() - since < 2_000);
    });
  });
}
