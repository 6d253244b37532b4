/** Guests of the drop-ins behind proxies of the distribution: by vpnkit's command line, and by the environment of gvproxy. */
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { LAB, systemSuite } from '../support/requirements.ts';
import { BehindProxy, ORIGIN } from './support/behind-proxy.ts';
import { GATEWAY, type Guest, OUTSIDE, withEtc } from './support/lab.ts';
import {
  SQUID_PORT,
  type Squid,
  startSquid,
  startTinyproxy,
  TINYPROXY_PORT,
} from './support/proxies.ts';
import { until } from './support/until.ts';

const VPNKIT_MAIN = fileURLToPath(new URL('../../bin/hawser-vpnkit.js', import.meta.url));
const GVPROXY_MAIN = fileURLToPath(new URL('../../bin/hawser-gvproxy.js', import.meta.url));
const UUID = '4a1b2c3d-0000-4000-8000-000000000001';
const ok = (host: string): string => `0 GET host ${host} body 0`;
const SEND_UDP = `const s = require('dgram').createSocket('udp4');
  s.on('error', (e) => { console.log(e.code); process.exit(); });
  s.on('message', () => { console.log('echo'); process.exit(); });
  s.connect(Number(process.argv[2]), process.argv[1], () => s.send(process.argv[3]));
  setTimeout(() => { console.log('silence'); process.exit(); }, 3000);`;

systemSuite(
  "upstream proxies of vpnkit's command line: tinyproxy",
  [...LAB, 'curl', 'dnsmasq', 'gcc', 'openssl', 'tinyproxy'],
  function () {
    this.timeout(60_000);
    let behind: BehindProxy;
    after(() => behind.lab.close());

    it('are those of its file, which is followed, and of its API', async () => {
      behind = await BehindProxy.open();
      const { lab } = behind;
      await startTinyproxy(behind, (argv) => behind.withHosts(argv));
      const ethernet = lab.path('ethernet.sock');
      const file = lab.path('proxy.json');
      const api = lab.path('http.sock');
      const url = `http://${OUTSIDE}:${TINYPROXY_PORT}`;
      const proxies = { http: `${OUTSIDE}:${TINYPROXY_PORT}`, https: url };
      writeFileSync(file, JSON.stringify(proxies));
      const vpnkit = lab.host.start([
        ...[process.execPath, VPNKIT_MAIN, '--ethernet', ethernet],
        ...['--http', file, '--http-api-path', api],
      ]);
      await until('the sockets', () =>
        existsSync(ethernet) && existsSync(api) ? true : undefined,
      );
      const guest = await lab.addGuest({ bridgeTo: ethernet, framing: `vmn3t=${UUID}` });
      await guest.plug();
      await guest.lease();
      const curl = async (...args: readonly string[]): Promise<string> => {
        const { stdout, status } = await guest.try('curl', '-sS', '-k', '-m', '8', ...args);
        return `${status} ${stdout.trim()}`;
      };
      const named = ['--resolve', `a.test:443:${ORIGIN}`, '--resolve', `a.test:80:${ORIGIN}`];
      assert.equal(await curl(...named, 'https://a.test/'), ok('a.test'));
      assert.equal(await curl(...named, 'http://a.test/'), ok('a.test'));
      for (const port of [3128, 3129]) {
        const by = ['-x', `http://192.168.65.1:${port}`];
        assert.equal(await curl(...by, 'https://a.test/'), ok('a.test'));
      }
      const get = async (...args: readonly string[]): Promise<string> =>
        await lab.host.run(
          ...['curl', '-sS', '-w', ' %{http_code}', '--unix-socket', api, ...args],
          'http://x/http_proxy.json',
        );
      assert.deepEqual(JSON.parse((await get()).replace(/ 200$/, '')), proxies);
      assert.match(await get('-d', '{"https": 5}'), /^https: .* 400$/);
      assert.equal(await get('-d', '{}'), ' 200');
      assert.match(await curl(...named, 'https://a.test/'), /^7 /);
      writeFileSync(file, JSON.stringify({ https: proxies.https, exclude: '' }));
      await until('the file to be read', async () =>
        (await curl(...named, 'https://a.test/')).startsWith('0 ') ? true : undefined,
      );
      assert.match(await curl(...named, 'http://a.test/'), /^7 /);
      await vpnkit.stop('SIGTERM');
    });
  },
);

