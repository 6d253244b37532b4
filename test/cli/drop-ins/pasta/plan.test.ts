import assert from 'node:assert/strict';
import { buildConfig } from '../../../../src/cli/config.ts';
import type { DaemonConfig } from '../../../../src/cli/daemon-config.ts';
import { parsePastaArguments } from '../../../../src/cli/drop-ins/pasta/arguments.ts';
import { type PastaPlan, planPasta } from '../../../../src/cli/drop-ins/pasta/plan.ts';
import { addressesOf } from '../../../../src/network/addresses.ts';

const PLACE = { env: { XDG_RUNTIME_DIR: '/run/user/1000' }, uid: 1_000, exists: () => true };

function plan(line: string): PastaPlan {
  const parsed = parsePastaArguments(line.split(' '));
  assert.ok(parsed.kind === 'run', JSON.stringify(parsed));
  const addressOf = (name: string, family: 4 | 6): string | undefined =>
    name === 'eth0' && family === 4 ? '192.0.2.7' : undefined;
  return planPasta(parsed.request, { pid: 4_711, addressOf });
}

const config = (line: string): DaemonConfig => buildConfig(plan(line).options, undefined, PLACE);

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

  it('ports lead to the guest', () => {
    assert.deepEqual(config('-t 8080:80 -u 127.0.0.1/53 -t ::1/9000-9001 42').publish, [
      '*:8080:10.0.2.100:80/tcp',
      '[::1]:9000-9001:10.0.2.100:9000-9001/tcp',
      '127.0.0.1:53:10.0.2.100:53/udp',
    ]);
  });

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
