/** A guest under a policy that asks other resolvers than the gateway's: real clients, and what of it arrives outside. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { addGuestIpv6, addIpv6, SUBNET6 } from './support/ipv6.ts';
import { GATEWAY, type Guest, HTTP_PORT, Lab, OUTSIDE } from './support/lab.ts';
import { type Background, succeed } from './support/processes.ts';
import { until } from './support/until.ts';

/** Of another resolver, which knows other addresses than the upstream does. */
const OTHER = '198.18.0.2';
const OTHER6 = '2001:db8:18::2';
const ELSEWHERE = '198.18.0.3';
const REDIRECTED = 'the DNS of the gateway answers (--dns-other redirect)';
const SOON_MS = 1_000;
const MAIN = fileURLToPath(new URL('../../bin/hawser.js', import.meta.url));
const SEND = `const s = require('dgram').createSocket('udp4');
  s.on('error', (e) => { console.log(e.code); process.exit(); });
  s.connect(+process.argv[2], process.argv[1], () => s.send('x', () => setTimeout(() => {
    console.log('silence'); process.exit(); }, 1000)));`;
const DENIES_A_NAME =
  'default: allow\nrules:\n  - deny: { name: evil.test }\n  - deny: { name: "*.evil.test" }\n';
const ALLOWS_ALL_ADDRESSES =
  'default: deny\nrules:\n  - allow: { name: a.test }\n  - allow: { cidr: 0.0.0.0/0 }\n';
const ALLOWS_A_NAME = 'default: deny\nrules:\n  - allow: { name: a.test }\n';
const ALLOWS_THE_RESOLVER = `${DENIES_A_NAME}  - allow: { cidr: ${OTHER}, port: [53, 853] }\n`;

