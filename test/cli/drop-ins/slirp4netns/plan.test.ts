import assert from 'node:assert/strict';
import { buildConfig } from '../../../../src/cli/config.ts';
import type { DaemonConfig } from '../../../../src/cli/daemon-config.ts';
import { parseSlirpArguments } from '../../../../src/cli/drop-ins/slirp4netns/arguments.ts';
import { planSlirp, type SlirpPlan } from '../../../../src/cli/drop-ins/slirp4netns/plan.ts';
import { addressesOf } from '../../../../src/network/addresses.ts';

const PLACE = { env: { XDG_RUNTIME_DIR: '/run/user/1000' }, uid: 1_000, exists: () => true };

function plan(line: string): SlirpPlan {
  const parsed = parseSlirpArguments(line.split(' '));
  assert.ok(parsed.kind === 'run', JSON.stringify(parsed));
  const addressOf = (name: string, family: 4 | 6): string | undefined =>
    name === 'eth0' && family === 4 ? '192.0.2.7' : undefined;
  return planSlirp(parsed.request, { pid: 4_711, addressOf });
}

function config(line: string): DaemonConfig {
  const { options, words } = plan(line);
  return buildConfig(options, undefined, PLACE, { words, hasApi: false });
}

const own = (line: string): string => {
  const { gateway, host, dns, ipv6 } = addressesOf(config(line));
  const six = ipv6 === undefined ? [] : [ipv6.gateway, ipv6.host ?? 'none', ipv6.dns ?? 'none'];
  return [gateway, host ?? 'none', dns ?? 'none', ...six].join(' ');
};

describe('cli/drop-ins/slirp4netns/plan', () => {
  it('the gateway is the host too, and DNS has an address of its own', () =>
    assert.equal(own('42 tap0'), '10.0.2.2 10.0.2.2 10.0.2.3'));
  it('of another network the same places', () =>
    assert.equal(own('--cidr 172.16.0.0/12 42 tap0'), '172.16.0.2 172.16.0.2 172.16.0.3'));
  it("the host's loopback may be closed", () =>
    assert.equal(own('--disable-host-loopback 42 tap0'), '10.0.2.2 none 10.0.2.3'));
  it('IPv6 has the addresses of libslirp', () =>
    assert.equal(own('-6 42 tap0'), '10.0.2.2 10.0.2.2 10.0.2.3 fd00::2 fd00::2 fd00::3'));
  it('IPv6 is off without the option', () => assert.equal(config('42 tap0').ipv6.use, 'off'));
  it('leases are those of libslirp', () =>
    assert.deepEqual(config('42 tap0').leases.range, { first: '10.0.2.15', last: '10.0.2.30' }));
  it('the largest MTU of libslirp is ours', () => {
    assert.equal(config('-m 65521 42 tap0').mtu, 65_520);
    assert.equal(plan('-m 65521 42 tap0').tap?.mtu, 65_520);
  });
  it('an MTU that no IPv4 host may have is refused', () =>
    assert.throws(() => config('-m 68 42 tap0'), /must be an integer from 576 to 65520/));
  it('source addresses may be those of interfaces', () => {
    assert.deepEqual(config('--outbound-addr eth0 42 tap0').outbound, ['192.0.2.7']);
    assert.deepEqual(config('--outbound-addr6 ::9 42 tap0').outbound, ['::9']);
    assert.throws(() => plan('--outbound-addr6 eth0 42 tap0'), /no interface of that name has an/);
  });
  it('what is wrong with the network is said of what was given', () =>
    assert.throws(() => config('--cidr 224.0.0.0/24 42 tap0'), {
      message: /^--cidr 224\.0\.0\.0\/24[: ]/,
    }));
  it('DNS may be left out', () => {
    const { isServed, addresses } = config('--disable-dns 42 tap0').dns;
    assert.deepEqual([isServed, addresses], [false, []]);
  });
  it('a path that is too long for a socket is refused', () =>
    assert.throws(() => plan(`-a /${'x'.repeat(120)} 42 tap0`), /--api-socket .*: must be/));
  it('it is sandboxed when that is asked for', () => {
    assert.equal(config('42 tap0').sandbox, 'off');
    assert.equal(config('--enable-seccomp 42 tap0').sandbox, 'on');
  });

  for (const [line, link, place] of [
    ['42 tap0', 'tap:tap0@/proc/42/ns/net', ['/proc/42/ns/net', '/proc/42/ns/user']],
    ['--userns-path=/u 42 tap0', 'tap:tap0@/proc/42/ns/net', ['/proc/42/ns/net', '/u']],
    ['--netns-type=path /n tap1', 'tap:tap1@/n', ['/n', undefined]],
    ['--userns-path=/u --netns-type=path /n tap1', 'tap:tap1@/n', ['/n', '/u']],
    ['--netns-type=tapfd 5', 'fd:5:packet', undefined],
    ['--target-type=bess /run/b', 'bess:/run/b', undefined],
  ] as const) {
    it(`the link of "${line}" is ${link}`, () => {
      const { options, tap } = plan(line);
      assert.deepEqual(options['listen'], [link]);
      assert.deepEqual(tap && [tap.place.netns, tap.place.userns], place);
    });
  }

  it('with -c the TAP is set up as a guest would do it', () => {
    const { tap, guest } = plan('-c --macaddress 52:54:00:12:34:56 --cidr 10.9.0.0/16 42 tap0');
    assert.ok(tap);
    const { configure, mac, address, prefixLen, gateway } = tap;
    assert.deepEqual(
      [configure, mac, `${address}/${prefixLen}`, `${gateway}`, `${guest}`],
      [true, '52:54:00:12:34:56', '10.9.0.100/16', '10.9.0.2', '10.9.0.100'],
    );
  });
});
