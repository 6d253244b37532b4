/**
 * DNS under a policy as resolvers of guests see it: glibc, musl, and glibc by systemd-resolved, with search lists and
 * `ndots`, and what of it leaves. The /etc of each is its own.
 */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { addGuestIpv6, addIpv6, SUBNET6 } from './support/ipv6.ts';
import { GATEWAY, type Guest, Lab, OUTSIDE, withEtc } from './support/lab.ts';
import { type LookupPrograms, lookupPrograms } from './support/lookup.ts';
import { type Background, succeed } from './support/processes.ts';
import { STUB, startResolved } from './support/resolved.ts';
import { until } from './support/until.ts';

/** Of another resolver, where nobody listens. */
const OTHER = '198.18.0.2';
const ADDRESSES = ['198.51.100.7', '2001:db8::7'];
/** A resolver that waits for an answer waits for 2.5 s, or for 5. */
const SOON_MS = 1_500;
const MAIN = fileURLToPath(new URL('../../bin/hawser.js', import.meta.url));
const POLICY = `default: deny
rules:
  - allow: { name: good.test }
  - allow: { name: intra.corp.example }
  - allow: { name: '*.deep.corp.example' }
`;
const PLAIN = '';
const SEARCH = 'search corp.example\n';
const NDOTS = `${SEARCH}options ndots:5\n`;

