/**
 * The host is offline, goes offline, comes back, and comes back as another. The daemon runs in a namespace of the lab's,
 * with an /etc of its own: the machine's network and resolver are not touched.
 */
import assert from 'node:assert/strict';
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { GATEWAY, type Guest, HOST, HOST_OUTER, HTTP_PORT, Lab, OUTSIDE } from './support/lab.ts';
import type { Background } from './support/processes.ts';
import { until } from './support/until.ts';

const PUBLISHED = 9100;
const MUX_PORT = 4099;
const BY_AGENT = 9200;
const DOWNLOAD = 64 << 20;
const CONTAINER_PORT = HTTP_PORT + 100;
const ECHO_PORT = HTTP_PORT + 5;
const PROXIED = 9300;
/** Until all is well again after the network's return. */
const RETURN_MS = 2_000;
/** On the host's network, and not there. */
const NOBODY = '198.18.0.77';
/** The host's other network. */
const OTHER_HOST = '198.19.0.10';
const OTHER_OUTSIDE = '198.19.0.1';
const AGENT = fileURLToPath(new URL('../../hawser-agent.mjs', import.meta.url));
const FORWARD = fileURLToPath(new URL('./support/forward-main.js', import.meta.url));

const CONNECT = `const s = require('net').connect({ host: process.argv[1], port: +process.argv[2] });
  const end = (what) => { console.log(what); process.exit(); };
  s.on('connect', () => end('connected'));
  s.on('error', (e) => end(e.code));`;
const SEND = `const s = require('dgram').createSocket('udp4');
  const end = (what) => { console.log(what); process.exit(); };
  s.on('error', (e) => end(e.code));
  s.on('message', () => end('answered'));
  s.connect(+process.argv[2], process.argv[1], () => s.send('x', (e) => e && end(e.code)));
  setTimeout(end, 3000, 'silence');`;

const KEEP_SENDING = `const s = require('dgram').createSocket('udp4');
  s.on('message', () => process.stdout.write('answered '));
  setInterval(() => s.send('x', +process.argv[2], process.argv[1], () => {}), 50);
  console.log('sending');`;

