/**
 * NAT64 and DNS64: a guest that has IPv6 only, behind a host that has IPv4 only; and guests of either family behind a host
 * that has IPv6 only, whose own network translates (a stand-in: the translated addresses of servers).
 */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { addIpv6, GATEWAY6, OUTSIDE6, SUBNET6 } from './support/ipv6.ts';
import {
  GATEWAY,
  type Guest,
  HOST_OUTER,
  HTTP_PORT,
  Lab,
  OUTSIDE,
  withEtc,
} from './support/lab.ts';
import type { Background } from './support/processes.ts';
import { until } from './support/until.ts';

/** A server of the Internet's, which is in the outside. */
const PUBLIC = '11.1.1.1';
/** The same by our prefix, and by that of the host's network. */
const TRANSLATED = '64:ff9b::b01:101';
const NETWORK_TRANSLATED = '2001:db8:64::b01:101';
const BYTES = 100_000;
const MAIN = fileURLToPath(new URL('../../bin/hawser.js', import.meta.url));

const RECORDS = [
  `--host-record=public.example,${PUBLIC}`,
  `--host-record=both.example,${PUBLIC},2001:db8:bad::7`,
  `--host-record=private.example,${OUTSIDE}`,
  '--cname=alias.example,public.example',
  `--ptr-record=1.1.1.11.in-addr.arpa,public.example`,
];

class Scene {
  readonly lab: Lab;
  readonly guest: Guest;
  private readonly dnsmasq: Background;
  daemon: Daemon | undefined = undefined;
  private readonly etc: string;

  private constructor(lab: Lab, guest: Guest, dnsmasq: Background) {
    this.lab = lab;
    this.guest = guest;
    this.dnsmasq = dnsmasq;
    this.etc = lab.path('guest-etc');
    mkdirSync(this.etc);
    writeFileSync(join(this.etc, 'nsswitch.conf'), 'hosts: dns\n');
  }

  /**
   * @param records of the name server beside those that all have
   * @param prepare the networks of the lab
   */
  static async open(
    records: readonly string[] = [],
    prepare?: (lab: Lab) => Promise<void>,
  ): Promise<Scene> {
    const lab = await Lab.open();
    try {
      await prepare?.(lab);
      return await Scene.build(lab, records);
    } catch (error) {
      await lab.close();
      throw error;
    }
  }

  private static async build(lab: Lab, records: readonly string[]): Promise<Scene> {
    await lab.outside.run('ip', 'addr', 'add', `${PUBLIC}/32`, 'dev', 'lo');
    const argv = ['dnsmasq', '-k', '-u', 'root', '--pid-file=', '--no-resolv', '--no-hosts'];
    const dnsmasq = lab.outside.start([
      ...[
        ...argv,
        '-C',
        '/dev/null',
        '--bind-interfaces',
        '--interface=up0',
        '--except-interface=lo',
      ],
      ...['--local=/example/', '--log-queries', '--log-facility=-', ...RECORDS, ...records],
    ]);
    await until('dnsmasq to listen', async () =>
      (await lab.outside.run('ss', '-Hlun')).includes(`${OUTSIDE}:53`),
    );
    await lab.startServers(lab.outside, '::');
    return new Scene(lab, await lab.addGuest(), dnsmasq);
  }

  async start(nameserver: string, ...args: string[]): Promise<void> {
    const { lab, guest } = this;
    const link = ['--listen', guest.link, '--subnet6', SUBNET6, '--log-level', 'debug'];
    this.daemon = await lab.startDaemon([...link, '--dns', nameserver, ...args]);
    await guest.run('ip', 'link', 'set', 'eth0', 'up');
    await until('a default route of the guest', async () =>
      (await guest.run('ip', '-6', 'route', 'show', 'default')).includes('ra'),
    );
    await until('an address of the guest', async () =>
      (await guest.run('ip', '-6', 'addr', 'show', 'dev', 'eth0', '-tentative')).includes('fd12:'),
    );
  }

  /** Of the name server. */
  get log(): string {
    return this.dnsmasq.stderr + this.dnsmasq.stdout;
  }

  resolver(address: string): void {
    writeFileSync(join(this.etc, 'resolv.conf'), `nameserver ${address}\n`);
  }

  /** @returns the address that curl took, and the bytes that it got; or why it got none */
  async curl(host: string): Promise<string> {
    const url = `http://${host}:${HTTP_PORT}/bytes/${BYTES}?seed=11`;
    const argv = ['curl', '-sS', '-m', '5', '-o', '/dev/null'];
    const format = '%{remote_ip} %{size_download}';
    const { stdout, stderr } = await this.guest.try(
      ...withEtc(this.etc, [...argv, '-w', format, url]),
    );
    return stderr === '' ? stdout : stderr;
  }

  async dig(server: string, ...args: string[]): Promise<string> {
    const options = [`@${server}`, '+short', '+time=3', '+tries=1'];
    return (await this.guest.run('dig', ...options, ...args)).trim().split('\n').join(' ');
  }

  /** Of a lease: option 108 (RFC 8925), which the guest asks for, in hexadecimal; empty: it is not offered. */
  async ipv6Only(): Promise<string> {
    const script = this.lab.path('lease.sh');
    writeFileSync(script, '#!/bin/sh\n[ "$1" != bound ] || echo "leased $ip $opt108"\n', {
      mode: 0o755,
    });
    const argv = ['udhcpc', '-i', 'eth0', '-f', '-n', '-q', '-O', '108', '-s', script];
    const { stdout, stderr } = await this.guest.try(...argv);
    const [, option = assert.fail(stderr)] = /^leased \S+ (.*)$/m.exec(stdout) ?? [];
    return option;
  }

