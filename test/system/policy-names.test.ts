/** What an allowed name opens to a guest, and what only looks as if it did, where everything else is denied: a real kernel's flows. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Answer } from 'dns-packet';
import { a, aaaa, https } from '../services/dns/dns-wire.ts';
import { LAB, systemSuite } from '../support/requirements.ts';
import { client } from './support/clients.ts';
import type { Daemon } from './support/daemon.ts';
import { addGuestIpv6, addIpv6, SUBNET6 } from './support/ipv6.ts';
import { GATEWAY, type Guest, HOST, HOST_OUTER, HTTP_PORT, Lab, OUTSIDE } from './support/lab.ts';
import type { Background } from './support/processes.ts';
import { MARK_ADDRESS, MARK_PORT, sendUdp, settled, startWire } from './support/wire.ts';
import type { Zone } from './support/zone-main.ts';

const ECHO_PORT = HTTP_PORT + 5;
const PRIVATE = '10.0.0.9';
const OPENED = '10.0.0.10';
const UNIQUE_LOCAL = 'fd99::9';
const REFUSED = 7;
const MAIN = fileURLToPath(new URL('../../bin/hawser.js', import.meta.url));
const ZONE_MAIN = fileURLToPath(new URL('./support/zone-main.js', import.meta.url));
/** Addresses of the outside, where servers listen at each. */
const v4 = (n: number): string => `198.18.0.${n}`;
const v6 = (n: number): string => `2001:db8:18::${n}`;

const alias = (name: string, data: string): Answer => ({ type: 'CNAME', name, ttl: 300, data });

const ZONE: Zone = {
  'udp.test A': { answers: [a('udp.test', OUTSIDE)] },
  'six.n.test AAAA': { answers: [aaaa('six.n.test', v6(21))] },
  'hint.n.test HTTPS': { answers: [https('hint.n.test', v4(31), v6(31))] },
  'private.n.test HTTPS': { answers: [https('private.n.test', PRIVATE, v6(32))] },
  'local.n.test HTTPS': { answers: [https('local.n.test', v4(32), UNIQUE_LOCAL)] },
  'loop.n.test HTTPS': { answers: [https('loop.n.test', '127.0.0.1', '::1')] },
  'host.n.test HTTPS': { answers: [https('host.n.test', HOST)] },
  'outer.n.test HTTPS': { answers: [https('outer.n.test', HOST_OUTER)] },
  'opened.n.test HTTPS': { answers: [https('opened.n.test', OPENED)] },
  'alias.n.test A': { answers: [alias('alias.n.test', 'cdn.test'), a('cdn.test', v4(41))] },
  'cdn.test A': { answers: [a('cdn.test', v4(41))] },
  'bad.n.test A': { answers: [alias('bad.n.test', 'Denied.Test'), a('denied.test', v4(42))] },
  'bad.n.test HTTPS': {
    answers: [alias('bad.n.test', 'denied.test'), https('denied.test', v4(42))],
  },
  'chain.n.test A': {
    answers: [
      ...[a('denied.test', v4(42)), alias('cdn.test', 'denied.test')],
      alias('chain.n.test', 'cdn.test'),
    ],
  },
  'forged.n.test A': {
    answers: [
      ...[a('forged.n.test', v4(43)), a('evil.test', v4(44)), a('victim.n.test', v4(45))],
      ...[alias('evil.test', 'far.test'), a('far.test', v4(46))],
    ],
    additionals: [a('forged.n.test', v4(47)), a('victim.n.test', v4(48))],
  },
};

const POLICY = `default: deny
rules:
  - deny: { name: denied.test }
  - allow: { cidr: ${MARK_ADDRESS}, port: ${MARK_PORT}, protocol: udp }
  - allow: { cidr: ${OPENED}, port: ${HTTP_PORT}, protocol: tcp }
  - allow: { name: udp.test, port: ${ECHO_PORT}, protocol: udp }
  - allow: { name: '*.n.test', port: ${HTTP_PORT}, protocol: tcp }
`;