systemSuite('the host without a network', [...LAB, 'curl', 'dig', 'dnsmasq', 'ping'], function () {
  this.timeout(60_000);
  let lab: Lab;
  let guest: Guest;
  let daemon: Daemon;
  let etc: string;
  let proxied: Background;
  /** A client of the docker proxy's that stays the same. */
  let known: Background;

  const node = async (where: Guest | Lab['host'], script: string, ...args: string[]) =>
    (await where.run(process.execPath, '-e', script, ...args)).trim();
  const dig = async (name = 'www.example', ...args: string[]): Promise<string> =>
    (await guest.try('dig', `@${GATEWAY}`, '+time=8', '+tries=1', ...args, name)).stdout;
  const tcp = (to = OUTSIDE): Promise<string> => node(guest, CONNECT, to, `${HTTP_PORT}`);
  const udp = (to = OUTSIDE): Promise<string> => node(guest, SEND, to, `${ECHO_PORT}`);
  const ping = async (to = OUTSIDE): Promise<string> =>
    (await guest.try('ping', '-c', '1', '-W', '1', to)).stdout;
  /** @returns the bytes got, of 1000 */
  const get = (where: Guest | Lab['host'], address: string, port: number): Promise<string> => {
    const url = `http://${address}:${port}/bytes/1000?seed=1`;
    return where.run('curl', '-sS', '-m', '1', '-o', '/dev/null', '-w', '%{size_download}', url);
  };
  const published = (port: number): Promise<string> =>
    node(lab.host, CONNECT, '127.0.0.1', `${port}`);

  /** ICMP messages of this kind that the guest's kernel has received. */
  const unreachables = async (): Promise<number> => {
    const snmp = await guest.run('cat', '/proc/net/snmp');
    const [names = '', values = ''] = snmp.split('\n').filter((line) => line.startsWith('Icmp:'));
    return Number(values.split(' ')[names.split(' ').indexOf('InDestUnreachs')]);
  };
  /** The docker proxy's client that stays the same gets answers. */
  const knownIsAnswered = async (): Promise<void> => {
    const before = known.stdout.length;
    await until('an answer', () => known.stdout.length > before + 20, RETURN_MS);
  };

  const ip = (...args: string[]): Promise<string> => lab.host.run('ip', ...args);
  const linkDown = (): Promise<string> => ip('link', 'set', 'up0', 'down');
  const linkUp = async (via = OUTSIDE): Promise<void> => {
    await ip('link', 'set', 'up0', 'up');
    await ip('route', 'replace', 'default', 'via', via);
  };
  /** As network managers do: a new file in the old one's place. */
  const resolver = (...lines: string[]): void => {
    writeFileSync(join(etc, 'resolv.conf.new'), [...lines, ''].join('\n'));
    renameSync(join(etc, 'resolv.conf.new'), join(etc, 'resolv.conf'));
  };
  const dnsmasq = async (address: string, answer: string): Promise<void> => {
    const argv = ['dnsmasq', '-k', '-u', 'root', '--pid-file=', '--no-resolv', '--no-hosts', '-C'];
    lab.outside.start([
      ...[...argv, '/dev/null', '--bind-interfaces', `--listen-address=${address}`],
      ...[`--host-record=www.example,${answer}`, '--local=/example/'],
    ]);
    await until('dnsmasq to listen', async () =>
      (await lab.outside.run('ss', '-Hlun', `src ${address}`)).includes(':53'),
    );
  };

  /** Everything there is, within `RETURN_MS` of now. */
  async function allIsWell(to = OUTSIDE, answer = '198.51.100.7'): Promise<void> {
    const since = performance.now();
    const well: readonly (readonly [string, () => Promise<string>, RegExp])[] = [
      ['DNS', () => dig('www.example', '+short'), new RegExp(answer)],
      ['DNS over TCP', () => dig('www.example', '+short', '+tcp'), new RegExp(answer)],
      ['TCP', () => get(guest, to, HTTP_PORT), /^1000$/],
      [
        'UDP',
        () => guest.run('dig', `@${to}`, '+time=1', '+tries=1', '+short', 'www.example'),
        /^198/,
      ],
      ['ping', () => ping(to), / 1 received/],
      ['a published port', () => get(lab.host, '127.0.0.1', PUBLISHED), /^1000$/],
      ['a port by the agent', () => get(lab.host, '127.0.0.1', BY_AGENT), /^1000$/],
    ];
    const slow: string[] = [];
    await Promise.all(
      well.map(async ([what, act, expected]) => {
        await until(`${what} to be well again`, async () => expected.test(await act()));
        const took = performance.now() - since;
        if (took > RETURN_MS) slow.push(`${what}: ${Math.round(took)} ms`);
      }),
    );
    assert.deepEqual(slow, []);
    assert.ok(daemon.isRunning, daemon.stderr);
  }

  before(async () => {
    lab = await Lab.open();
    etc = lab.path('etc');
    mkdirSync(etc);
    resolver(`nameserver ${OUTSIDE}`);
    await lab.outside.run('ip', 'addr', 'add', `${OTHER_OUTSIDE}/24`, 'dev', 'up0');
    await dnsmasq(OUTSIDE, '198.51.100.7');
    await dnsmasq(OTHER_OUTSIDE, '198.51.100.8');
    await lab.startServers(lab.outside);
    guest = await lab.addGuest();
    await linkDown();
    daemon = await lab.startDaemon(
      [
        ...['--listen', guest.link, '--mux', `guest:${MUX_PORT}`, '--log-level', 'debug'],
        ...['-p', `${PUBLISHED}:${HTTP_PORT}`, '-p', `${BY_AGENT}:127.0.0.1:${HTTP_PORT}`],
      ],
      etc,
    );
    await guest.lease();
    await lab.startServers(guest);
    await lab.startServers(lab.host);
    const agent = guest.start([process.execPath, AGENT, '--listen', `tcp:0.0.0.0:${MUX_PORT}`]);
    await agent.prints(/multiplexer up/);
    await lab.startServers(lab.outside, OUTSIDE, CONTAINER_PORT);
    const to = [`udp:${OUTSIDE}:${CONTAINER_PORT + 5}`, `tcp:${OUTSIDE}:${CONTAINER_PORT}`];
    proxied = lab.host.start([process.execPath, FORWARD, `${PROXIED}`, ...to]);
    await proxied.prints(/forwarding/);
    known = lab.host.start([process.execPath, '-e', KEEP_SENDING, '127.0.0.1', `${PROXIED}`]);
    await known.prints(/sending/);
  });
  after(() => lab.close());

  function offline(): void {
    it('a DNS query is SERVFAIL, at once, as often as it is asked', async () => {
      for (let i = 0; i < 3; i++) assert.match(await dig(`n${i}.example`), /status: SERVFAIL/);
      assert.match(await dig('n.example', '+tcp'), /status: SERVFAIL/);
      assert.match(await dig('host.hawser.internal'), /status: NOERROR/);
      assert.ok(daemon.isRunning, daemon.stderr);
    });

    it('a TCP connection, a datagram and a ping are "network unreachable"', async () => {
      assert.equal(await tcp(), 'ENETUNREACH');
      // Linux reports this one only to sockets that ask for it.
      const before = await unreachables();
      assert.equal(await udp(), 'silence');
      assert.equal(await unreachables(), before + 1);
      assert.match(await ping(), /Net(work)? Unreachable/i);
      assert.ok(daemon.isRunning, daemon.stderr);
    });

    it('the host itself, published ports and the multiplexer work on', async () => {
      assert.equal(await tcp(HOST), 'connected');
      assert.equal(await udp(HOST), 'answered');
      assert.equal(await published(PUBLISHED), 'connected');
      assert.equal(await published(BY_AGENT), 'connected');
    });

    it("the docker proxy refuses its TCP clients and drops its UDP clients' datagrams", async () => {
      assert.match(
        await node(lab.host, CONNECT, '127.0.0.1', `${PROXIED}`),
        /connected|ECONNRESET/,
      );
      const before = known.stdout.length;
      assert.equal(await node(lab.host, SEND, '127.0.0.1', `${PROXIED}`), 'silence');
      assert.equal(known.stdout.length, before);
      assert.ok(proxied.isRunning, proxied.stderr);
    });
  }

  describe('from the start', () => {
    offline();

    it('nameservers that cannot even be tried are SERVFAIL too', async () => {
      for (const address of ['fe80::1%gone0', '2001:db8::53', '::ffff:203.0.113.5', '0.0.0.1']) {
        resolver(`nameserver ${address}`);
        await until(
          `${address} to be in use`,
          () => daemon.stdout.includes(address) || daemon.stderr.includes(`${address}#53`),
        );
        assert.match(await dig('one.example'), /status: SERVFAIL/, address);
        assert.match(await dig('one.example', '+tcp'), /status: SERVFAIL/, address);
      }
      assert.ok(daemon.isRunning, daemon.stderr);
      resolver(`nameserver ${OUTSIDE}`);
    });
  });

  describe('comes back', () => {
    it(`all is well within ${RETURN_MS} ms`, async () => {
      await linkUp();
      await allIsWell();
    });

    it('the docker proxy forwards again', knownIsAnswered);

    it('with timeout:5 a silent first nameserver leaves the second its turn, and is then asked last', async () => {
      resolver(`nameserver ${NOBODY}`, `nameserver ${OUTSIDE}`, 'options timeout:5');
      await until('both to be in use', () => daemon.stderr.includes(`${NOBODY}#53`));
      assert.match(await dig('www.example', '+short'), /198\.51\.100\.7/);
      const since = performance.now();
      assert.match(await dig('absent.example'), /status: NXDOMAIN/);
      assert.ok(performance.now() - since < 1000, 'not asked first again');
      resolver(`nameserver ${OUTSIDE}`);
    });
  });

  describe('goes away under traffic', () => {
    let download: Background;
    let queries: Background;

    before(async () => {
      const url = `http://${OUTSIDE}:${HTTP_PORT}/bytes/${DOWNLOAD}?seed=1`;
      const size = ['-o', '/dev/null', '-w', '%{size_download}'];
      download = guest.start(['curl', '-sS', '--limit-rate', '16M', ...size, url]);
      queries = guest.start([
        'sh',
        '-c',
        `i=0; while :; do i=$((i+1)); dig @${GATEWAY} +time=6 +tries=1 q$i.example | grep status; done`,
      ]);
      await queries.prints(/NXDOMAIN/);
      await until(
        'the download to run',
        async () => ((await daemon.flowTo(HTTP_PORT))?.bytesToGuest ?? 0) > 1 << 20,
      );
      await linkDown();
      await queries.prints(/SERVFAIL/);
    });
    after(() => queries.stop());

    offline();

    it('comes back: all is well, and what was under way goes on to its end', async () => {
      await linkUp();
      await allIsWell();
      await knownIsAnswered();
      assert.equal(await download.exited, 0, download.stderr);
      assert.equal(download.stdout, `${DOWNLOAD}`);
    });
  });

  describe('comes back as another', () => {
    before(async () => {
      await linkDown();
      await ip('addr', 'del', `${HOST_OUTER}/24`, 'dev', 'up0');
      await ip('addr', 'add', `${OTHER_HOST}/24`, 'dev', 'up0');
    });

    it('another address, another gateway, another nameserver: all is well', async () => {
      await linkUp(OTHER_OUTSIDE);
      resolver(`nameserver ${OTHER_OUTSIDE}`);
      await allIsWell(OTHER_OUTSIDE, '198.51.100.8');
    });

    it("the docker proxy's client of before is forwarded from the new address", knownIsAnswered);

    it('no fault was reported', async () => {
      assert.doesNotMatch(daemon.stderr, /bug in hawser/);
    });
  });
});
