/** A guest behind tinyproxy, and behind dante: a proxy that wants a password, and one of SOCKS with names and datagrams. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { prepareBind } from '../proxy/dns/bind.ts';
import { LAB, systemSuite } from '../support/requirements.ts';
import { BehindProxy, ORIGIN, putProxy } from './support/behind-proxy.ts';
import type { Daemon } from './support/daemon.ts';
import { GATEWAY, OUTSIDE } from './support/lab.ts';
import type { Background } from './support/processes.ts';
import { DANTE_PORT, startDante, startTinyproxy, TINYPROXY_PORT } from './support/proxies.ts';
import { until } from './support/until.ts';

const ok = (host: string, body = 0, method = 'GET'): string =>
  `0 ${method} host ${host} body ${body}`;
const SEND_UDP = `const s = require('dgram').createSocket('udp4');
  s.on('error', (e) => { console.log(e.code); process.exit(); });
  s.on('message', (m, from) => { console.log(m + ' from ' + from.address); process.exit(); });
  s.connect(Number(process.argv[2]), process.argv[1], () => s.send(process.argv[3]));
  setTimeout(() => { console.log('silence'); process.exit(); }, 4000);`;

systemSuite(
  'upstream proxy with a password: tinyproxy',
  [...LAB, 'curl', 'dig', 'dnsmasq', 'openssl', 'tinyproxy'],
  function () {
    this.timeout(60_000);
    let behind: BehindProxy;
    let daemon: Daemon;
    let proxy: Background;

    before(async () => {
      behind = await BehindProxy.open();
      writeFileSync(behind.lab.path('secret'), 'user:pass\n', { mode: 0o600 });
      proxy = await startTinyproxy(behind, (argv) => behind.withHosts(argv), [
        'BasicAuth user pass',
      ]);
      daemon = await behind.start([
        ...['--upstream-proxy', `http://${OUTSIDE}:${TINYPROXY_PORT}`],
        ...['--proxy-auth-file', behind.lab.path('secret')],
      ]);
    });
    after(() => behind.lab.close());

    it('has http and https with the password of a file', async () => {
      assert.equal(await behind.curl('http://a.test/'), ok('a.test'));
      assert.equal(await behind.curl('https://a.test/'), ok('a.test'));
      assert.equal(
        await behind.curl('-x', `http://${GATEWAY}:3128`, 'https://a.test/'),
        ok('a.test'),
      );
      const urls = ['http://a.test/1', 'http://b.test/2', 'http://a.test/3'];
      assert.equal((await behind.curl(...urls)).match(/host (a|b)\.test/g)?.length, 3);
    });

    it('finds its proxy by name, with all of the sandbox', async () => {
      const { lab } = behind;
      await daemon.stop('SIGTERM');
      const etc = lab.path('host-etc');
      mkdirSync(etc);
      for (const name of ['passwd', 'group']) cpSync(`/etc/${name}`, `${etc}/${name}`);
      writeFileSync(`${etc}/hosts`, `${OUTSIDE} proxy.test\n`);
      writeFileSync(`${etc}/nsswitch.conf`, 'hosts: files dns\n');
      writeFileSync(`${etc}/resolv.conf`, `nameserver ${OUTSIDE}\n`);
      daemon = await behind.start(
        [
          ...['--upstream-proxy', `http://proxy.test:${TINYPROXY_PORT}`, '--sandbox', 'strict'],
          ...['--proxy-auth-file', lab.path('secret')],
        ],
        etc,
      );
      assert.equal(await behind.curl('https://a.test/'), ok('a.test'));
      assert.equal(await behind.curl('http://a.test/'), ok('a.test'));
      await putProxy(daemon, { upstreamProxy: `http://no.test:${TINYPROXY_PORT}` });
      assert.match(await behind.curl('-i', 'http://a.test/'), /^0 HTTP\/1\.1 502 [\s\S]*cannot be/);
      await putProxy(daemon, {
        upstreamProxy: `http://proxy.test:${TINYPROXY_PORT}`,
        proxyAuthFile: lab.path('secret'),
      });
    });

    it('resolves names alone: synthetic addresses for http, https and any other port, and DNS through it', async () => {
      const upstreamProxy = `http://${OUTSIDE}:${TINYPROXY_PORT}`;
      const proxyAuthFile = behind.lab.path('secret');
      await putProxy(daemon, { upstreamProxy, proxyAuthFile, proxyNames: 'proxy' });
      const dig = async (...args: readonly string[]): Promise<string> =>
        (await behind.guest.run('dig', `@${GATEWAY}`, '+short', ...args)).trim();
      assert.match(await dig('only.test'), /^198\.19\.\d+\.\d+$/);
      assert.equal(await behind.curl('https://only.test/'), ok('only.test'));
      assert.equal(await behind.curl('http://only.test/'), ok('only.test'));
      assert.equal(await behind.curl('http://only.test:8080/'), ok('only.test:8080'));
      assert.match(await dig('-t', 'MX', 'a.test'), /mail\.a\.test/);
      await putProxy(daemon, { upstreamProxy, proxyAuthFile });
    });

    it('passes an upload of 100 MB', async () => {
      writeFileSync(behind.lab.path('big'), Buffer.alloc(100_000_000, 'x'));
      const args = ['--data-binary', `@${behind.lab.path('big')}`, '-m', '40'];
      for (const url of ['http://a.test/', 'https://a.test/']) {
        assert.equal(await behind.curl(...args, url), ok('a.test', 100_000_000, 'POST'));
      }
    });

    it('has uploads that wait for 100 in vain: this proxy wants the body first', async () => {
      const path = behind.lab.path('expected');
      writeFileSync(path, Buffer.alloc(2_000_000, 'x'));
      behind.origin.stdout = '';
      const up = ['-T', path, 'http://a.test/up'];
      const body = ok('a.test', 2_000_000, 'PUT').slice(2);
      assert.equal(
        await behind.curl(...up, ...up, '-w', 'connects %{num_connects}\n'),
        `0 ${body}\nconnects 1\n${body}\nconnects 0`,
      );
      assert.equal(behind.origin.stdout, 'expects a.test /up\n'.repeat(2));
    });

    it('says that the password is wrong by a page, and a reset', async () => {
      await putProxy(daemon, { upstreamProxy: `http://user:wrong@${OUTSIDE}:${TINYPROXY_PORT}` });
      assert.match(
        await behind.curl('-i', 'http://a.test/'),
        /^0 HTTP\/1\.1 401 [\s\S]*not configured/,
      );
      assert.match(await behind.curl('https://a.test/'), /^35 /);
      const upload = ['--data-binary', `@${behind.lab.path('big')}`, '-H', 'Expect:'];
      assert.match(await behind.curl('-i', ...upload, 'http://a.test/'), /^0 HTTP\/1\.1 401 /);
      // It takes a password that is not there for another thing than one that is wrong.
      const none = await putProxy(daemon, { upstreamProxy: `http://${OUTSIDE}:${TINYPROXY_PORT}` });
      assert.equal(none.status, 200);
      const page = await behind.curl('-i', 'http://a.test/');
      assert.match(page, /^0 HTTP\/1\.1 502 [\s\S]*user name and password/);
      assert.match(await behind.curl('https://a.test/'), /^35 /);
    });

    it('ends what is under way with the proxy, and goes nowhere else', async () => {
      await putProxy(daemon, {
        upstreamProxy: `http://${OUTSIDE}:${TINYPROXY_PORT}`,
        proxyAuthFile: behind.lab.path('secret'),
      });
      const slow = behind.curl('-i', 'http://a.test/slow');
      await behind.origin.prints(/a\.test \/slow/);
      await proxy.stop();
      assert.match(await slow, /^0 HTTP\/1\.1 502 /);
      assert.match(await behind.curl('https://a.test/'), /^35 /);
    });
  },
);

systemSuite(
  'upstream proxy of SOCKS: dante',
  [...LAB, 'curl', 'danted', 'dig', 'dnsmasq', 'named', 'openssl'],
  function () {
    this.timeout(60_000);
    let behind: BehindProxy;
    let daemon: Daemon;
    let dante: Background;
    const udp = async (address: string, port: number, text = 'x'): Promise<string> =>
      (await behind.guest.run(process.execPath, '-e', SEND_UDP, address, `${port}`, text)).trim();
    const dig = async (...args: readonly string[]): Promise<string> =>
      await behind.guest.run('dig', `@${GATEWAY}`, '+tries=1', '+timeout=5', ...args);

    before(async () => {
      behind = await BehindProxy.open();
      dante = await startDante(behind, (argv) => behind.withHosts(argv));
      daemon = await behind.start(['--upstream-proxy', `socks5://${OUTSIDE}:${DANTE_PORT}`]);
    });
    after(() => behind.lab.close());

    it('is asked by name: of TLS, of HTTP, and as our DNS has told it', async () => {
      // Our DNS has another address for it, where nobody is.
      assert.equal(await behind.curl('https://moved.test/'), ok('moved.test'));
      assert.equal(await behind.curl('http://moved.test/'), ok('moved.test'));
      assert.equal(await behind.curl('http://moved.test:8080/'), ok('moved.test:8080'));
    });

    it('has a server that speaks first, and refuses as it is refused', async () => {
      const got = await behind.curl('-m', '2', `telnet://${ORIGIN}:25`);
      assert.match(got, /220 hello/);
      assert.match(await behind.curl(`http://${ORIGIN}:81/`), /^7 /);
    });

    it('relays datagrams, which come back from the address that they were sent to', async () => {
      assert.equal(await udp(ORIGIN, 7, 'hello'), `hello from ${ORIGIN}`);
      assert.equal(await udp(ORIGIN, 7, 'x'.repeat(1200)), `${'x'.repeat(1200)} from ${ORIGIN}`);
    });

    it('resolves names alone: synthetic addresses, for TCP and UDP, and DNS through it for the rest', async () => {
      await putProxy(daemon, {
        upstreamProxy: `socks5h://${OUTSIDE}:${DANTE_PORT}`,
        proxyExclude: 'free.test',
      });
      const address = (await dig('+short', 'only.test')).trim();
      assert.match(address, /^198\.19\.\d+\.\d+$/);
      assert.match(await dig('only.test'), /only\.test\.\s+60\s+IN\s+A/);
      assert.equal((await dig('+short', 'only.test')).trim(), address);
      assert.match(await dig('-t', 'AAAA', 'only.test'), /status: NOERROR(.|\n)*ANSWER: 0/);
      assert.match(await dig('-t', 'HTTPS', 'only.test'), /status: NOERROR(.|\n)*ANSWER: 0/);
      assert.equal((await dig('+short', 'free.test')).trim(), OUTSIDE);
      assert.match(await dig('+short', '-t', 'MX', 'a.test'), /mail\.a\.test/);
      assert.equal(await behind.curl('https://only.test/'), ok('only.test'));
      assert.equal(await behind.curl('http://only.test:8080/'), ok('only.test:8080'));
      assert.equal(await udp(address, 7, 'hello'), `hello from ${address}`);
      assert.match(await behind.curl('http://198.19.200.1/'), /^7 /);
      assert.match(await udp('198.19.200.1', 7), /ECONNREFUSED|EHOSTUNREACH/);
    });

    it('has servers that are asked over TLS and HTTPS where it resolves names, and nobody beside it', async () => {
      const { lab } = behind;
      const directory = lab.path('named');
      mkdirSync(directory);
      const ports = { port: 5300, tlsPort: 853, httpsPort: 444 };
      const { command, certificate } = prepareBind({ directory, address: ORIGIN, ...ports });
      writeFileSync(lab.path('authority.pem'), certificate);
      lab.outside.start(command);
      await until('BIND', async () =>
        (await lab.outside.run('ss', '-Hltn')).includes(`${ORIGIN}:444 `) ? true : undefined,
      );
      const { link } = behind.guest;
      for (const server of [
        `tls://${ORIGIN}#dns.example`,
        `https://${ORIGIN}:444/dns-query#dns.example`,
      ]) {
        await daemon.stop('SIGTERM');
        daemon = await lab.startDaemon(
          [
            ...['--listen', link, '--dns', server, '--proxy-exclude', 'ns.test.example'],
            ...['--upstream-proxy', `socks5h://${OUTSIDE}:${DANTE_PORT}`],
          ],
          undefined,
          { NODE_EXTRA_CA_CERTS: lab.path('authority.pem') },
        );
        await behind.guest.lease();
        const { stdout } = dante;
        assert.match(await dig('+short', '-t', 'MX', 'test.example'), /10 mail\.test\.example/);
        assert.match(await dig('+short', '-t', 'TXT', 'txt.test.example'), /"one" "two"/);
        assert.match(dante.stdout.slice(stdout.length), /192\.0\.2\.1\.(853|444)/);
        // Excluded, so asked directly, where nobody can be reached from here.
        assert.match(await dig('ns.test.example'), /status: SERVFAIL/);
      }
      await daemon.stop('SIGTERM');
      daemon = await behind.start([]);
    });

    it('that has ended never means direct', async () => {
      await putProxy(daemon, { upstreamProxy: `socks5://${OUTSIDE}:${DANTE_PORT}` });
      const { stdout } = behind.origin;
      await dante.stop();
      await until('the port', async () =>
        (await behind.lab.outside.run('ss', '-Hltn')).includes(`:${DANTE_PORT} `)
          ? undefined
          : true,
      );
      assert.match(await behind.curl('https://a.test/'), /^35 /);
      assert.match(await behind.curl('http://free.test:8080/'), /^7 /);
      assert.match(await udp(OUTSIDE, 7), /ECONNREFUSED|silence/);
      assert.equal(behind.origin.stdout, stdout);
    });
  },
);

systemSuite(
  'upstream proxy of SOCKS with a password: dante',
  [...LAB, 'curl', 'danted', 'dnsmasq', 'openssl'],
  function () {
    this.timeout(60_000);
    let behind: BehindProxy;
    let daemon: Daemon;
    const udp = async (): Promise<string> =>
      (await behind.guest.run(process.execPath, '-e', SEND_UDP, ORIGIN, '7', 'hello')).trim();

    before(async () => {
      behind = await BehindProxy.open();
      const { lab } = behind;
      const password = (await lab.outside.run('openssl', 'passwd', '-6', 'pass')).trim();
      await startDante(behind, (argv) => behind.withHosts(argv, password), { hasPassword: true });
      writeFileSync(lab.path('secret'), 'user:pass\n', { mode: 0o600 });
      daemon = await behind.start([
        ...['--upstream-proxy', `socks5://${OUTSIDE}:${DANTE_PORT}`],
        ...['--proxy-auth-file', lab.path('secret')],
      ]);
    });
    after(() => behind.lab.close());

    it('has TCP and datagrams with the password of a file', async () => {
      assert.equal(await behind.curl('https://a.test/'), ok('a.test'));
      assert.equal(await behind.curl('http://a.test:8080/'), ok('a.test:8080'));
      assert.equal(await udp(), `hello from ${ORIGIN}`);
    });

    for (const [what, user, why] of [
      ['that is wrong', 'user:wrong@', 'does not accept the user name and password'],
      ['that is not there', '', 'wants another authentication'],
    ] as const) {
      it(`says by a page, a reset and a refusal that it wants a password, for one ${what}`, async () => {
        await putProxy(daemon, { upstreamProxy: `socks5://${user}${OUTSIDE}:${DANTE_PORT}` });
        const { stdout } = behind.origin;
        assert.match(await behind.curl('http://a.test/'), new RegExp(`^0 the proxy ${why}`));
        assert.match(await behind.curl('https://a.test/'), /^35 /);
        assert.match(await behind.curl('http://a.test:8080/'), /^7 /);
        assert.equal(behind.origin.stdout, stdout);
      });
    }
  },
);
