/**
 * Encrypted ClientHello through proxies, by BoringSSL at both ends: the name that is seen is that of a front, the one that
 * is meant is encrypted. A GREASE extension looks the same, and hides nothing.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { LAB, systemSuite } from '../support/requirements.ts';
import { BehindProxy, ORIGIN, putProxy } from './support/behind-proxy.ts';
import type { Daemon } from './support/daemon.ts';
import { GATEWAY, OUTSIDE, withEtc } from './support/lab.ts';
import type { Background } from './support/processes.ts';
import { DANTE_PORT, SQUID_PORT, type Squid, startDante, startSquid } from './support/proxies.ts';
import { until } from './support/until.ts';

const PORT = 8444;
const FRONT = 'front.test';
const SECRET = 'secret.test';
/** The client's input has no end: the client would end its side at once, and squid then ends both. */
const ASK = `mkfifo "$0.$$" && exec 3<>"$0.$$" && cat "$0" >&3 && exec timeout 8 "$@" <&3`;

systemSuite(
  'upstream proxy and Encrypted ClientHello',
  [...LAB, 'bssl-tool', 'danted', 'dig', 'dnsmasq', 'openssl', 'squid'],
  function () {
    this.timeout(60_000);
    let behind: BehindProxy;
    let daemon: Daemon;
    let squid: Squid;
    let server: Background;

    before(async () => {
      behind = await BehindProxy.open();
      const { lab } = behind;
      squid = await startSquid(lab, lab.outside);
      await startDante(behind, (argv) => behind.withHosts(argv));
      await lab.outside.run(
        ...['bssl-tool', 'generate-ech', '-out-ech-config-list', lab.path('ech.list')],
        ...['-out-ech-config', lab.path('ech.config'), '-out-private-key', lab.path('ech.key')],
        ...['-public-name', FRONT, '-config-id', '1'],
      );
      server = lab.outside.start([
        ...['bssl-tool', 'server', '-accept', `${PORT}`, '-loop', '-www'],
        ...['-key', lab.path('key.pem'), '-cert', lab.path('cert.pem')],
        ...['-ech-config', lab.path('ech.config'), '-ech-key', lab.path('ech.key')],
      ]);
      await until('the server', async () =>
        (await lab.outside.run('ss', '-Hltn')).includes(`:${PORT} `) ? true : undefined,
      );
      writeFileSync(lab.path('request'), 'GET / HTTP/1.0\r\n\r\n');
      daemon = await behind.start(['--upstream-proxy', `http://${OUTSIDE}:${SQUID_PORT}`]);
    });
    after(() => behind.lab.close());

    /** Each test in turn: the daemon knows what the guest has asked for. */
    const asks = async (name: string): Promise<string> =>
      (await behind.guest.run('dig', `@${GATEWAY}`, '+short', name)).trim();
    const use = async (more: object = {}, scheme = 'http', port = SQUID_PORT): Promise<void> => {
      const upstreamProxy = `${scheme}://${OUTSIDE}:${port}`;
      const { status } = await putProxy(daemon, {
        upstreamProxy,
        httpsPorts: [443, PORT],
        ...more,
      });
      assert.equal(status, 200);
      squid.log();
    };
    /** @returns what the server says of it: the name that it was sent, and whether that was encrypted */
    const connect = async (address: string, ...how: readonly string[]): Promise<string> => {
      const { lab, guest } = behind;
      const argv = ['bssl-tool', 'client', '-connect', `${address}:${PORT}`, ...how];
      const shell = ['sh', '-c', ASK, lab.path('request'), ...argv];
      const { stdout } = await guest.try(...withEtc(lab.path('etc'), shell));
      const name = /SNI: (\S+)/.exec(stdout)?.[1] ?? 'nothing';
      return `${name} ${/text\/plain[\s\S]*Encrypted ClientHello: (\w+)/.exec(stdout)?.[1]}`;
    };
    const ech = (name: string): readonly string[] => [
      ...['-server-name', name, '-ech-config-list', behind.lab.path('ech.list')],
    ];
    const grease = (name: string): readonly string[] => ['-server-name', name, '-ech-grease'];

    it('is asked for by address, and reaches the name that is meant', async () => {
      await use();
      assert.equal(await asks(SECRET), ORIGIN);
      assert.equal(await connect(ORIGIN, ...ech(SECRET)), `${SECRET} yes`);
      await squid.logged(/CONNECT 192\.0\.2\.1:8444/);
    });

    it('goes directly by the rule for what names nobody', async () => {
      await use({ proxyUnnamed: 'direct' });
      assert.equal(await connect(OUTSIDE, ...ech(SECRET)), `${SECRET} yes`);
      assert.match(await connect(ORIGIN, ...ech(SECRET)), /^nothing /);
      assert.equal(squid.log(), '');
    });

    it('goes by an exclusion of the name that is seen, and by none of the name that is meant', async () => {
      await use({ proxyExclude: FRONT });
      assert.equal(await connect(OUTSIDE, ...ech(SECRET)), `${SECRET} yes`);
      assert.equal(squid.log(), '');
      await use({ proxyExclude: SECRET });
      assert.equal(await connect(OUTSIDE, ...ech(SECRET)), `${SECRET} yes`);
      await squid.logged(/CONNECT 198\.18\.0\.1:8444/);
    });

    it('that is GREASE is asked for by address where nobody has asked for the name, else by name', async () => {
      await use();
      assert.equal(await connect(ORIGIN, ...grease('grease.test')), 'grease.test no');
      await squid.logged(/CONNECT 192\.0\.2\.1:8444/);
      assert.equal(await asks('grease.test'), ORIGIN);
      assert.equal(await connect('grease.test', ...grease('grease.test')), 'grease.test no');
      await squid.logged(/CONNECT grease\.test:8444/);
    });

    it('is asked for by the name that is seen once the guest has asked for that', async () => {
      await use();
      assert.equal(await asks(FRONT), ORIGIN);
      assert.equal(await connect(FRONT, ...ech(SECRET)), `${SECRET} yes`);
      await squid.logged(/CONNECT front\.test:8444/);
    });

    it('goes through SOCKS, by address and by a name that only the proxy resolves', async () => {
      await use({}, 'socks5', DANTE_PORT);
      assert.equal(await connect(ORIGIN, ...ech('other.test')), 'other.test yes');
      await use({}, 'socks5h', DANTE_PORT);
      assert.match(await asks('only.test'), /^198\.19\./);
      assert.equal(await connect('only.test', ...ech(SECRET)), `${SECRET} yes`);
    });

    it('never goes past a proxy that has ended', async () => {
      await use();
      [server.stdout, server.stderr] = ['', ''];
      await squid.process.stop();
      assert.match(await connect(ORIGIN, ...ech(SECRET)), /^nothing /);
      assert.match(await connect(OUTSIDE, ...grease('grease.test')), /^nothing /);
      assert.doesNotMatch(server.stdout + server.stderr, /Connected/);
    });
  },
);