systemSuite('names of an egress policy', [...LAB, 'curl', 'dig', 'ipv6', 'tcpdump'], function () {
  this.timeout(60_000);

  let lab: Lab;
  let guest: Guest;
  let daemon: Daemon;
  let upstream: Background;
  let wire: Background;
  let from: number;

  before(async () => {
    lab = await Lab.open();
    await addIpv6(lab);
    const { outside, host } = lab;
    const add = async (address: string, ...more: readonly string[]): Promise<string> =>
      await outside.run('ip', 'addr', 'add', address, 'dev', 'up0', ...more);
    for (const n of [3, 31, 32, 41, 42, 43, 44, 45, 46, 47, 48]) await add(`${v4(n)}/24`);
    for (const n of [21, 22, 31, 32]) await add(`${v6(n)}/64`, 'nodad');
    for (const address of [PRIVATE, OPENED]) await add(`${address}/32`);
    await add(`${UNIQUE_LOCAL}/128`, 'nodad');
    await lab.startServers(outside, '::');
    await lab.startServers(host);
    writeFileSync(lab.path('zone.json'), JSON.stringify(ZONE));
    upstream = outside.start([process.execPath, ZONE_MAIN, OUTSIDE, lab.path('zone.json')]);
    await upstream.prints(/serving/);
    wire = await startWire(lab);
    guest = await lab.addGuest();
    writeFileSync(lab.path('policy.yaml'), POLICY);
    daemon = await lab.startDaemon([
      ...['--listen', guest.link, '--dns', OUTSIDE, '--subnet6', SUBNET6],
      ...['--policy', lab.path('policy.yaml')],
    ]);
    await guest.lease();
    await addGuestIpv6(guest);
  });
  after(() => lab.close());
  beforeEach(() => {
    from = wire.stdout.length;
  });
  afterEach(() => assert.ok(daemon.isRunning, daemon.stderr));

  const dig = async (...args: readonly string[]): Promise<string> =>
    await guest.run('dig', `@${GATEWAY}`, '+tries=1', '+timeout=2', ...args);
  /** @returns the status of curl, which states `name` at `address`; the address itself where they are one */
  const curl = async (name: string, address: string): Promise<number | null> => {
    const to = address.includes(':') ? `[${address}]` : address;
    const resolve = name === address ? [] : ['--resolve', `${name}:${HTTP_PORT}:${to}`];
    const url = `http://${name === address ? to : name}:${HTTP_PORT}/`;
    return (await guest.try('curl', '-gsS', '-m', '5', ...resolve, url)).status;
  };
  /** @returns what has come to the address since the test began, of all that was sent before */
  const arrived = async (address: string, port = HTTP_PORT): Promise<readonly string[]> => {
    await settled(wire, guest);
    const lines = wire.stdout.slice(from).split('\n');
    return lines.filter((line) => line.includes(` > ${address}.${port}: `));
  };
  const isClosed = async (name: string, address: string): Promise<void> => {
    assert.equal(await curl(name, address), REFUSED, `${name} at ${address}`);
    assert.deepEqual(await arrived(address), []);
  };
  const isOpen = async (name: string, address: string): Promise<void> => {
    assert.equal(await curl(name, address), 0, `${name} at ${address}`);
    assert.notDeepEqual(await arrived(address), []);
  };
  const asked = (name: string): readonly string[] =>
    upstream.stdout.split('\n').filter((line) => line.startsWith(`${name} `));

  it('UDP passes to the address and port of a name once it was asked for, and is answered', async () => {
    assert.match(await sendUdp(guest, OUTSIDE, ECHO_PORT, 1_000), /^E/);
    assert.deepEqual(await arrived(OUTSIDE, ECHO_PORT), []);
    assert.equal((await dig('+short', 'udp.test')).trim(), OUTSIDE);
    assert.deepEqual(await client(guest, 'udp', OUTSIDE, `${ECHO_PORT}`, '100'), { equal: true });
    assert.equal((await arrived(OUTSIDE, ECHO_PORT)).length, 1);
    assert.match(await sendUdp(guest, OUTSIDE, ECHO_PORT + 1, 1_000), /^E/);
    assert.deepEqual(await arrived(OUTSIDE, ECHO_PORT + 1), []);
    await isClosed('udp.test', OUTSIDE);
  });

  it('a connection passes to the IPv6 address of a name, and to no other that nobody asked for', async () => {
    await isClosed('six.n.test', v6(21));
    assert.equal((await dig('+short', 'six.n.test', 'AAAA')).trim(), v6(21));
    await isOpen('six.n.test', v6(21));
    await isClosed('six.n.test', v6(22));
    await isClosed(v6(22), v6(22));
  });

  it('the hints of an HTTPS record open their addresses once it was asked for', async () => {
    for (const address of [v4(31), v6(31)]) await isClosed('hint.n.test', address);
    assert.match(
      await dig('+short', 'hint.n.test', 'HTTPS'),
      new RegExp(`ipv4hint=${v4(31)} ipv6hint=${v6(31)}`),
    );
    for (const address of [v4(31), v6(31)]) await isOpen('hint.n.test', address);
  });

  it('hints of private addresses, of loopback and of the host are left out and open nothing', async () => {
    const rows = [
      ['private.n.test', `1 . alpn="h2" ipv6hint=${v6(32)}`, [PRIVATE]],
      ['local.n.test', `1 . alpn="h2" ipv4hint=${v4(32)}`, [UNIQUE_LOCAL]],
      ['loop.n.test', '1 . alpn="h2"', []],
      ['host.n.test', '1 . alpn="h2"', [HOST]],
      ['outer.n.test', '1 . alpn="h2"', [HOST_OUTER, HOST]],
    ] as const;
    for (const [name, answer, closed] of rows) {
      assert.equal((await dig('+short', name, 'HTTPS')).trim(), answer);
      assert.equal(asked(name).length, 1);
      for (const address of closed) await isClosed(name, address);
    }
    await isOpen('private.n.test', v6(32));
    await isOpen('local.n.test', v4(32));
  });

  it('a hint of a private address, or of the host, stays where a rule opens that', async () => {
    assert.match(await dig('+short', 'opened.n.test', 'HTTPS'), new RegExp(`ipv4hint=${OPENED}`));
    await isOpen('opened.n.test', OPENED);
    await lab.host.run(
      ...['env', `XDG_RUNTIME_DIR=${lab.dir}`, process.execPath, MAIN],
      ...['policy', 'allow', `host:${HTTP_PORT}/tcp`],
    );
    assert.match(await dig('+short', 'host.n.test', 'HTTPS'), new RegExp(`ipv4hint=${HOST}`));
    assert.equal(await curl('host.n.test', HOST), 0);
  });

  it('an alias leads where its target does, by the name that was asked for alone', async () => {
    await isClosed('alias.n.test', v4(41));
    assert.match(
      await dig('+short', 'alias.n.test'),
      new RegExp(`^cdn\\.test\\.\\n${v4(41)}$`, 'm'),
    );
    await isOpen('alias.n.test', v4(41));
    assert.match(await dig('cdn.test'), /status: NXDOMAIN/);
    assert.deepEqual(asked('cdn.test'), []);
    from = wire.stdout.length;
    assert.notEqual(await curl('cdn.test', v4(41)), 0);
    assert.deepEqual(
      (await arrived(v4(41))).filter((line) => !line.endsWith('length 0')),
      [],
    );
  });

  it('an alias of a name that a rule denies does not exist, and opens nothing', async () => {
    const rows = [
      ['bad.n.test', 'A'],
      ['bad.n.test', 'HTTPS'],
      ['chain.n.test', 'A'],
    ] as const;
    for (const [name, type] of rows) {
      assert.match(await dig(name, type), /status: NXDOMAIN/);
      assert.ok(asked(name).includes(`${name} ${type}`));
      for (const stated of [name, 'denied.test']) await isClosed(stated, v4(42));
    }
  });

  it('records that nobody asked for open nothing, of an allowed name neither', async () => {
    assert.match(await dig('forged.n.test'), new RegExp(`A\\s+${v4(43)}$`, 'm'));
    for (const n of [44, 45, 46, 47, 48]) {
      for (const name of ['forged.n.test', 'victim.n.test', 'evil.test']) {
        await isClosed(name, v4(n));
      }
    }
    await isOpen('forged.n.test', v4(43));
  });
});
