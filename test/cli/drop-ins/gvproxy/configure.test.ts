/**
 * From arguments and a file to the configuration: the table of `cmd/gvproxy/config_test.go` of gvisor-tap-vsock, its results
 * written as what they add to a common one, and rows of our own.
 */
import assert from 'node:assert/strict';
import { parseGoFlags } from '../../../../src/cli/drop-ins/go-flags.ts';
import type { GvproxyConfig } from '../../../../src/cli/drop-ins/gvproxy/configuration.ts';
import { configure } from '../../../../src/cli/drop-ins/gvproxy/configure.ts';
import { parseFile } from '../../../../src/cli/drop-ins/gvproxy/file.ts';
import { GVPROXY_FLAGS } from '../../../../src/cli/drop-ins/gvproxy/flags.ts';

type Tree = { readonly [key: string]: unknown };

const isTree = (value: unknown): value is Tree =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const zone = (name: string): Tree => ({
  name,
  records: [
    { name: 'gateway', ip: '192.168.127.1' },
    { name: 'host', ip: '192.168.127.254' },
  ],
});

const WITH_FILE: Tree = {
  logLevel: 'info',
  stack: {
    mtu: 1500,
    subnet: '192.168.127.0/24',
    gatewayIP: '192.168.127.1',
    deviceIP: '192.168.127.2',
    hostIP: '192.168.127.254',
    gatewayMacAddress: '5a:94:ef:e4:0c:dd',
    nat: { '192.168.127.254': '127.0.0.1' },
    gatewayVirtualIPs: ['192.168.127.254'],
  },
};

const WITHOUT_FILE: Tree = merged(WITH_FILE, {
  stack: {
    dns: [zone('containers.internal.'), zone('docker.internal.')],
    forwards: { '127.0.0.1:2222': '192.168.127.2:22' },
    dhcpStaticLeases: { '192.168.127.2': '5a:94:ef:e4:0c:ee' },
    vpnKitUUIDMacAddresses: { 'c3d68012-0208-11ea-9fd7-f2189899ab08': '5a:94:ef:e4:0c:ee' },
  },
});

/** Of the subnet 10.0.0.0/16. */
const TEN: Tree = {
  subnet: '10.0.0.0/16',
  gatewayIP: '10.0.0.1',
  deviceIP: '10.0.0.2',
  hostIP: '10.0.255.254',
  nat: { '10.0.255.254': '127.0.0.1' },
  gatewayVirtualIPs: ['10.0.255.254'],
};

const CONFIG = ['-config', 'config.yaml'];
const NETWORK = ['-listen', 'unix:///tmp/network.sock'];
const LISTENING: Tree = { listen: ['unix:///tmp/network.sock'] };
const DEBUG: Tree = { logLevel: 'debug', stack: { debug: true } };

type Row = readonly [name: string, args: readonly string[], file: string, result: Tree];