  close(): Promise<void> {
    return this.lab.close();
  }
}

systemSuite('NAT64', [...LAB, 'curl', 'dig', 'dnsmasq', 'ipv6', 'ping'], function () {
  this.timeout(60_000);
  let scene: Scene;
  afterEach(() => assert.ok(scene.daemon?.isRunning, scene.daemon?.stderr));

  describe('for a guest that has IPv6 only, on a host that has IPv4 only', () => {
    before(async () => {
      scene = await Scene.open();
      await scene.start(OUTSIDE, '--nat64');
      scene.resolver(GATEWAY6);
    });
    after(() => scene.close());

    for (const name of ['public.example', 'alias.example', 'both.example']) {
      it(`curl fetches from ${name} by name`, async () => {
        assert.equal(await scene.curl(name), `${TRANSLATED} ${BYTES}`);
      });
    }

    it('ping reaches a server of the Internet', async () => {
      const argv = ['ping', '-6', '-c', '3', '-i', '0.1', '-W', '2', TRANSLATED];
      assert.match((await scene.guest.try(...argv)).stdout, /3 received/);
    });

    it('private addresses have no name and no way in the well-known prefix (RFC 6052 §3.1)', async () => {
      assert.equal(await scene.dig(GATEWAY6, 'private.example', 'AAAA'), '');
      assert.match(await scene.curl('private.example'), /Couldn't connect/);
      assert.match(await scene.curl('[64:ff9b::c612:1]'), /Couldn't connect/);
    });

    it('the reverse name is an alias of that of the IPv4 address', async () => {
      assert.equal(
        await scene.dig(GATEWAY6, '-x', TRANSLATED),
        '1.1.1.11.in-addr.arpa. public.example.',
      );
    });

    it('ipv4only.arpa has the prefix, and no name server was asked (RFC 8880)', async () => {
      const found = await scene.dig(GATEWAY6, 'ipv4only.arpa', 'AAAA');
      assert.equal(found, '64:ff9b::c000:aa 64:ff9b::c000:ab');
      assert.match(scene.log, /query\[AAAA\] public\.example/);
      assert.doesNotMatch(scene.log, /ipv4only/);
    });

    it('a guest that could do without IPv4 is not told to (RFC 8925)', async () => {
      assert.equal(await scene.ipv6Only(), '');
    });
  });

  describe('for private addresses too, and instead of IPv4, by options', () => {
    before(async () => {
      scene = await Scene.open();
      await scene.start(OUTSIDE, '--nat64', '--nat64-private', '--ipv6-mostly');
      scene.resolver(GATEWAY6);
    });
    after(() => scene.close());

    it('curl fetches from a private address by name', async () => {
      assert.equal(await scene.curl('private.example'), `64:ff9b:1::c612:1 ${BYTES}`);
      assert.equal(await scene.curl('public.example'), `${TRANSLATED} ${BYTES}`);
    });

    it('a guest that could do without IPv4 is told to, by option', async () => {
      assert.equal(Number.parseInt(await scene.ipv6Only(), 16), 1800);
    });
  });

  describe('by itself on a host that has IPv6 only', () => {
    before(async () => {
      const records = [
        '--host-record=ipv4only.arpa,192.0.0.170,2001:db8:64::c000:aa',
        '--host-record=ipv4only.arpa,192.0.0.171,2001:db8:64::c000:ab',
      ];
      scene = await Scene.open(records, async (lab) => {
        await addIpv6(lab);
        await lab.host.run('ip', 'addr', 'del', `${HOST_OUTER}/24`, 'dev', 'up0');
        await lab.outside.run('ip', 'addr', 'add', `${NETWORK_TRANSLATED}/128`, 'dev', 'lo');
      });
      await scene.start(OUTSIDE6);
      await scene.guest.lease();
    });
    after(() => scene.close());

    for (const [family, nameserver, expected] of [
      ['IPv4', GATEWAY, PUBLIC],
      ['IPv6', GATEWAY6, TRANSLATED],
    ] as const) {
      it(`curl of a guest by ${family} reaches a server that has IPv4 only`, async () => {
        scene.resolver(nameserver);
        const host = family === 'IPv4' ? PUBLIC : 'public.example';
        await until('the prefix of the network to be found', async () =>
          (await scene.curl(host)).endsWith(` ${BYTES}`),
        );
        const address = family === 'IPv4' ? expected : `[${expected}]`;
        assert.equal(await scene.curl(address), `${expected} ${BYTES}`);
      });
    }

    for (const [what, document, isOpen] of [
      ['opens', '{default: deny, rules: [{allow: {cidr: 11.1.1.0/24}}]}', true],
      ['closes', '{default: allow, rules: [{deny: {cidr: 11.1.1.0/24}}]}', false],
    ] as const) {
      it(`a rule for the network of IPv4 addresses ${what} them, by whatever prefix`, async () => {
        const { lab } = scene;
        writeFileSync(lab.path('policy.yaml'), document);
        const argv = ['env', `XDG_RUNTIME_DIR=${lab.dir}`, process.execPath, MAIN];
        await lab.host.run(...argv, 'policy', 'set', lab.path('policy.yaml'));
        for (const address of [PUBLIC, `[${TRANSLATED}]`, `[${NETWORK_TRANSLATED}]`]) {
          const got = await scene.curl(address);
          assert.match(got, isOpen ? new RegExp(` ${BYTES}$`) : /Couldn't connect/, address);
        }
        await lab.host.run(...argv, 'policy', 'clear');
      });
    }

    it('the prefix was asked of its name server', () => {
      assert.match(scene.log, /query\[AAAA\] ipv4only\.arpa/);
    });
  });
});
