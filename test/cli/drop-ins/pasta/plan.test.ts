import assert from 'node:assert/strict';
import { buildConfig } from '../../../../src/cli/config.ts';
import type { DaemonConfig } from '../../../../src/cli/daemon-config.ts';
import { parsePastaArguments } from '../../../../src/cli/drop-ins/pasta/arguments.ts';
import { type PastaPlan, planPasta } from '../../../../src/cli/drop-ins/pasta/plan.ts';
import { tapAddress } from '../../../../src/native/tap-address.ts';
import { addressesOf } from '../../../../src/network/addresses.ts';

const PLACE = { env: { XDG_RUNTIME_DIR: '/run/user/1000' }, uid: 1_000, exists: () => true };

function plan(line: string): PastaPlan {
  const parsed = parsePastaArguments(line.split(' '));
  assert.ok(parsed.kind === 'run', JSON.stringify(parsed));
  const addressOf = (name: string, family: 4 | 6): string | undefined =>
    name === 'eth0' && family === 4 ? '192.0.2.7' : undefined;
  return planPasta(parsed.request, { pid: 4_711, addressOf });
}

function config(line: string): DaemonConfig {
  const { options, words } = plan(line);
  return buildConfig(options, undefined, PLACE, { words, hasApi: false });
}

const own = (line: string): string => {
  const { gateway, host, dns } = addressesOf(config(line));
  return [gateway, host ?? 'none', dns ?? 'none', plan(line).tap.address].join(' ');
};

describe('cli/drop-ins/pasta/plan', () => {
  const networks: readonly [string, string][] = [
    ['42', '10.0.2.2 10.0.2.2 none 10.0.2.100'],
    ['--no-map-gw 42', '10.0.2.2 none none 10.0.2.100'],
    [
      '--no-map-gw --dns-forward 169.254.1.1 --map-guest-addr 169.254.1.2 42',
      '10.0.2.2 169.254.1.2 169.254.1.1 10.0.2.100',
    ],
    ['-a 172.20.9.2 -n 16 -g 172.20.0.1 42', '172.20.0.1 172.20.0.1 none 172.20.9.2'],
    ['-a 10.9.0.2 --no-map-gw 42', '10.9.0.1 none none 10.9.0.2'],
    ['-a 200.1.2.130 -n 255.255.255.128 --no-map-gw 42', '200.1.2.129 none none 200.1.2.130'],
    ['--map-host-loopback 10.0.2.9 --no-map-gw 42', '10.0.2.2 10.0.2.9 none 10.0.2.100'],
  ];
  for (const [line, addresses] of networks) {
    it(`gateway, host, DNS and guest of "${line}"`, () => assert.equal(own(line), addresses));
  }

  it('the host is known by its own address, unless its loopback is open to guests', () => {
    assert.equal(plan('--no-map-gw --map-guest-addr 169.254.1.2 42').leadsToHostAddress, true);
    const both = plan('--map-guest-addr 169.254.1.2 42');
    assert.equal(both.leadsToHostAddress, false);
    assert.deepEqual(both.withoutEffect, ['--map-guest-addr: 10.0.2.2 is the host already']);
  });

  it('ports lead to the guest, whatever the family of a client is', () => {
    const line = '--config-net --ns-mac-addr 52:54:00:12:34:56 -t 8080:80 -u 127.0.0.1/53';
    const { publish, leases } = config(`${line} -t ::1/9000-9001 42`);
    assert.deepEqual(publish, [
      '*:8080:52:54:00:12:34:56:80/tcp',
      '[::1]:9000-9001:52:54:00:12:34:56:9000-9001/tcp',
      '127.0.0.1:53:52:54:00:12:34:56:53/udp',
    ]);
    assert.deepEqual(
      leases.static.map(({ mac, address }) => `${mac} ${address}`),
      ['52:54:00:12:34:56 10.0.2.100'],
    );
  });

  it('the guest is known by the Ethernet address that its interface is made with', () => {
    const made = Buffer.from(tapAddress('tap0', '/proc/42/ns/net')).toString('hex');
    for (const line of ['-I tap0 42', '-I tap0 --ns-mac-addr 52:54:00:12:34:56 42']) {
      const [lease] = config(line).leases.static;
      assert.equal(lease?.mac.replaceAll(':', ''), made);
    }
  });

  for (const [line, message] of [
    ['-a 127.0.0.5 42', /^--address 127\.0\.0\.5[: ]/],
    ['-a 224.0.0.5 -n 16 42', /^--address 224\.0\.0\.5 --netmask 16[: ]/],
    ['-a 10.0.2.9 -g 10.0.2.9 42', /^--address 10\.0\.2\.9[: ]/m],
    ['-g 10.9.9.9 42', /^--gateway 10\.9\.9\.9: must be inside the subnet 10\.0\.2\.0\/24/],
    ['--map-host-loopback 224.0.0.9 42', /^--map-host-loopback 224\.0\.0\.9[: ]/],
    ['--no-map-gw --map-guest-addr 224.0.0.9 42', /^--map-guest-addr 224\.0\.0\.9[: ]/],
    ['--dns-forward 224.0.0.9 42', /^--dns-forward 224\.0\.0\.9[: ]/],
    ['-M ff:ff:ff:ff:ff:ff 42', /^--mac-addr ff:ff:ff:ff:ff:ff[: ]/],
    ['-t 22 -t 8080-8081:80-85 42', /^--tcp-ports 8080-8081:80-85[: ]/],
    ['-u 1-2000 42', /^--udp-ports 1-2000[: ]/],
    ['-P /run/x -l /run/x 42', /^--(pid|log-file) \/run\/x[: ]/],
  ] as const) {
    it(`what is wrong in "${line}" is said of what was given`, () => {
      assert.throws(
        () => config(line),
        (error) => {
          const { message: text } = error as Error;
          assert.match(text, message);
          for (const own of [
            '--subnet',
            '--publish',
            '--host-ip',
            '--static-lease',
            '--dns-address',
            '--outbound-address',
            '--gateway-mac',
            '--pid-file',
          ]) {
            assert.ok(!text.includes(own), text);
          }
          return true;
        },
      );
    });
  }

  it('the TAP is in the namespaces of the process, or of the path', () => {
    assert.deepEqual(plan('42').tap.place, {
      netns: '/proc/42/ns/net',
      userns: '/proc/42/ns/user',
    });
    assert.deepEqual(plan('--netns /n/x').tap.place, { netns: '/n/x', userns: undefined });
    assert.deepEqual(config('-I tap0 --netns /n/x').listen, ['tap:tap0@/n/x']);
  });

  it('it is sandboxed, and ends with its link', () => {
    const { sandbox, exitWithGuest, name } = config('42');
    assert.deepEqual([sandbox, exitWithGuest, name], ['on', true, 'pasta-4711']);
  });

  it('sources may be those of interfaces', () => {
    assert.deepEqual(config('--outbound-if4 eth0 42').outbound, ['192.0.2.7']);
    assert.throws(() => plan('--outbound-if6 eth0 42'), /--outbound-if6 eth0: no interface/);
  });

  it('IPv6 may be left out', () => assert.equal(config('-4 42').ipv6.use, 'off'));

  it('a gateway that is elsewhere is refused', () =>
    assert.throws(() => config('-g 10.9.9.9 42'), /must be inside the subnet 10\.0\.2\.0\/24/));
});