systemSuite(
  'other resolvers',
  [...LAB, 'ipv6', 'curl', 'dig', 'dnsmasq', 'openssl', 'tcpdump'],
  function () {
    this.timeout(60_000);

    let lab: Lab;
    let guest: Guest;
    let daemon: Daemon;
    let wire: Background;
    let upstream: Background;

    before(async () => {
      lab = await Lab.open();
      await addIpv6(lab);
      const { outside } = lab;
      for (const address of [`${OTHER}/24`, `${ELSEWHERE}/24`, `${OTHER6}/64`]) {
        const nodad = address.includes(':') ? ['nodad'] : [];
        await succeed(['ip', '-n', outside.name, 'addr', 'add', address, 'dev', 'up0', ...nodad]);
      }
      upstream = await dnsmasq(OUTSIDE, OUTSIDE);
      await dnsmasq(OTHER, ELSEWHERE);
      await dnsmasq(OTHER6, ELSEWHERE);
      const keys = ['-key', lab.path('key.pem'), '-cert', lab.path('cert.pem')];
      await outside.run(
        ...['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
        ...['-nodes', '-subj', '/CN=dns.test', '-days', '1'],
        ...['-keyout', lab.path('key.pem'), '-out', lab.path('cert.pem')],
      );
      outside.start(['openssl', 's_server', '-quiet', '-accept', `${OTHER}:853`, ...keys]);
      outside.start(['openssl', 's_server', '-quiet', '-accept', `${ELSEWHERE}:443`, ...keys]);
      await until('servers of TLS', async () => {
        const listening = await outside.run('ss', '-Hltn');
        return listening.includes(':853 ') && listening.includes(':443 ') ? true : undefined;
      });
      wire = outside.start(['tcpdump', '-l', '-n', '--immediate-mode', '-i', 'up0']);
      await until('tcpdump', () => (/listening on/.test(wire.stderr) ? true : undefined));
      guest = await lab.addGuest();
      await start();
    });
    after(() => lab.close());
    afterEach(() => assert.ok(daemon.isRunning, daemon.stderr));

    async function dnsmasq(address: string, answer: string): Promise<Background> {
      const server = lab.outside.start([
        ...['dnsmasq', '-k', '-u', 'root', '--pid-file=', '--no-resolv', '--no-hosts', '-C'],
        ...['/dev/null', '--log-queries', '--log-facility=-', '--local-ttl=300'],
        ...['--bind-interfaces', '--except-interface=lo', `--listen-address=${address}`],
        `--address=/test/${answer}`,
      ]);
      await until(`dnsmasq at ${address}`, async () =>
        (await lab.outside.run('ss', '-Hlun')).includes(
          address.includes(':') ? `[${address}]:53` : `${address}:53`,
        ),
      );
      return server;
    }
    async function start(...args: readonly string[]): Promise<void> {
      daemon = await lab.startDaemon([
        ...['--listen', guest.link, '--dns', OUTSIDE, '--subnet6', SUBNET6],
        ...['--audit-log', lab.path('audit.log'), ...args],
      ]);
      await guest.lease();
      await addGuestIpv6(guest);
    }
    const hawser = async (...args: readonly string[]): Promise<string> =>
      await lab.host.run(...['env', `XDG_RUNTIME_DIR=${lab.dir}`, process.execPath, MAIN, ...args]);
    const use = async (document: string): Promise<void> => {
      writeFileSync(lab.path('policy.yaml'), document);
      await hawser('policy', 'set', lab.path('policy.yaml'));
    };
    const dig = async (server: string, ...args: readonly string[]): Promise<string> =>
      (await guest.try('dig', `@${server}`, '+tries=1', '+timeout=2', ...args)).stdout;
    const sendUdp = async (address: string, port: number): Promise<string> =>
      (await guest.run(process.execPath, '-e', SEND, address, `${port}`)).trim();
    /** @returns how long it took, in ms */
    const tls = async (
      address: string,
      port = 853,
    ): Promise<{ status: number; tookMs: number }> => {
      const began = performance.now();
      const argv = ['openssl', 's_client', '-connect', `${address}:${port}`];
      const { status } = await guest.try('sh', '-c', `exec "$@" < /dev/null`, 'sh', ...argv);
      return { status: status ?? -1, tookMs: performance.now() - began };
    };
    /** What was sent to the other resolver. */
    const ARRIVES = new RegExp(`> (?:${OTHER.replaceAll('.', '\\.')}|${OTHER6})\\.(?:53|853): `);
    let seen = 0;
    /** Since the last time. */
    const arrivals = async (): Promise<readonly string[]> => {
      const mark = `${OUTSIDE}.7: `;
      const before = wire.stdout.split(mark).length;
      await lab.host.try(process.execPath, '-e', SEND, OUTSIDE, '7');
      await until('the mark', () => (wire.stdout.split(mark).length > before ? true : undefined));
      const lines = wire.stdout.slice(seen).split('\n');
      seen = wire.stdout.length;
      return lines.filter((line) => ARRIVES.test(line));
    };

    const POLICIES = [
      ['denies a name', DENIES_A_NAME],
      ['allows every address', ALLOWS_ALL_ADDRESSES],
      ['allows a name', ALLOWS_A_NAME],
    ] as const;
    for (const [what, document] of POLICIES) {
      describe(`under a policy that ${what}`, () => {
        before(async () => {
          await use(document);
          await arrivals();
        });

        for (const [server, flag] of [
          [OTHER, '+notcp'],
          [OTHER, '+tcp'],
          [OTHER6, '+notcp'],
          [OTHER6, '+tcp'],
        ] as const) {
          it(`${server} ${flag}: the gateway's DNS answers, from that address`, async () => {
            const answer = await dig(server, flag, 'a.test');
            assert.match(answer, new RegExp(`^a\\.test\\..*A\\s+${OUTSIDE}$`, 'm'), answer);
            assert.match(answer, new RegExp(`^;; SERVER: ${server}#53`, 'm'));
          });

          it(`${server} ${flag}: a denied name does not exist, and never leaves`, async () => {
            for (const args of [[], ['-t', 'TXT'], ['-t', 'NULL'], ['-t', 'AAAA']]) {
              const answer = await dig(server, flag, ...args, 'secret.evil.test');
              assert.match(answer, /status: NXDOMAIN/);
              assert.match(answer, /EDE: 15 \(Blocked\)/);
            }
            assert.doesNotMatch(upstream.stderr + upstream.stdout, /evil/);
          });
        }

        it('nothing of that arrives there', async () => assert.deepEqual(await arrivals(), []));

        it('over TLS and QUIC: refused at once, and listed', async () => {
          const { status, tookMs } = await tls(OTHER);
          assert.equal(status, 1);
          assert.ok(tookMs < SOON_MS, `${tookMs} ms`);
          assert.match(await sendUdp(OTHER, 853), /^E(?:CONNREFUSED|ACCES|HOSTUNREACH|PERM)$/);
          assert.deepEqual(await arrivals(), []);
          const denials = await hawser('policy', 'denials');
          assert.match(denials, new RegExp(`${OTHER}.*853`));
        });
      });
    }

    describe('of whatever policy', () => {
      it('what is no DNS does not get out by its port either', async () => {
        await use(DENIES_A_NAME);
        await arrivals();
        await sendUdp(OTHER, 53);
        const { status } = await tls(OTHER, 53);
        assert.equal(status, 1);
        assert.deepEqual(await arrivals(), []);
      });

      it('an address that was found in this way is granted', async () => {
        await lab.startServers(lab.outside, OUTSIDE);
        await use(`default: deny\nrules:\n  - allow: { name: granted.test, port: ${HTTP_PORT} }\n`);
        const place = ['--resolve', `granted.test:${HTTP_PORT}:${OUTSIDE}`];
        const url = `http://granted.test:${HTTP_PORT}/`;
        const curl = async (): Promise<number | null> =>
          (await guest.try('curl', '-sS', '-m', '5', '-o', '/dev/null', ...place, url)).status;
        assert.equal(await curl(), 7);
        await dig(OTHER, 'granted.test');
        assert.equal(await curl(), 0);
      });

      it('the flow book and the audit log have it, with the rule', async () => {
        await use(DENIES_A_NAME);
        const open = guest.start(['nc', '-d', OTHER, '53']);
        const flow = await until('the connection', async () => {
          const flows = JSON.parse(await daemon.request('/v1/flows')).flows as Record<
            string,
            unknown
          >[];
          return flows.find(({ remoteAddress }) => remoteAddress === OTHER);
        });
        assert.deepEqual([flow['service'], flow['rule']], ['dns', REDIRECTED]);
        await open.stop();
        await dig(OTHER, 'a.test');
        for (const protocol of ['tcp', 'udp']) {
          await until(`the record of ${protocol}`, () =>
            readFileSync(lab.path('audit.log'), 'utf8')
              .split('\n')
              .some((line) =>
                [`"protocol":"${protocol}"`, `"remoteAddress":"${OTHER}"`, REDIRECTED].every(
                  (part) => line.includes(part),
                ),
              ),
          );
        }
        assert.match(
          await hawser('policy', 'test', '*', `${OTHER}:53`),
          /the DNS of the gateway answers/,
        );
      });

      it('a rule for the resolver is obeyed, from the next flow on', async () => {
        await use(DENIES_A_NAME);
        assert.match(await dig(OTHER, '+short', 'a.test'), new RegExp(OUTSIDE));
        await use(ALLOWS_THE_RESOLVER);
        for (const flag of ['+notcp', '+tcp']) {
          assert.match(await dig(OTHER, flag, '+short', 'a.test'), new RegExp(ELSEWHERE));
        }
        assert.equal((await tls(OTHER)).status, 0);
        await use(DENIES_A_NAME);
        assert.match(await dig(OTHER, '+short', 'a.test'), new RegExp(OUTSIDE));
        assert.equal((await tls(OTHER)).status, 1);
      });

      it('a denial of a resolver over TLS is approved by its line', async () => {
        await use(DENIES_A_NAME);
        await tls(OTHER);
        const list = JSON.parse(await hawser('policy', 'denials', '--json')) as {
          readonly denials: readonly {
            readonly id: string;
            readonly port: number;
            readonly protocol: string;
          }[];
        };
        const denial = list.denials.find(
          ({ port, protocol }) => port === 853 && protocol === 'tcp',
        );
        assert.ok(denial);
        await hawser('policy', 'approve', denial.id);
        assert.equal((await tls(OTHER)).status, 0);
      });

      it('DNS over HTTPS is a destination like all others', async () => {
        await use(DENIES_A_NAME);
        assert.equal((await tls(ELSEWHERE, 443)).status, 0);
        await use(ALLOWS_A_NAME);
        assert.equal((await tls(ELSEWHERE, 443)).status, 1);
      });

      it('without a policy nothing changes', async () => {
        await hawser('policy', 'clear');
        for (const server of [OTHER, OTHER6]) {
          for (const flag of ['+notcp', '+tcp']) {
            assert.match(await dig(server, flag, '+short', 'a.test'), new RegExp(ELSEWHERE));
          }
        }
        assert.equal((await tls(OTHER)).status, 0);
        assert.match(await dig(GATEWAY, '+short', 'a.test'), new RegExp(OUTSIDE));
      });

      it('--dns-other refuse, and allow', async () => {
        const policy = ['--policy', lab.path('policy.yaml')];
        writeFileSync(lab.path('policy.yaml'), DENIES_A_NAME);
        await daemon.stop('SIGTERM');
        await start(...policy, '--dns-other', 'refuse');
        await arrivals();
        for (const flag of ['+notcp', '+tcp']) {
          assert.match(await dig(OTHER, flag, 'a.test'), /connection refused/);
        }
        assert.match(await dig(GATEWAY, '+short', 'a.test'), new RegExp(OUTSIDE));
        assert.deepEqual(await arrivals(), []);
        assert.match(await hawser('policy', 'denials'), /--dns-other refuse/);
        await daemon.stop('SIGTERM');
        await start(...policy, '--dns-other', 'allow');
        assert.match(await dig(OTHER, '+short', 'a.test'), new RegExp(ELSEWHERE));
        assert.equal((await tls(OTHER)).status, 0);
      });
    });
  },
);