const OF_THE_ORIGINAL: readonly Row[] = [
  ['no args', [], '', {}],
  [
    'qemu tcp',
    [...NETWORK, '-listen-qemu', 'tcp://0.0.0.0:1234'],
    '',
    { ...LISTENING, interfaces: { qemu: 'tcp://0.0.0.0:1234' } },
  ],
  [
    'qemu unix',
    ['-debug', ...NETWORK, '-listen-qemu', 'unix:///tmp/qemu.sock'],
    '',
    { ...LISTENING, ...DEBUG, interfaces: { qemu: 'unix:///tmp/qemu.sock' } },
  ],
  [
    'UML',
    ['-debug', ...NETWORK, '-listen-bess', 'unixpacket:///tmp/bess.sock'],
    '',
    { ...LISTENING, ...DEBUG, interfaces: { bess: 'unixpacket:///tmp/bess.sock' } },
  ],
  [
    'VFKit',
    ['-debug', ...NETWORK, '--listen-vfkit', 'unixgram:///tmp/vfkit.sock'],
    '',
    { ...LISTENING, ...DEBUG, interfaces: { vfkit: 'unixgram:///tmp/vfkit.sock' } },
  ],
  ['empty config', CONFIG, '', {}],
  [
    'config: listen, loglevel, qemu',
    CONFIG,
    `listen:
    - unix:///var/run/gvproxy/domain-2.sock
log-level: warning
interfaces:
    qemu: unix:///tmp/qemu.sock`,
    {
      listen: ['unix:///var/run/gvproxy/domain-2.sock'],
      logLevel: 'warning',
      interfaces: { qemu: 'unix:///tmp/qemu.sock' },
    },
  ],
  [
    'config: auto addresses from subnet',
    CONFIG,
    `listen:
    - unix:///var/run/gvproxy/domain-2.sock
log-level: warning
stack:
    mtu: 1480
    subnet: 10.0.0.0/16
    gatewayMacAddress: 10:11:11:11:11:00`,
    {
      listen: ['unix:///var/run/gvproxy/domain-2.sock'],
      logLevel: 'warning',
      stack: { ...TEN, mtu: 1480, gatewayMacAddress: '10:11:11:11:11:00' },
    },
  ],
  [
    'config: dhcpStaticLeases',
    CONFIG,
    `stack:
    subnet: 10.0.0.0/16
    dhcpStaticLeases:
        10.0.0.2: "10:11:11:11:11:02"
        10.0.0.100: 10:11:11:11:11:dd`,
    {
      stack: {
        ...TEN,
        dhcpStaticLeases: { '10.0.0.2': '10:11:11:11:11:02', '10.0.0.100': '10:11:11:11:11:dd' },
      },
    },
  ],
  [
    'config: tcp forwards',
    CONFIG,
    `stack:
    subnet: 10.0.0.0/16
    forwards:
        127.0.0.1:59022: 192.168.127.2:22
        127.0.0.1:59443: 192.168.127.2:443`,
    {
      stack: {
        ...TEN,
        forwards: {
          '127.0.0.1:59022': '192.168.127.2:22',
          '127.0.0.1:59443': '192.168.127.2:443',
        },
      },
    },
  ],
  ['debug check #1', CONFIG, 'log-level: debug', DEBUG],
  ['debug check #2', ['-debug', ...CONFIG], 'log-level: error', DEBUG],
  [
    'debug check #3',
    ['-debug', '-pcap', 'capture.pcap'],
    '',
    { logLevel: 'debug', stack: { debug: true, captureFile: 'capture.pcap' } },
  ],
  ['stdio', ['-listen-stdio', 'accept'], '', { interfaces: { stdio: 'accept' } }],
  ['config: stdio', CONFIG, 'interfaces:\n    stdio: accept', { interfaces: { stdio: 'accept' } }],
];

