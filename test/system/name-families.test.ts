/** Names of both families as real resolvers see them: glibc, musl, Node, dig. */
import assert from 'node:assert/strict';
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { addIpv6, GATEWAY6, HOST6, HOST6_OUTER, SUBNET6 } from './support/ipv6.ts';
import { GATEWAY, type Guest, HOST, Lab, OUTSIDE, withEtc } from './support/lab.ts';
import { lookupPrograms } from './support/lookup.ts';
import { succeed } from './support/processes.ts';
import { until } from './support/until.ts';

/** A name server of the outside that has an address on the link alone. */
const SCOPED = 'fe80::53';

const MAC = '52:54:00:00:00:42';
const BUILD = '192.168.127.42';
/** As the guest's kernel makes it of {@link MAC}. */
const BUILD6 = 'fd12:3456:0:1:5054:ff:fe00:42';

const NODE_LOOKUP = `require('dns').lookup(process.argv[1], { all: true, verbatim: true }, (e, all) =>
  console.log(e ? (e.code === 'ENOTFOUND' ? 'no name' : e.code) : all.map((a) => a.address).join('\\n')));`;

systemSuite(
  'names of both families',
  [...LAB, 'dig', 'dnsmasq', 'gcc', 'musl-gcc', 'ipv6'],
  function () {
    this.timeout(60_000);
    let lab: Lab;
    let guest: Guest;
    let daemon: Daemon;
    let hostEtc: string;
    let guestEtc: string;
    let programs: Readonly<Record<string, readonly string[]>>;

    before(async () => {
      lab = await Lab.open();
      hostEtc = lab.path('host-etc');
      guestEtc = lab.path('guest-etc');
      for (const etc of [hostEtc, guestEtc]) mkdirSync(etc);
      writeFileSync(join(guestEtc, 'nsswitch.conf'), 'hosts: dns\n');
      writeFileSync(join(guestEtc, 'resolv.conf'), `nameserver ${GATEWAY}\n`);
      await succeed([
        'ip',
        '-n',
        lab.outside.name,
        'addr',
        'add',
        `${SCOPED}/64`,
        'dev',
        'up0',
        'nodad',
      ]);
      await dnsmasq();
      await until("the host's own address on the link", async () => {
        const tentative = await lab.host.run('ip', '-6', 'addr', 'show', 'dev', 'up0', 'tentative');
        return tentative.trim() === '';
      });
      writeFileSync(join(hostEtc, 'resolv.conf'), `nameserver ${SCOPED}%up0\n`);
      const hosts = lab.path('hosts');
      writeFileSync(hosts, '198.51.100.99 pinned4.example\nfd00::99 pinned6.example\n');
      guest = await lab.addGuest();
      daemon = await lab.startDaemon(
        [
          ...['--listen', guest.link, '--subnet6', SUBNET6, '--hosts', hosts],
          ...['--dns-zone', 'four.test=10.9.9.9', '--dns-zone', 'six.test=fd00::9'],
          ...['--log-level', 'debug', '--static-lease', `${MAC}=${BUILD},build`],
        ],
        hostEtc,
      );
      await guest.run('ip', 'link', 'set', 'dev', 'eth0', 'down', 'address', MAC);
      await guest.run('ip', 'link', 'set', 'dev', 'eth0', 'up');
      await guest.lease();
      await until('an address by the advertised prefix', async () =>
        (await guest.run('ip', '-6', 'addr', 'show', 'dev', 'eth0', '-tentative')).includes(
          'fd12:',
        ),
      );
      programs = {
        ...(await lookupPrograms(lab)),
        Node: [process.execPath, '-e', NODE_LOOKUP],
      };
    });
    after(() => lab.close());

    /** At every address of the outside's link. */
    async function dnsmasq(): Promise<void> {
      const argv = [
        'dnsmasq',
        '-k',
        '-u',
        'root',
        '--pid-file=',
        '--no-resolv',
        '--no-hosts',
        '-C',
      ];
      lab.outside.start([
        ...[...argv, '/dev/null', '--bind-interfaces', '--interface=up0', '--except-interface=lo'],
        ...['--local=/example/', '--host-record=both.example,198.51.100.7,2001:db8::7'],
        ...['--host-record=only4.example,198.51.100.8', '--host-record=only6.example,2001:db8::8'],
        '--cname=alias.example,both.example',
      ]);
      await until('dnsmasq to listen', async () =>
        (await lab.outside.run('ss', '-Hlun')).includes(`[${SCOPED}]`),
      );
    }

    const lookup = async (library: string, name: string): Promise<string> => {
      const text = await guest.run(...withEtc(guestEtc, [...(programs[library] ?? []), name]));
      return text.trim().split('\n').join(' ');
    };
    const dig = async (...args: string[]): Promise<string> =>
      (await guest.run('dig', `@${GATEWAY}`, '+time=3', '+tries=1', ...args)).trim();
    const short = (...args: string[]): Promise<string> => dig('+short', ...args);

    const PUBLIC: readonly (readonly [string, string])[] = [
      ['both.example', '198.51.100.7'],
      ['alias.example', '198.51.100.7'],
      ['only4.example', '198.51.100.8'],
      ['none.example', 'no name'],
    ];
    const OURS: readonly (readonly [string, string])[] = [
      ['pinned4.example', '198.51.100.99'],
      ['pinned6.example', 'fd00::99'],
      ['a.four.test', '10.9.9.9'],
      ['a.six.test', 'fd00::9'],
      ['other.hawser.internal', 'no name'],
    ];
    /** musl's order is that of RFC 6724 §2.1; glibc's is older (RFC 3484), without unique local addresses. */
    const BOTH_OURS = [
      ['host.docker.internal', HOST, HOST6],
      ['gateway.hawser.internal', GATEWAY, GATEWAY6],
    ] as const;
    for (const library of ['glibc', 'musl', 'Node']) {
      for (const [name, expected] of [...PUBLIC, ...OURS]) {
        it(`${library}, without a route for IPv6: ${name} is ${expected}`, async () => {
          assert.equal(await lookup(library, name), expected);
        });
      }
      for (const [name, ipv4, ipv6] of BOTH_OURS) {
        const order = library === 'musl' ? [ipv4, ipv6] : [ipv6, ipv4];
        it(`${library}: ${name} is ${order.join(' and ')}`, async () => {
          assert.equal(await lookup(library, name), order.join(' '));
        });
      }
    }

    it('a name with hidden addresses alone exists: NODATA', async () => {
      const answer = await dig('only6.example', 'AAAA');
      assert.match(answer, /status: NOERROR/);
      assert.match(answer, /ANSWER: 0, AUTHORITY: 1/);
    });

    it('the gateway answers at its IPv6 addresses', async () => {
      // The lease's script has taken the address of the link away.
      await guest.run('ip', 'addr', 'add', 'fe80::2/64', 'dev', 'eth0', 'nodad');
      const router = await guest.run('ip', '-6', 'neigh', 'show', 'dev', 'eth0');
      const linkLocal = /^(fe80::\S+) .*router/m.exec(router)?.[1] ?? '';
      for (const server of [GATEWAY6, `${linkLocal}%eth0`]) {
        for (const flag of ['+notcp', '+tcp']) {
          const answer = await guest.run('dig', `@${server}`, '+short', flag, 'only4.example');
          assert.equal(answer.trim(), '198.51.100.8', `${server} ${flag}`);
        }
      }
    });

    const POINTERS: readonly (readonly [string, string])[] = [
      [GATEWAY, 'gateway.hawser.internal.'],
      [GATEWAY6, 'gateway.hawser.internal.'],
      [HOST6, 'host.hawser.internal.'],
      ['fd00::99', 'pinned6.example.'],
    ];
    for (const [address, name] of POINTERS) {
      it(`dig -x ${address}: ${name}`, async () => assert.equal(await short('-x', address), name));
    }

    it('a guest has the name of its lease, at addresses of both families', async () => {
      await until(
        'its own IPv6 address to be known',
        async () => (await short('build.hawser.internal', 'AAAA')) === BUILD6,
      );
      assert.equal(await lookup('musl', 'build.hawser.internal'), `${BUILD} ${BUILD6}`);
      // An address leads to the name once it is used.
      const pointer = await guest.run('dig', `@${GATEWAY6}`, '+short', '-x', BUILD6);
      assert.equal(pointer.trim(), 'build.hawser.internal.');
      assert.equal(await short('-x', BUILD), 'build.hawser.internal.');
    });

    it('an address of the network that nobody has is NXDOMAIN', async () => {
      for (const address of ['fd12:3456:0:1::77', '192.168.127.77']) {
        assert.match(await dig('-x', address), /status: NXDOMAIN/);
      }
    });

    describe('while the host has a route for IPv6', () => {
      const shown = (): Promise<boolean> =>
        until('AAAA records', async () => (await short('both.example', 'AAAA')) === '2001:db8::7');
      before(async () => {
        // In the cache, and hidden.
        assert.equal(await short('both.example', 'AAAA'), '');
        await addIpv6(lab);
        await shown();
        await until('a default route of the guest', async () =>
          (await guest.run('ip', '-6', 'route', 'show', 'default')).includes('ra'),
        );
      });

      // RFC 6724 §5: a unique local source address goes with IPv4 destinations rather than with those of the Internet.
      for (const library of ['glibc', 'musl', 'Node']) {
        it(`${library} prefers IPv4, as the guest's address is a unique local one`, async () => {
          assert.equal(await lookup(library, 'both.example'), '198.51.100.7 2001:db8::7');
          assert.equal(await lookup(library, 'only6.example'), '2001:db8::8');
          assert.equal(await lookup(library, 'only4.example'), '198.51.100.8');
        });
      }

      it('... and no longer, whatever the cache has', async () => {
        await lab.host.run('ip', 'addr', 'del', `${HOST6_OUTER}/64`, 'dev', 'up0');
        await until('no AAAA records', async () => (await short('both.example', 'AAAA')) === '');
        assert.equal(await lookup('musl', 'both.example'), '198.51.100.7');
      });
    });

    it('a host that has lost IPv6 asks its other name server', async () => {
      writeFileSync(
        join(hostEtc, 'resolv.conf.new'),
        `nameserver ${SCOPED}%up0\nnameserver ${OUTSIDE}\n`,
      );
      renameSync(join(hostEtc, 'resolv.conf.new'), join(hostEtc, 'resolv.conf'));
      await until('both name servers to be in use', () => daemon.stderr.includes(`${OUTSIDE}#53`));
      await lab.host.run('sysctl', '-qw', 'net.ipv6.conf.all.disable_ipv6=1');
      try {
        assert.equal(await short('both.example'), '198.51.100.7');
        assert.equal(await short('+tcp', 'alias.example'), 'both.example.\n198.51.100.7');
      } finally {
        await lab.host.run('sysctl', '-qw', 'net.ipv6.conf.all.disable_ipv6=0');
      }
    });
  },
);