systemSuite(
  "upstream proxies of gvproxy's environment: squid",
  [...LAB, 'curl', 'dnsmasq', 'gcc', 'openssl', 'squid'],
  function () {
    this.timeout(60_000);
    let behind: BehindProxy;
    let guest: Guest;
    let squid: Squid;
    const url = `http://${OUTSIDE}:${SQUID_PORT}`;

    before(async () => {
      behind = await BehindProxy.open();
      squid = await startSquid(behind.lab, behind.lab.outside);
    });
    after(() => behind.lab.close());

    /** As podman does: a command line that knows of no proxy, and its own environment. */
    const launch = async (name: string, env: Readonly<Record<string, string>>): Promise<void> => {
      const { lab } = behind;
      const socket = lab.path(`${name}.sock`);
      const etc = lab.path('gvproxy-etc');
      mkdirSync(etc, { recursive: true });
      for (const file of ['passwd', 'group']) cpSync(`/etc/${file}`, `${etc}/${file}`);
      writeFileSync(`${etc}/resolv.conf`, `nameserver ${OUTSIDE}\n`);
      const flags = ['-mtu', '1500', '-ssh-port', '-1', '-listen-qemu', `unix://${socket}`];
      lab.host.start(withEtc(etc, [process.execPath, GVPROXY_MAIN, ...flags]), { env });
      await until('the socket', () => (existsSync(socket) ? true : undefined));
      guest = await lab.addGuest({ bridgeTo: socket });
      await guest.plug();
      await guest.lease();
      squid.log();
    };
    const curl = async (...args: readonly string[]): Promise<string> => {
      const argv = ['curl', '-sS', '-k', '-m', '8', ...args];
      const { stdout, status } = await guest.try(...withEtc(behind.lab.path('etc'), argv));
      return `${status} ${stdout.trim()}`;
    };

    it('has http, https and keep-alive by name, and what is excluded directly', async () => {
      await launch('own', { HAWSER_UPSTREAM_PROXY: url, HAWSER_PROXY_EXCLUDE: 'free.test x.test' });
      assert.equal(await curl('https://a.test/'), ok('a.test'));
      const urls = ['http://a.test/1', 'http://b.test/2'];
      assert.equal((await curl(...urls)).match(/host (a|b)\.test/g)?.length, 2);
      assert.equal(await curl('-x', `http://${GATEWAY}:3128`, 'https://a.test/'), ok('a.test'));
      await squid.logged(
        /CONNECT a\.test:443[\s\S]*GET http:\/\/a\.test\/1[\s\S]*GET http:\/\/b\.test\/2[\s\S]*CONNECT/,
      );
      assert.equal(await curl('https://free.test/'), ok('free.test'));
      assert.equal(squid.log(), '');
      const { stdout } = await guest.try(process.execPath, '-e', SEND_UDP, ORIGIN, '443', 'x');
      assert.equal(stdout.trim(), 'ECONNREFUSED');
    });

    it("has the proxy of the launcher's own variables where it is asked to", async () => {
      await launch('env', {
        ...{ HAWSER_UPSTREAM_PROXY: 'env', https_proxy: url, no_proxy: 'free.test' },
      });
      assert.equal(await curl('https://a.test/'), ok('a.test'));
      await squid.logged(/CONNECT a\.test:443/);
      assert.equal(await curl('https://free.test/'), ok('free.test'));
      assert.match(await curl('http://a.test/'), /^7 /);
      assert.equal(squid.log(), '');
    });

    it('never goes past a proxy that has ended', async () => {
      await launch('ended', { HAWSER_UPSTREAM_PROXY: url });
      assert.equal(await curl('https://a.test/'), ok('a.test'));
      behind.origin.stdout = '';
      await squid.process.stop();
      assert.match(await curl('-i', 'http://a.test/'), /^0 HTTP\/1\.1 502/);
      assert.match(await curl('https://free.test/'), /^35 /);
      assert.equal(behind.origin.stdout, '');
    });

    it('has none where nobody has said so', async () => {
      await launch('none', { https_proxy: url, http_proxy: url });
      assert.match(await curl('https://a.test/'), /^7 /);
      assert.equal(await curl('https://free.test/'), ok('free.test'));
    });
  },
);