const OURS: readonly Row[] = [
  [
    'ssh-port',
    ['-ssh-port', '2400'],
    '',
    { stack: { forwards: { '127.0.0.1:2400': '192.168.127.2:22' } } },
  ],
  ['no SSH forward', ['-ssh-port=-1'], '', { stack: { forwards: undefined } }],
  [
    'mtu of the command line wins',
    [...CONFIG, '-mtu=4000'],
    'stack: {mtu: 1480}',
    { stack: { mtu: 4000 } },
  ],
  [
    'files of the command line win, also over those of the file',
    [...CONFIG, '-pid-file', '/a', '-log-file=/b', '-services', 'unix:///s'],
    'pid-file: /x\nlog-file: /y\nservices: unix:///z',
    { pidFile: '/a', logFile: '/b', services: 'unix:///s' },
  ],
  ['-listen replaces', [...CONFIG, ...NETWORK], 'listen: [unix:///x, unix:///y]', LISTENING],
  ['notification: a URL', ['-notification', 'unix:///n'], '', { notification: '/n' }],
  ['notification: a path in a file', CONFIG, 'notification: /n', { notification: '/n' }],
  ['notification: a URL in a file', CONFIG, 'notification: unix:///n', { notification: '/n' }],
  ['-pcap with a file', [...CONFIG, '-pcap', 'p'], '', { stack: { captureFile: 'p' } }],
  ['capture-file', CONFIG, 'stack: {capture-file: p}', { stack: { captureFile: 'p' } }],
  ['-ec2-metadata-access', ['-ec2-metadata-access'], '', { stack: { ec2MetadataAccess: true } }],
  ['-ec2-metadata-access=F', ['-ec2-metadata-access=F'], '', {}],
  [
    'ec2-metadata-access',
    CONFIG,
    'ec2-metadata-access: true',
    { stack: { ec2MetadataAccess: true } },
  ],
  [
    'ec2MetadataAccess',
    CONFIG,
    'stack: {ec2MetadataAccess: true}',
    { stack: { ec2MetadataAccess: true } },
  ],
  [
    'zones with patterns',
    CONFIG,
    'stack: {dns: [{name: apps., records: [{regexp: "^a.*", ip: 10.0.0.1}], defaultIP: 10.0.0.2}]}',
    {
      stack: {
        dns: [
          { name: 'apps.', records: [{ ip: '10.0.0.1', regexp: '^a.*' }], defaultIP: '10.0.0.2' },
        ],
      },
    },
  ],
  [
    'SSH forwards of both',
    [
      ...CONFIG,
      ...['-forward-sock', '/s', '-forward-dest', '/d', '-forward-user', 'core'],
      ...['-forward-identity', '/present'],
    ],
    'forwards: [{socket: /1, dest: /2, user: root, identity: /present}]',
    {
      forwards: [
        { socket: '/1', dest: '/2', user: 'root', identity: '/present' },
        { socket: '/s', dest: '/d', user: 'core', identity: '/present' },
      ],
    },
  ],
  [
    'bits behind the prefix',
    ['-subnet', '10.0.1.7/16'],
    '',
    { stack: { ...ofTen(), subnet: '10.0.1.7/16' } },
  ],
  ['keys that Go would ignore', CONFIG, 'unknown: 1\nstack: {other: 2}', {}],
  [
    'limits that hawser has no use for',
    CONFIG,
    'stack: {tcpMaxInFlight: 128, tcpConnectTimeout: 30s}',
    {
      withoutEffect: [
        'stack.tcpMaxInFlight: a connection that waits for its server keeps no other waiting',
        'stack.tcpConnectTimeout: the system decides how long a connection may take to be made',
      ],
    },
  ],
  [
    '-ssh-port with a file',
    [...CONFIG, '-ssh-port', '2400'],
    '',
    {
      withoutEffect: [
        '-ssh-port 2400: with -config, "127.0.0.1:2400: 192.168.127.2:22" in stack.forwards',
      ],
    },
  ],
  [
    'a log level that is none',
    CONFIG,
    'log-level: loud',
    { logLevel: 'loud', withoutEffect: ['log-level loud: "info" is taken'] },
  ],
  [
    'booleans of YAML 1.1',
    CONFIG,
    'stack: {debug: off, ec2MetadataAccess: Yes}',
    { stack: { ec2MetadataAccess: true } },
  ],
  ['integers as Go reads them', CONFIG, 'stack: {mtu: 4_000}', { stack: { mtu: 4000 } }],
  [
    'texts that look like something else',
    CONFIG,
    'pid-file: 0x10\nlog-file: yes\nservices: ~\nnotification: null\nlisten:',
    { pidFile: '0x10', logFile: 'yes' },
  ],
  [
    'anchors, and keys that are merged',
    CONFIG,
    'stack: {dhcpStaticLeases: {192.168.127.2: &mac "5a:94:ef:e4:0c:ee"}, vpnKitUUIDMacAddresses: &all {one: *mac}, nat: {<<: *all, 192.168.127.9: 127.0.0.1}}',
    {
      stack: {
        dhcpStaticLeases: { '192.168.127.2': '5a:94:ef:e4:0c:ee' },
        vpnKitUUIDMacAddresses: { one: '5a:94:ef:e4:0c:ee' },
        nat: { one: '5a:94:ef:e4:0c:ee', '192.168.127.9': '127.0.0.1' },
      },
    },
  ],
];

/** Without a file, the addresses are in more places. */
function ofTen(): Tree {
  const records = [
    { name: 'gateway', ip: '10.0.0.1' },
    { name: 'host', ip: '10.0.255.254' },
  ];
  return {
    ...TEN,
    dns: [
      { name: 'containers.internal.', records },
      { name: 'docker.internal.', records },
    ],
    forwards: { '127.0.0.1:2222': '10.0.0.2:22' },
    dhcpStaticLeases: { '10.0.0.2': '5a:94:ef:e4:0c:ee' },
  };
}

