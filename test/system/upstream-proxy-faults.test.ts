/** Proxies as a bad network has them: nothing goes past one, no guest waits for ever, and all is well once it is well. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { LAB, systemSuite } from '../support/requirements.ts';
import { BehindProxy, ORIGIN, putProxy } from './support/behind-proxy.ts';
import { Daemon } from './support/daemon.ts';
import { GATEWAY, OUTSIDE } from './support/lab.ts';
import type { Background } from './support/processes.ts';
import {
  DANTE_PORT,
  SQUID_PORT,
  type Squid,
  startDante,
  startSquid,
  startTinyproxy,
  TINYPROXY_PORT,
} from './support/proxies.ts';
import { until } from './support/until.ts';

const ok = (host: string): string => `0 GET host ${host} body 0`;
const GARBAGE = 9001;
const HALF = 9002;
const RESET = 9003;
const NO_BODY = 9004;
const HANGS = 9005;
const DRIPS = 9006;
const FAULTS = `const at = (port, act) => require('net').createServer((s) => {
    s.on('error', () => {});
    s.once('data', () => act(s));
  }).listen(port);
  at(${GARBAGE}, (s) => s.write(Buffer.from([0, 255, 1, 2, 13, 10, 13, 10])));
  at(${HALF}, (s) => s.end('HTTP/1.1 20'));
  at(${RESET}, (s) => s.resetAndDestroy());
  at(${NO_BODY}, (s) => s.end());
  at(${HANGS}, () => {});
  at(${DRIPS}, (s) => {
    s.write('HTTP/1.1 200 OK\\r\\n');
    const timer = setInterval(() => s.write('X: y\\r\\n'), 100);
    s.on('close', () => clearInterval(timer));
  });
  console.log('serving');`;
/** A connection to port 25 that sends a line when it is told to, and prints what comes back. */
const HOLD = `const s = require('net').connect(25, process.argv[1]);
  s.on('data', (d) => process.stdout.write(d));
  s.on('error', (e) => console.log(e.code));
  s.on('close', () => { console.log('closed'); process.exit(); });
  process.on('SIGUSR2', () => s.write('again\\n'));`;
/** Connections that say nothing but a byte; how each ends is printed. */
const CROWD = `for (let i = 0; i < Number(process.argv[2]); i++) {
    let how = 'end';
    const s = require('net').connect(443, process.argv[1], () => s.write(Buffer.from([1])));
    s.on('error', (e) => { how = e.code; });
    s.on('close', () => console.log(how));
  }
  setInterval(() => {}, 1000);`;
const CROWD_SIZE = 200;
const DESCRIPTORS = 160;

