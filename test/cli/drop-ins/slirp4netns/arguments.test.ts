import assert from 'node:assert/strict';
import {
  parseSlirpArguments,
  type SlirpRequest,
} from '../../../../src/cli/drop-ins/slirp4netns/arguments.ts';
import { SLIRP_HELP, slirpVersion } from '../../../../src/cli/drop-ins/slirp4netns/help.ts';

const PLAIN: SlirpRequest = {
  target: { kind: 'pid', pid: 42, tapName: 'tap0' },
  usernsPath: undefined,
  configure: false,
  mac: undefined,
  mtu: 1_500,
  cidr: { text: '10.0.2.0/24', base: 0x0a00_0200, prefixLen: 24 },
  ipv6: false,
  hostLoopback: true,
  dns: true,
  outbound: undefined,
  outbound6: undefined,
  sandbox: false,
  exitFd: undefined,
  readyFd: undefined,
  apiSocket: undefined,
};

const parse = (line: string): ReturnType<typeof parseSlirpArguments> =>
  parseSlirpArguments(line.split(' ').filter((word) => word !== ''));

const RUN: readonly [string, string, Partial<SlirpRequest>][] = [
  ['a process and a TAP', '42 tap0', {}],
  [
    'what RootlessKit passes',
    '--mtu 65520 -r 3 --disable-host-loopback --cidr 10.9.0.0/16 --api-socket /s --enable-sandbox --enable-seccomp --enable-ipv6 42 tap0',
    {
      mtu: 65_520,
      readyFd: 3,
      hostLoopback: false,
      cidr: { text: '10.9.0.0/16', base: 0x0a09_0000, prefixLen: 16 },
      apiSocket: '/s',
      sandbox: true,
      ipv6: true,
    },
  ],
  [
    'what RootlessKit passes for a network namespace of its own',
    '--mtu 65520 -r 3 --userns-path=/proc/42/ns/user --netns-type=path /run/netns tap0',
    {
      mtu: 65_520,
      readyFd: 3,
      usernsPath: '/proc/42/ns/user',
      target: { kind: 'path', path: '/run/netns', tapName: 'tap0' },
    },
  ],
  [
    'what podman passes',
    '--disable-host-loopback --mtu=65520 --enable-sandbox --enable-seccomp --enable-ipv6 -c -r 3 -e 4 --netns-type=path /run/user/1000/netns/n tap0',
    {
      hostLoopback: false,
      mtu: 65_520,
      sandbox: true,
      ipv6: true,
      configure: true,
      readyFd: 3,
      exitFd: 4,
      target: { kind: 'path', path: '/run/user/1000/netns/n', tapName: 'tap0' },
    },
  ],
  ['a pid by its type', '--netns-type=pid 42 tap0', {}],
  ['more operands', '42 tap0 more', {}],
  [
    'an Ethernet address',
    '-c --macaddress 52:54:0:12:34:5A 42 tap0',
    {
      configure: true,
      mac: '52:54:0:12:34:5a',
    },
  ],
  [
    'source addresses',
    '--outbound-addr 192.0.2.7 --outbound-addr6 eth0 42 tap0',
    {
      outbound: '192.0.2.7',
      outbound6: 'eth0',
    },
  ],
  ['no DNS', '--disable-dns 42 tap0', { dns: false }],
  [
    'former names',
    '--no-host-loopback --create-sandbox 42 tap0',
    {
      hostLoopback: false,
      sandbox: true,
    },
  ],
  ['the last of two', '-m 9000 -m 1400 42 tap0', { mtu: 1_400 }],
  ['a TAP that is open', '--netns-type=tapfd 5', { target: { kind: 'tapfd', fd: 5 } }],
  ['a BESS socket', '--target-type=bess /b', { target: { kind: 'bess', path: '/b' } }],
];

const BAD: readonly [string, RegExp][] = [
  ['', /two operands are needed/],
  ['42', /two operands are needed/],
  ['0 tap0', /PID 0: must be an integer/],
  ['init tap0', /PID init: must be an integer/],
  ['-m 65522 42 tap0', /--mtu 65522: must be an integer from 1 to 65521/],
  ['-m big 42 tap0', /--mtu big: must be an integer/],
  ['-r -1 42 tap0', /--ready-fd -1: must be an integer/],
  ['--cidr 10.0.2.0 42 tap0', /--cidr 10\.0\.2\.0: must be a network/],
  ['--cidr 10.0.2.100/24 42 tap0', /must be a network, not an address in it/],
  ['--cidr 10.0.2.0/26 42 tap0', /prefix length must be 8 to 25/],
  ['--cidr fd00::/64 42 tap0', /must be a network/],
  ['--macaddress 52:54:00:12:34:56 42 tap0', /--macaddress: needs --configure/],
  ['-c --macaddress 52:54 42 tap0', /--macaddress 52:54: must be six bytes/],
  ['--netns-type=name 42 tap0', /--netns-type name: must be pid, path or tapfd/],
  ['--target-type=vde 42 tap0', /--target-type vde: must be netns or bess/],
  ['--target-type=bess -c /b', /--configure conflicts with --target-type=bess/],
  ['--target-type=bess --netns-type=pid /b', /--netns-type conflicts/],
  ['--target-type=bess /a /b', /takes one operand/],
  ['--outbound-addr a/b 42 tap0', /--outbound-addr a\/b: must be an address or the name/],
  ['--quick 42 tap0', /unrecognized option '--quick'/],
];

/** What dockerd-rootless.sh, RootlessKit, podman, Buildah and k3s look for. */
const LOOKED_FOR = [
  ...['--netns-type', '--cidr', '--disable-host-loopback', '--api-socket', '--enable-sandbox'],
  ...['--enable-seccomp', '--enable-ipv6', '--mtu', '--outbound-addr', '--userns-path'],
];

describe('cli/drop-ins/slirp4netns/arguments', () => {
  for (const [what, line, changes] of RUN) {
    it(`reads ${what}`, () =>
      assert.deepEqual(parse(line), { kind: 'run', request: { ...PLAIN, ...changes } }));
  }
  for (const [line, problem] of BAD) {
    it(`refuses "${line}"`, () => {
      const parsed = parse(line);
      assert.ok(parsed.kind === 'bad');
      assert.match(parsed.problem, problem);
    });
  }
  for (const kind of ['help', 'version'] as const) {
    it(`--${kind} goes before what is wrong`, () => {
      assert.deepEqual(parse(`--${kind} --mtu=x`), { kind });
      assert.deepEqual(parse(`-${kind.charAt(0)}`), { kind });
    });
  }

  it('the help has every word that launchers look for', () => {
    const words = SLIRP_HELP.split(/[^\w-]+/);
    assert.deepEqual(
      LOOKED_FOR.filter((word) => !words.includes(word)),
      [],
    );
  });
  it('the version begins as that of runc does', () =>
    assert.match(slirpVersion('0.1.0'), /^slirp4netns version \d+\.\d+\.\d+\nhawser: 0\.1\.0\n$/));
});