const ERRORS: readonly (readonly [args: readonly string[], file: string, error: string])[] = [
  [
    CONFIG,
    'stack: {subnet: 10.0.0.0/16}\nforwards: [{socket: ???, dest: ???, user: ???, identity: ???}]',
    'identity file "???" can\'t be loaded',
  ],
  [['-ssh-port', '80'], '', 'ssh-port value must be between 1024 and 65535'],
  [['-ssh-port', '65536'], '', 'ssh-port value must be between 1024 and 65535'],
  [['-subnet', '10.0.0.0/30'], '', 'subnet too small'],
  [['-subnet', 'fc00::/64'], '', 'failed to parse subnet: "fc00::/64" must be an IPv4 network'],
  [['-subnet', '10.0.0.0'], '', 'failed to parse subnet: "10.0.0.0"'],
  [['-gatewayIP', '10.0.0.1'], '', 'IP (10.0.0.1) not in subnet (192.168.127.0/24)'],
  [['-deviceIP', '192.168.127.0'], '', 'IP must not be address of subnet: 192.168.127.0'],
  [['-hostIP', '192.168.127.255'], '', 'IP must not be broadcast address: 192.168.127.255'],
  [['-hostIP', '192.168.127.1'], '', 'IP addresses need to be distinct'],
  [['-hostIP', 'x'], '', 'invalid IP address: x'],
  [['-mtu', '-2'], '', 'mtu is out of range'],
  [['-listen-bess', 'unix:///b'], '', 'bess listen address must be unixpacket:// address'],
  [['-listen-vfkit', 'unix:///b'], '', 'vfkit listen address must be unixgram:// address'],
  [
    ['-listen-qemu', 'unix:///q', '-listen-vpnkit', 'unix:///v'],
    '',
    'cannot use qemu and vpnkit protocol at the same time',
  ],
  [
    ['-listen-bess', 'unixpacket:///q', '-listen-vpnkit', 'unix:///v'],
    '',
    'cannot use bess and vpnkit protocol at the same time',
  ],
  [
    ['-listen-qemu', 'unix:///q', '-listen-bess', 'unixpacket:///v'],
    '',
    'cannot use qemu and bess protocol at the same time',
  ],
  [['-notification', '/n'], '', 'notification listen address must be unix:// address'],
  [['-forward-sock', '/s'], '', 'must all be specified together, the same number of times'],
  [CONFIG, 'stack: [1]', 'failed to parse configuration: config.yaml'],
  [CONFIG, 'a: b: c', 'failed to parse configuration: config.yaml'],
  [CONFIG, 'stack: {debug: perhaps}', 'at stack.debug'],
  [CONFIG, 'stack: {mtu: 1.5}', 'at stack.mtu'],
  [CONFIG, 'listen: unix:///x', 'at listen'],
];

describe('cli/drop-ins/gvproxy/configure', () => {
  for (const [name, args, file, result] of [...OF_THE_ORIGINAL, ...OURS]) {
    it(name, () => {
      const common = args.includes('-config') ? WITH_FILE : WITHOUT_FILE;
      assert.deepEqual(withoutEmpty(configOf(args, file)), withoutEmpty(merged(common, result)));
    });
  }

  for (const [args, file, error] of ERRORS) {
    it(`${args.join(' ')} ${file}: ${error}`, () => {
      assert.throws(
        () => configOf(args, file),
        ({ message }: Error) => message.includes(error),
      );
    });
  }
});

function configOf(args: readonly string[], file: string): GvproxyConfig {
  const parsed = parseGoFlags(args, GVPROXY_FLAGS);
  assert.ok(parsed.kind === 'values');
  const path = parsed.values.text('config');
  const given = path === '' ? undefined : parseFile(file, path);
  return configure(parsed.values, given, { exists: (one) => one === '/present' });
}

function merged(base: Tree, more: Tree): Tree {
  const made: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(more)) {
    const old = made[key];
    made[key] = key === 'stack' && isTree(old) && isTree(value) ? { ...old, ...value } : value;
  }
  return made;
}

/** As Go's encoder leaves it out (`omitempty`). */
function withoutEmpty(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? undefined : value.map(withoutEmpty);
  if (!isTree(value)) return value === '' || value === false ? undefined : value;
  const kept = Object.entries(value)
    .map(([key, one]): [string, unknown] => [key, withoutEmpty(one)])
    .filter(([, one]) => one !== undefined);
  return kept.length === 0 ? undefined : Object.fromEntries(kept);
}
