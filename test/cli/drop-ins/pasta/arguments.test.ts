import assert from 'node:assert/strict';
import {
  type PastaRequest,
  parsePastaArguments,
} from '../../../../src/cli/drop-ins/pasta/arguments.ts';
import { PASTA_HELP } from '../../../../src/cli/drop-ins/pasta/help.ts';

const PLAIN: PastaRequest = {
  target: { kind: 'pid', pid: 42 },
  usernsPath: undefined,
  tapName: undefined,
  configure: false,
  mtu: 65_520,
  mac: undefined,
  gatewayMac: undefined,
  address: undefined,
  prefixLen: undefined,
  gateway: undefined,
  dns: [],
  hostLoopback: 'gateway',
  hostAddress: undefined,
  outbound: undefined,
  outbound6: undefined,
  ipv6: true,
  ports: [],
  pidFile: undefined,
  logFile: undefined,
  pcapFile: undefined,
  logLevel: 'info',
  isForeground: false,
  endsWithNetns: true,
  readyFd: undefined,
  withoutEffect: [],
};

const parse = (line: string): ReturnType<typeof parsePastaArguments> =>
  parsePastaArguments(line.split(' ').filter((word) => word !== ''));

const port = (spec: string, hostAddress: string | undefined, host: string, guest: string) =>
  ({ words: `--tcp-ports ${spec}`, protocol: 'tcp', hostAddress, host, guest }) as const;

const RUN: readonly [string, string, Partial<PastaRequest>][] = [
  ['a process', '42', {}],
  [
    'what podman 5 passes',
    '--config-net -t 127.0.0.1/8080-8080:80-80 --dns-forward 169.254.1.1 -u none -T none -U none --no-map-gw --quiet --netns /run/user/1000/netns/n --map-guest-addr 169.254.1.2',
    {
      target: { kind: 'path', path: '/run/user/1000/netns/n' },
      configure: true,
      ports: [port('127.0.0.1/8080-8080:80-80', '127.0.0.1', '8080-8080', '80-80')],
      dns: ['169.254.1.1'],
      hostLoopback: undefined,
      hostAddress: '169.254.1.2',
      logLevel: 'warn',
    },
  ],
  [
    'what RootlessKit passes',
    '--stderr --ns-ifname=tap0 --mtu=65520 --config-net --address=10.0.2.100 --netmask=24 --gateway=10.0.2.2 --dns-forward=10.0.2.3 --no-map-gw --ipv4-only --tcp-ports=none --udp-ports=none 42',
    {
      tapName: 'tap0',
      configure: true,
      address: '10.0.2.100',
      prefixLen: 24,
      gateway: '10.0.2.2',
      dns: ['10.0.2.3'],
      hostLoopback: undefined,
      ipv6: false,
    },
  ],
  ['a namespace by name', '--netns blue', { target: { kind: 'path', path: '/run/netns/blue' } }],
  ['a mask', '-n 255.255.252.0 42', { prefixLen: 22 }],
  [
    'addresses of both families',
    '--dns-forward 10.0.2.9 --dns-forward fd00::3 -o 192.0.2.7 -o 2001:db8::7 42',
    { dns: ['10.0.2.9', 'fd00::3'], outbound: '192.0.2.7', outbound6: '2001:db8::7' },
  ],
  [
    'interfaces',
    '--outbound-if4 eth0 --outbound-if6 eth1 42',
    { outbound: 'eth0', outbound6: 'eth1' },
  ],
  [
    'lists of ports',
    '-t 22,80:8080 -t ::1/8000-8010:9000-9010 42',
    {
      ports: [
        port('22,80:8080', undefined, '22', '22'),
        port('22,80:8080', undefined, '80', '8080'),
        port('::1/8000-8010:9000-9010', '::1', '8000-8010', '9000-9010'),
      ],
    },
  ],
  [
    'files, and the foreground',
    '-f -P /p -l /l -p /c --ready-fd 3 --no-netns-quit -d 42',
    {
      ...{ isForeground: true, pidFile: '/p', logFile: '/l', pcapFile: '/c', readyFd: 3 },
      ...{ endsWithNetns: false, logLevel: 'debug' },
    },
  ],
  [
    'Ethernet addresses',
    '-M 9A:55:9a:55:9a:55 --ns-mac-addr 52:54:00:12:34:56 42',
    { gatewayMac: '9a:55:9a:55:9a:55', mac: '52:54:00:12:34:56' },
  ],
  ['where the host is', '--map-host-loopback 10.0.2.9 42', { hostLoopback: '10.0.2.9' }],
  [
    'what does nothing',
    '--no-dhcp -i eth0 42',
    {
      withoutEffect: [
        '--no-dhcp: it is served',
        '--interface: addresses of the host are not copied',
      ],
    },
  ],
  [
    'addresses of IPv6 that cannot be chosen',
    '-a 10.0.2.7 -a fd00::7 -g fd00::1 42',
    {
      address: '10.0.2.7',
      withoutEffect: [
        "--address fd00::7: an address of IPv4 can be chosen; those of IPv6 are hawser's",
        "--gateway fd00::1: an address of IPv4 can be chosen; those of IPv6 are hawser's",
      ],
    },
  ],
];

const BAD: readonly [string, RegExp][] = [
  ['', /PID or --netns PATH is needed/],
  ['sh -c true', /unrecognized|invalid option|a command is not started/],
  ['--netns /n 42', /only one can be given/],
  ['-6 42', /--ipv6-only: guests have IPv4 always/],
  ['-T auto 42', /--tcp-ns auto: .* are not served/],
  ['-t auto 42', /--tcp-ports auto: must be none, or \[ADDRESS\/\]PORTS/],
  ['-t 80:81:82 42', /must be none, or/],
  ['-t eth0/80 42', /eth0 must be an address/],
  ['-u all 42', /--udp-ports all: must be none/],
  ['-n 255.0.255.0 42', /--netmask 255\.0\.255\.0: must be a mask/],
  ['-n 31 42', /--netmask 31: must be an integer from 8 to 29/],
  ['-a nowhere 42', /--address nowhere: must be an address/],
  ['-m 68 42', /--mtu 68: must be an integer from 576 to 65520/],
  ['-M 1:2 42', /--mac-addr 1:2: must be six bytes/],
  ['--map-gust-addr 1 42', /unrecognized option '--map-gust-addr'/],
];

describe('cli/drop-ins/pasta/arguments', () => {
  for (const [name, line, expected] of RUN) {
    it(name, () => {
      const parsed = parse(line);
      assert.deepEqual(parsed, { kind: 'run', request: { ...PLAIN, ...expected } });
    });
  }
  for (const [line, problem] of BAD) {
    it(`refuses "${line}"`, () => {
      const parsed = parse(line);
      assert.ok(parsed.kind === 'bad', JSON.stringify(parsed));
      assert.match(parsed.problem, problem);
    });
  }
  it('help and version go before all others', () => {
    assert.equal(parse('--help -t').kind, 'bad');
    assert.equal(parse('--help --mtu 1').kind, 'help');
    assert.equal(parse('--version').kind, 'version');
  });
  it('the help names what podman passes', () => {
    for (const option of ['--config-net', '--dns-forward', '--no-map-gw', '--map-guest-addr']) {
      assert.ok(PASTA_HELP.includes(option), option);
    }
  });
});