systemSuite(
  'upstream proxy that is no good',
  [...LAB, 'curl', 'danted', 'dnsmasq', 'openssl', 'squid', 'tinyproxy'],
  function () {
    this.timeout(60_000);
    let behind: BehindProxy;
    let daemon: Daemon;
    let squid: Squid;
    let etc: string;
    const use = async (url: string, more: object = {}): Promise<void> => {
      const { status } = await putProxy(daemon, { upstreamProxy: url, ...more });
      assert.equal(status, 200);
      squid.log();
    };
    const hold = async (): Promise<Background> => {
      const held = behind.guest.start([process.execPath, '-e', HOLD, ORIGIN]);
      await held.prints(/220 hello/);
      return held;
    };
    const echoes = async (held: Background): Promise<void> => {
      held.stdout = '';
      process.kill(held.pid, 'SIGUSR2');
      await held.prints(/again/);
    };

    before(async () => {
      behind = await BehindProxy.open();
      const { lab } = behind;
      squid = await startSquid(lab, lab.outside);
      const faults = lab.outside.start([process.execPath, '-e', FAULTS]);
      await faults.prints(/serving/);
      etc = lab.path('host-etc');
      mkdirSync(etc);
      for (const name of ['passwd', 'group']) cpSync(`/etc/${name}`, `${etc}/${name}`);
      writeFileSync(`${etc}/hosts`, '');
      writeFileSync(`${etc}/nsswitch.conf`, 'hosts: files\n');
    });
    after(() => behind.lab.close());
    afterEach(() => assert.ok(daemon.isRunning, daemon.stderr));

    it('is unknown while the host is offline at the start, and used once it is known', async () => {
      const { host } = behind.lab;
      await host.run('ip', 'link', 'set', 'up0', 'down');
      daemon = await behind.start(['--upstream-proxy', `http://proxy.test:${SQUID_PORT}`], etc);
      const known = ['--resolve', `a.test:443:${ORIGIN}`, '--resolve', `a.test:80:${ORIGIN}`];
      const curl = async (...args: readonly string[]): Promise<string> =>
        await behind.curl(...known, ...args);
      assert.match(
        await curl('-i', 'http://a.test/'),
        /^0 HTTP\/1\.1 502 [\s\S]*cannot be resolved/,
      );
      assert.match(await curl('https://a.test/'), /^35 /);
      await host.run('ip', 'link', 'set', 'up0', 'up');
      await host.run('ip', 'route', 'replace', 'default', 'via', OUTSIDE);
      writeFileSync(`${etc}/hosts`, `${OUTSIDE} proxy.test\n`);
      assert.equal(await curl('https://a.test/'), ok('a.test'));
      assert.equal(await curl('http://a.test/'), ok('a.test'));
    });

    for (const [what, port] of [
      ['garbage', GARBAGE],
      ['half a status line', HALF],
      ['a reset', RESET],
      ['an end', NO_BODY],
    ] as const) {
      it(`answers with ${what}: a page, or a reset, and nothing goes past it`, async () => {
        await use(`http://${OUTSIDE}:${port}`);
        behind.origin.stdout = '';
        assert.match(await behind.curl('-i', 'http://a.test/'), /^0 HTTP\/1\.1 502 /);
        assert.match(await behind.curl('https://free.test/'), /^35 /);
        const explicit = ['-x', `http://${GATEWAY}:3128`];
        assert.match(await behind.curl(...explicit, 'https://free.test/'), /^56 .*|^7 /);
        await use(`socks5://${OUTSIDE}:${port}`);
        assert.match(await behind.curl('https://free.test/'), /^35 /);
        assert.match(await behind.curl('http://free.test:8080/'), /^7 /);
        assert.equal(behind.origin.stdout, '');
      });
    }

    it('hangs, or drips: each has ten seconds, and others are served meanwhile', async () => {
      await use(`http://${OUTSIDE}:${HANGS}`);
      const began = performance.now();
      const hung = behind.curl('-m', '20', 'https://a.test/');
      await until('the proxy to be asked', async () =>
        (await behind.lab.host.run('ss', '-Htn', 'state', 'established')).includes(`:${HANGS}`),
      );
      await use(`http://${OUTSIDE}:${DRIPS}`);
      const dripped = behind.curl('-m', '20', 'https://b.test/');
      await until('the proxy to be asked', async () =>
        (await behind.lab.host.run('ss', '-Htn', 'state', 'established')).includes(`:${DRIPS}`),
      );
      await use(`socks5h://${OUTSIDE}:${HANGS}`);
      const asked = [['http://c.test/'], ['-x', `http://${GATEWAY}:3128`, 'https://c.test/']];
      const pages = asked.map((args) => behind.curl('-m', '20', '-i', ...args));
      await until('the proxy to be asked twice', async () => {
        const { length } = (await behind.lab.host.run('ss', '-Htn', 'state', 'established')).split(
          `:${HANGS}`,
        );
        return length > 3;
      });
      await use(`http://${OUTSIDE}:${SQUID_PORT}`);
      assert.equal(await behind.curl('https://a.test/'), ok('a.test'));
      for (const said of await Promise.all([hung, dripped])) assert.match(said, /^35 /);
      for (const said of await Promise.all(pages)) assert.match(said, /HTTP\/1\.1 504 /);
      const seconds = (performance.now() - began) / 1000;
      assert.ok(seconds > 9 && seconds < 15, `${seconds} s`);
    });

    it('is replaced: connections that are open stay on their way, and go on', async () => {
      const tinyproxy = await startTinyproxy(behind, (argv) => behind.withHosts(argv));
      await use(`http://${OUTSIDE}:${SQUID_PORT}`, { httpsPorts: [443, 25] });
      const held = await hold();
      await use(`http://${OUTSIDE}:${TINYPROXY_PORT}`, { httpsPorts: [443, 25] });
      assert.equal(await behind.curl('https://b.test/'), ok('b.test'));
      assert.equal(squid.log(), '');
      await echoes(held);
      await putProxy(daemon, { upstreamProxy: [] });
      assert.match(await behind.curl('https://b.test/'), /^7 /);
      await echoes(held);
      await held.stop();
      await squid.logged(/CONNECT 192\.0\.2\.1:25/);
      await tinyproxy.stop();
    });

    it('of SOCKS ends in the middle of a flow: the flow is reset', async () => {
      const dante = await startDante(behind, (argv) => behind.withHosts(argv));
      await use(`socks5://${OUTSIDE}:${DANTE_PORT}`);
      const held = await hold();
      await echoes(held);
      const children = await behind.lab.outside.run(
        'cat',
        `/proc/${dante.pid}/task/${dante.pid}/children`,
      );
      for (const pid of children.trim().split(' ')) process.kill(Number(pid), 'SIGKILL');
      await dante.stop();
      await held.prints(/closed/);
      assert.match(await behind.curl(`http://${OUTSIDE}:8080/`), /^7 /);
    });

    it('hangs for more connections than there are descriptors: they end, and all is well at once', async () => {
      const { lab, guest } = behind;
      await daemon.stop('SIGTERM');
      const args = ['--listen', guest.link, '--dns', OUTSIDE];
      const few = ['prlimit', `--nofile=${DESCRIPTORS}:${DESCRIPTORS}`];
      const upstream = ['--upstream-proxy', `http://${OUTSIDE}:${HANGS}`];
      const argv = lab.host.enter([...few, ...Daemon.command([...args, ...upstream])]);
      daemon = new Daemon(argv, { XDG_RUNTIME_DIR: lab.dir }, lab.path('hawser'));
      lab.track(daemon);
      await daemon.ready();
      await guest.lease();
      behind.origin.stdout = '';
      const crowd = guest.start([process.execPath, '-e', CROWD, OUTSIDE, `${CROWD_SIZE}`]);
      await crowd.prints(/^EHOSTUNREACH$/m); // beyond the share of its guest
      await crowd.prints(/^ECONNRESET$/m);
      assert.deepEqual(
        new Set(crowd.stdout.trim().split('\n')),
        new Set(['EHOSTUNREACH', 'ECONNRESET']),
      );
      await crowd.stop();
      assert.equal(behind.origin.stdout, '');
      await use(`http://${OUTSIDE}:${SQUID_PORT}`);
      assert.equal(await behind.curl('https://a.test/'), ok('a.test'));
      assert.equal(await behind.curl('http://a.test/'), ok('a.test'));
    });
  },
);