systemSuite(
  'resolvers of guests under a policy',
  [...LAB, 'ipv6', 'dig', 'dnsmasq', 'gcc', 'musl-gcc', 'systemd-resolved'],
  function () {
    this.timeout(60_000);

    let lab: Lab;
    let guest: Guest;
    let daemon: Daemon;
    let upstream: Background;
    let programs: LookupPrograms;
    let resolved: Background;

    before(async () => {
      lab = await Lab.open();
      await addIpv6(lab);
      await succeed(['ip', '-n', lab.outside.name, 'addr', 'add', `${OTHER}/24`, 'dev', 'up0']);
      const records = ['good.test', 'intra.corp.example', 'x.deep.corp.example'];
      upstream = lab.outside.start([
        ...['dnsmasq', '-k', '-u', 'root', '--pid-file=', '--no-resolv', '--no-hosts', '-C'],
        ...['/dev/null', '--log-queries', '--log-facility=-', '--local-ttl=300', '--local=/#/'],
        ...records.map((name) => `--host-record=${name},${ADDRESSES.join()}`),
        ...['--bind-interfaces', '--except-interface=lo', `--listen-address=${OUTSIDE}`],
      ]);
      await until('dnsmasq', async () => (await lab.outside.run('ss', '-Hlun')).includes(':53 '));
      guest = await lab.addGuest();
      writeFileSync(lab.path('policy.yaml'), POLICY);
      daemon = await lab.startDaemon([
        ...['--listen', guest.link, '--dns', OUTSIDE, '--subnet6', SUBNET6],
        ...['--dns-family', 'both', '--policy', lab.path('policy.yaml')],
      ]);
      await guest.lease();
      await addGuestIpv6(guest);
      programs = await lookupPrograms(lab);
      // By default it asks nobody for names of one label.
      const single = 'ResolveUnicastSingleLabel=yes';
      const settings = [`DNS=${GATEWAY}`, 'Domains=corp.example', single];
      resolved = await startResolved(lab, guest, settings);
    });
    after(() => lab.close());
    afterEach(() => assert.ok(daemon.isRunning && resolved.isRunning, daemon.stderr));

    let etcs = 0;
    const etcOf = (server: string, options: string): string => {
      const etc = lab.path(`etc-${++etcs}`);
      mkdirSync(etc);
      writeFileSync(join(etc, 'nsswitch.conf'), 'hosts: dns\n');
      writeFileSync(join(etc, 'resolv.conf'), `nameserver ${server}\n${options}`);
      return etc;
    };
    /** On a busy machine it may take its time once. */
    const lookup = async (argv: readonly string[], etc: string, name: string): Promise<string> => {
      const first = await lookupOnce(argv, etc, name);
      return first.endsWith(' late') ? await lookupOnce(argv, etc, name) : first;
    };
    const lookupOnce = async (
      argv: readonly string[],
      etc: string,
      name: string,
    ): Promise<string> => {
      const began = performance.now();
      const text = await guest.run(...withEtc(etc, [...argv, name]));
      const took = performance.now() - began < SOON_MS ? '' : ' late';
      return text.trim().split('\n').sort().join(' ') + took;
    };
    const hawser = async (...args: readonly string[]): Promise<string> =>
      await lab.host.run(...['env', `XDG_RUNTIME_DIR=${lab.dir}`, process.execPath, MAIN, ...args]);
    /** Names that were asked of the upstream. */
    const asked = (): ReadonlySet<string> => {
      const log = upstream.stderr + upstream.stdout;
      return new Set([...log.matchAll(/query\[\w+\] (\S+) from/g)].map(([, name = '']) => name));
    };

    type Library = keyof LookupPrograms;
    const WAYS: readonly (readonly [string, Library, string])[] = [
      ['glibc', 'glibc', GATEWAY],
      ['musl', 'musl', GATEWAY],
      ['glibc by systemd-resolved', 'glibc', STUB],
      ['musl by systemd-resolved', 'musl', STUB],
      ['glibc that asks another resolver', 'glibc', OTHER],
      ['musl that asks another resolver', 'musl', OTHER],
    ];
    const BOTH = ADDRESSES.join(' ');
    const NONE =
      /^(?:no name|No address associated with hostname|Name has no usable address|no address)$/i;
    for (const [what, library, server] of WAYS) {
      for (const [how, options] of [
        ['', PLAIN],
        [', search', SEARCH],
        [', search and ndots:5', NDOTS],
      ] as const) {
        describe(`${what}${how}`, () => {
          let etc: string;
          const find = async (name: string): Promise<string> =>
            await lookup(programs[library], etc, name);
          before(() => {
            etc = etcOf(server, options);
          });

          it('an allowed name has its addresses of both families, at once', async () => {
            assert.equal(await find('good.test'), BOTH);
          });

          it('a denied name has none, at once', async () => {
            for (const name of ['secret.evil.test', 'a.b.c.d.e.f.evil.test', 'evil']) {
              assert.match(await find(name), NONE, name);
            }
          });

          it('above an allowed name there is none, below it there is', async () => {
            assert.match(await find('corp.example'), NONE);
            assert.match(await find('deep.corp.example'), NONE);
            assert.equal(await find('x.deep.corp.example'), BOTH);
          });

          if (options === PLAIN) return;
          it('a name of the search list is found by its first label', async () => {
            assert.equal(await find('intra'), BOTH);
            assert.match(await find('evil'), NONE);
          });
        });
      }
    }

    describe('after all that', () => {
      it('a resolver that prefers TLS asks in the clear where that is refused', async () => {
        await resolved.stop();
        const settings = [`DNS=${OTHER}`, 'DNSOverTLS=opportunistic'];
        resolved = await startResolved(lab, guest, settings);
        assert.equal(await lookup(programs.glibc, etcOf(STUB, PLAIN), 'good.test'), BOTH);
        assert.match(await hawser('policy', 'denials'), new RegExp(`${OTHER}.*853`));
      });

      it('an approval is felt within seconds, through the cache of systemd-resolved', async () => {
        const etc = etcOf(STUB, PLAIN);
        const find = (): Promise<string> => lookup(programs.glibc, etc, 'later.good.test');
        assert.match(await find(), NONE);
        await hawser('policy', 'allow', 'later.good.test');
        await until('the name to be asked for', async () => {
          await find();
          return asked().has('later.good.test') ? true : undefined;
        });
      });

      it('nothing but allowed names has left', () => {
        const allowed =
          /^(?:good\.test|later\.good\.test|intra\.corp\.example|x\.deep\.corp\.example)$/;
        assert.deepEqual(
          [...asked()].filter((name) => !allowed.test(name)),
          [],
        );
        assert.ok(asked().has('intra.corp.example'));
      });
    });
  },
);
