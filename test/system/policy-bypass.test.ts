/** What a guest under a policy that denies by default tries to get around it: a real kernel's tries, and frames of its own. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { macOf } from '../../src/wire/mac.ts';
import { wordsBeside } from '../services/dns/words-beside.ts';
import { type IpFields, ipFrame, tcpFrame, udpPacket } from '../support/frames.ts';
import { frame6, udp6 } from '../support/frames6.ts';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { inject } from './support/inject.ts';
import { addGuestIpv6, addIpv6, GUEST6, OUTSIDE6, SUBNET6 } from './support/ipv6.ts';
import { GATEWAY, type Guest, HOST, HTTP_PORT, Lab, OUTSIDE } from './support/lab.ts';
import { type Background, succeed } from './support/processes.ts';
import { until } from './support/until.ts';
import { MARK_ADDRESS, MARK_PORT, sendUdp, settled, startWire } from './support/wire.ts';

const OTHER = '198.18.0.2';
const THIRD = MARK_ADDRESS;
const FOURTH = '198.18.0.4';
const BACK_PORT = 9090;
const UDP = 17;
const MORE_FRAGMENTS = 0x2000;
const TCP = 6;
const ICMPV6 = 58;
const SCTP = 132;
const GRE = 47;
const IPIP = 4;
const IPV6_IN_IPV4 = 41;
const NAMED_MAIN = fileURLToPath(new URL('./support/named-main.js', import.meta.url));
const ASK = `const s = require('dgram').createSocket('udp4');
  s.on('message', () => process.exit()).send(Buffer.from(process.argv[2], 'hex'), 53, process.argv[1]);`;

const word = (text: string): number =>
  text.split('.').reduce((sum, part) => (sum << 8) | Number(part) | 0, 0);

systemSuite(
  'ways around an egress policy',
  [...LAB, 'ipv6', 'curl', 'dig', 'dnsmasq', 'openssl', 'ping', 'perl', 'tcpdump'],
  function () {
    this.timeout(60_000);

    let lab: Lab;
    let guest: Guest;
    let other: Guest;
    let daemon: Daemon;
    let upstream: Background;
    let servers: Background;
    let wire: Background;
    let fields: IpFields;
    let otherFields: IpFields;

    before(async () => {
      lab = await Lab.open();
      await addIpv6(lab);
      const { outside, host } = lab;
      for (const address of [OTHER, THIRD, FOURTH]) {
        await succeed(['ip', '-n', outside.name, 'addr', 'add', `${address}/24`, 'dev', 'up0']);
      }
      const keys = [lab.path('key.pem'), lab.path('cert.pem')];
      await outside.run(
        ...['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
        ...['-nodes', '-subj', '/CN=a.test', '-days', '1'],
        ...['-keyout', lab.path('key.pem'), '-out', lab.path('cert.pem')],
      );
      servers = outside.start([process.execPath, NAMED_MAIN, '0.0.0.0', ...keys]);
      await servers.prints(/serving/);
      upstream = outside.start([
        ...['dnsmasq', '-k', '-u', 'root', '--pid-file=', '--no-resolv', '--no-hosts', '-C'],
        ...['/dev/null', '--log-queries', '--log-facility=-', '--local-ttl=300'],
        ...[`--address=/a.test/${OUTSIDE}`, `--address=/w.test/evil.test/${OTHER}`],
      ]);
      await until('dnsmasq', async () => (await outside.run('ss', '-Hlun')).includes(':53 '));
      wire = await startWire(lab);
      await lab.startServers(host);
      guest = await lab.addGuest();
      other = await lab.addGuest();
      writeFileSync(
        lab.path('policy.yaml'),
        `default: deny
rules:
  - allow: { name: a.test, port: [80, 443], protocol: tcp }
  - allow: { name: '*.w.test', port: 443, protocol: tcp }
  - allow: { cidr: ${THIRD}, port: ${MARK_PORT}, protocol: udp }
  - allow: { guest: '${other.link}', cidr: ${FOURTH}, protocol: tcp }
  - allow: { guest: named, cidr: ${FOURTH}, protocol: tcp }
  - allow: { to: host, port: ${BACK_PORT}, protocol: tcp }
`,
      );
      daemon = await lab.startDaemon([
        ...['--listen', guest.link, '--listen', other.link, '--dns', OUTSIDE],
        ...['--policy', lab.path('policy.yaml'), '--subnet6', SUBNET6],
      ]);
      const [address, otherAddress] = [await guest.lease(), await other.lease()];
      await addGuestIpv6(guest);
      const gateway = macOf(await macAt(guest, GATEWAY));
      fields = { src: word(address.address), srcMac: await macOfGuest(guest), dstMac: gateway };
      otherFields = {
        ...{ src: word(otherAddress.address), srcMac: await macOfGuest(other), dstMac: gateway },
      };
      await lab.startServers(other);
      await until('a published port', async () => {
        const { status } = await hawser(
          ...['expose', `127.0.0.1:${BACK_PORT}:${otherAddress.address}:${HTTP_PORT}`],
        );
        return status === 0 ? true : undefined;
      });
    });
    after(() => lab.close());
    afterEach(() => assert.ok(daemon.isRunning, daemon.stderr));

    const hawser = async (...args: readonly string[]) =>
      await lab.host.try(
        ...['env', `XDG_RUNTIME_DIR=${lab.dir}`, process.execPath],
        ...[fileURLToPath(new URL('../../bin/hawser.js', import.meta.url)), ...args],
      );
    const macAt = async (where: Guest, address: string): Promise<string> => {
      await where.try('ping', '-c', '1', '-W', '1', address);
      const line = await where.run('ip', 'neigh', 'show', address);
      return /lladdr ([0-9a-f:]{17})/.exec(line)?.[1] ?? '';
    };
    const macOfGuest = async (where: Guest): Promise<number> => {
      const line = await where.run('ip', '-o', 'link', 'show', 'eth0');
      return macOf(/link\/ether ([0-9a-f:]{17})/.exec(line)?.[1] ?? '');
    };
    const dig = async (...args: readonly string[]): Promise<string> =>
      await guest.run('dig', `@${GATEWAY}`, '+tries=1', '+timeout=2', ...args);
    const curl = async (by: Guest, ...args: readonly string[]): Promise<number> =>
      (await by.try('curl', '-sS', '-k', '-m', '5', ...args)).status ?? -1;
    const at = (name: string, address: string): readonly string[] => [
      ...['--resolve', `${name}:443:${address}`, `https://${name}/`],
    ];
    const isRefused = async (...args: readonly string[]): Promise<void> =>
      assert.equal(await curl(guest, ...args), 7);
    /** IPv4, to those that nothing but a mark may reach. */
    const FORBIDDEN = /> 198\.18\.0\.(?:[24](?!\d)|3(?!\d|\.5000: UDP))/;
    const NEVER = /IP6 2001:db8:18::10[^\n]* > (?!ff)|GRE|SCTP|sctp|ip-proto|ICMP echo|\.853[: ]/;

    const tries: readonly (readonly [string, () => Promise<void>])[] = [
      [
        'other resolvers: UDP, TCP, over TLS, over QUIC',
        async () => {
          for (const flag of ['+notcp', '+tcp']) {
            const argv = ['dig', `@${OTHER}`, flag, '+tries=1', '+timeout=2', 'evil.test'];
            assert.match((await guest.try(...argv)).stdout, /status: NXDOMAIN/);
          }
          await isRefused(`telnet://${OTHER}:853`);
          await isRefused(`telnet://${OUTSIDE}:853`);
          for (const address of [OTHER, OUTSIDE]) {
            assert.match(await sendUdp(guest, address, 853, 1_000), /^E/);
          }
        },
      ],
      ['the IPv6 twin', async () => await isRefused(`https://[${OUTSIDE6}]/`)],
      [
        'IPv4 in IPv6: NAT64, 6to4, Teredo, ISATAP',
        async () => {
          await dig('a.test');
          for (const address of [
            ...['64:ff9b::c612:2', '64:ff9b::c612:1', '2002:c612:2::1', '2002:c612:1::1'],
            ...['2001:0:c612:2::1', '2001:0:808:808:0:0:39ed:fffd'],
          ]) {
            await isRefused(`https://[${address}]/`);
          }
          const ofAllowed = `${OUTSIDE6.slice(0, -1)}5efe:${THIRD}`;
          assert.match(await sendUdp(guest, ofAllowed, MARK_PORT, 1_000), /^E/);
        },
      ],
      [
        'addresses that are none',
        async () => {
          for (const text of [
            '0.0.0.0',
            '127.0.0.1',
            '127.0.0.2',
            '255.255.255.255',
            '240.0.0.1',
          ]) {
            for (const dport of [80, BACK_PORT, HTTP_PORT]) {
              await inject(guest, tcpFrame({ flags: 'S', dport }, { ...fields, dst: word(text) }));
            }
          }
          for (const dst of ['::', '::1', '::7f00:1']) {
            const to = { src: GUEST6, dst, srcMac: fields.srcMac, dstMac: fields.dstMac };
            const datagram = udp6(1, BACK_PORT, [7], definedOf(to));
            await inject(guest, frame6(UDP, datagram, definedOf(to)));
          }
          assert.deepEqual(await daemon.flows().then((list) => list.filter(isTcp)), []);
        },
      ],
      [
        'other protocols',
        async () => {
          for (const protocol of [SCTP, GRE, IPIP, IPV6_IN_IPV4, 50, 255]) {
            for (const to of [OTHER, THIRD, OUTSIDE]) {
              const l4 = new Uint8Array(64).fill(7);
              await inject(guest, ipFrame(protocol, l4, { ...fields, dst: word(to) }));
            }
          }
          const to = { src: GUEST6, dst: OUTSIDE6, srcMac: fields.srcMac, dstMac: fields.dstMac };
          await inject(guest, frame6(SCTP, new Array<number>(32).fill(7), definedOf(to)));
        },
      ],
      [
        'the payload of pings, and of other messages of ICMP',
        async () => {
          for (const to of [OTHER, OUTSIDE, OUTSIDE6]) {
            const { status } = await guest.try('ping', '-c', '1', '-W', '1', '-p', 'deadbeef', to);
            assert.notEqual(status, 0);
          }
          for (const type of [0, 3, 8, 13, 17]) {
            const message = Uint8Array.of(type, 0, 0xff - type, 0xff, 0, 1, 0, 1, 7, 7);
            await inject(guest, ipFrame(1, message, { ...fields, dst: word(OTHER), fragment: 0 }));
          }
          const to = { src: GUEST6, dst: OUTSIDE6, srcMac: fields.srcMac, dstMac: fields.dstMac };
          await inject(guest, frame6(ICMPV6, [1, 0, 0, 0, 0, 0, 0, 0, 7, 7, 7, 7], definedOf(to)));
        },
      ],
      [
        'fragments: of what is denied, overlapping, tiny',
        async () => {
          const part = (l4: Uint8Array, id: number, to: string, from: number, end: number) =>
            ipFrame(UDP, l4.subarray(from, end), {
              ...{ ...fields, dst: word(to), id },
              fragment: (from >> 3) | (end < l4.length ? MORE_FRAGMENTS : 0),
            });
          const denied = udpPacket(1, 53, new Uint8Array(64), { ...fields, dst: word(OTHER) });
          await inject(guest, part(denied, 1, OTHER, 0, 32), part(denied, 1, OTHER, 32, 72));
          const allowed = udpPacket(1, MARK_PORT, new Uint8Array(64), {
            ...fields,
            dst: word(THIRD),
          });
          const evil = udpPacket(1, 53, new Uint8Array(64), { ...fields, dst: word(THIRD) });
          for (const frames of [
            [
              part(allowed, 2, THIRD, 0, 32),
              part(evil, 2, THIRD, 0, 32),
              part(evil, 2, THIRD, 32, 72),
            ],
            [
              part(allowed, 3, THIRD, 0, 8),
              part(evil, 3, THIRD, 0, 40),
              part(evil, 3, THIRD, 40, 72),
            ],
            [
              part(evil, 4, THIRD, 32, 72),
              part(allowed, 4, THIRD, 0, 8),
              part(evil, 4, THIRD, 0, 32),
            ],
          ]) {
            await inject(guest, ...frames);
          }
          const syn = tcpFrame({ flags: 'S', dport: 80 }, { ...fields, dst: word(OTHER) });
          const l4 = syn.subarray(34);
          await inject(
            guest,
            ipFrame(TCP, l4.subarray(0, 8), {
              ...fields,
              dst: word(OTHER),
              fragment: MORE_FRAGMENTS,
            }),
            ipFrame(TCP, l4.subarray(8), { ...fields, dst: word(OTHER), fragment: 1 }),
          );
        },
      ],
      [
        "another guest's Ethernet address, IP address and name",
        async () => {
          const to = { dst: word(FOURTH) };
          for (const from of [
            { ...otherFields, ...to },
            { ...fields, ...to, src: otherFields.src ?? 0 },
            { ...otherFields, ...to, src: fields.src ?? 0 },
          ]) {
            await inject(guest, tcpFrame({ flags: 'S', dport: 80 }, from));
          }
          const udhcpc = ['udhcpc', '-i', 'eth0', '-n', '-q', '-f', '-s', '/bin/true'];
          await guest.try(...udhcpc, '-x', 'hostname:named');
          await isRefused(`http://${FOURTH}/`);
        },
      ],
      [
        'a foreign address by an allowed name, and a foreign name at an allowed address',
        async () => {
          await dig('a.test');
          await isRefused(...at('a.test', OTHER));
          await isRefused(`https://${OTHER}/`);
          assert.equal(await curl(guest, ...at('evil.test', OUTSIDE)), 35);
        },
      ],
      [
        "the gateway's time, and a port of the host that leads to another guest",
        async () => {
          assert.match(await sendUdp(guest, GATEWAY, 123, 1_000), /^E/);
          await isRefused(`http://${HOST}:${BACK_PORT}/`);
          await isRefused(`http://198.18.0.10:${BACK_PORT}/`);
        },
      ],
      [
        'words beside a question that is allowed',
        async () => {
          const seen = lab.outside.start([
            ...['tcpdump', '-l', '-n', '-A', '--immediate-mode', '-i', 'up0', 'port 53'],
          ]);
          await until('tcpdump', () => (/listening on/.test(seen.stderr) ? true : undefined));
          for (const n of wordsBeside('').keys()) {
            const name = `words${n}.w.test`;
            const [where = '', message = Buffer.of()] = wordsBeside(name)[n] ?? [];
            await guest.run(process.execPath, '-e', ASK, GATEWAY, message.toString('hex'));
            await until(where, () => (seen.stdout.includes(`A? ${name}`) ? true : undefined));
          }
          assert.doesNotMatch(seen.stdout, /secret/);
          await seen.stop();
        },
      ],
    ];
    for (const [what, attempt] of tries) {
      it(`nothing arrives by ${what}`, async () => {
        const from = wire.stdout.length;
        await attempt();
        await settled(wire, guest);
        const lines = wire.stdout.slice(from).split('\n');
        assert.deepEqual(
          lines.filter((line) => FORBIDDEN.test(line) || NEVER.test(line)),
          [],
        );
      });
    }

    it('what the rules allow does arrive', async () => {
      assert.equal(await curl(other, `http://${FOURTH}/`), 0);
      await dig('a.test');
      assert.equal(await curl(guest, ...at('a.test', OUTSIDE)), 0);
    });

    it("of a wildcard's names each has its own addresses", async () => {
      assert.match(await dig('+short', 'n.w.test'), new RegExp(OTHER));
      assert.equal(await curl(guest, ...at('n.w.test', OTHER)), 0);
      assert.equal(await curl(guest, ...at('m.w.test', OTHER)), 35);
      assert.equal(await curl(guest, ...at('a.test', OTHER)), 35);
      assert.equal(await curl(guest, ...at('evil.test', OTHER)), 35);
    });

    it('the first of many names at one address still leads there', async () => {
      const names = Array.from({ length: 100 }, (_, n) => `n${n}.w.test`);
      assert.equal((await dig('+short', ...names)).split(OTHER).length, names.length + 1);
      assert.equal(await curl(guest, ...at('n0.w.test', OTHER)), 0);
      assert.equal(await curl(guest, ...at('n99.w.test', OTHER)), 0);
      assert.equal(await curl(guest, ...at('n100.w.test', OTHER)), 35);
    });

    it('names are one, however they are written, and none that only looks like one', async () => {
      assert.match(await dig('+short', 'A.TEST.'), new RegExp(OUTSIDE));
      assert.equal(await curl(guest, '-H', 'Host: A.Test.', `http://${OUTSIDE}/`), 0);
      for (const name of ['a.test\\000.evil.test', 'a.test\\.evil.test', 'EVIL.TEST', 'a..test']) {
        const { stdout, status } = await guest.try(
          ...['dig', `@${GATEWAY}`, '+tries=1', '+timeout=2', name],
        );
        assert.ok(status !== 0 || /NXDOMAIN|REFUSED|FORMERR/.test(stdout), stdout);
      }
      assert.doesNotMatch(upstream.stderr + upstream.stdout, /evil/i);
    });

    it('a published port is opened by a rule for guests beside that for the host', async () => {
      const { status } = await hawser('policy', 'allow', `guest:${BACK_PORT}/tcp`);
      assert.equal(status, 0);
      assert.equal(await curl(guest, `http://${HOST}:${BACK_PORT}/`), 0);
    });
  },
);

const isTcp = ({ protocol }: { readonly protocol: string }): boolean => protocol === 'tcp';

interface Ip6 {
  readonly src: string;
  readonly dst: string;
  readonly srcMac: number | undefined;
  readonly dstMac: number | undefined;
}
const definedOf = ({ src, dst, srcMac = 0, dstMac = 0 }: Ip6) => ({ src, dst, srcMac, dstMac });
