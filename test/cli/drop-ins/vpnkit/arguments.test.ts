import assert from 'node:assert/strict';
import {
  parseVpnkitArguments,
  type VpnkitRequest,
} from '../../../../src/cli/drop-ins/vpnkit/arguments.ts';
import { VPNKIT_HELP } from '../../../../src/cli/drop-ins/vpnkit/help.ts';

const PLAIN: VpnkitRequest = {
  ethernet: { kind: 'path', path: '/e' },
  ports: [],
  muxPath: undefined,
  gatewayIp: '192.168.65.1',
  hostIp: '192.168.65.2',
  lowestIp: '192.168.65.3',
  highestIp: '192.168.65.254',
  mtu: 1_500,
  serverMac: undefined,
  dnsFile: undefined,
  hostsFile: '/etc/hosts',
  hostNames: ['host.internal'],
  gatewayNames: ['gateway.internal'],
  vmNames: ['vm.internal'],
  domain: undefined,
  dhcpFile: undefined,
  forwards: [],
  forwardsFile: undefined,
  tunnelsFile: undefined,
  allowedBindAddresses: ['0.0.0.0'],
  httpFile: undefined,
  httpApi: undefined,
  diagnostics: [],
  captures: [],
  snapLen: 128,
  isDebug: false,
  withoutEffect: [],
};

const parse = (line: string): ReturnType<typeof parseVpnkitArguments> =>
  parseVpnkitArguments(line.split(' ').filter((word) => word !== ''));

const RUN: readonly [string, string, Partial<VpnkitRequest>][] = [
  ['nothing but a socket', '--ethernet=/e', {}],
  [
    'what RootlessKit passes',
    '--ethernet /run/vpnkit-ethernet.sock --mtu 1500 --host-ip 0.0.0.0',
    { ethernet: { kind: 'path', path: '/run/vpnkit-ethernet.sock' }, hostIp: undefined },
  ],
  [
    "what Docker Desktop's launcher passed",
    '--ethernet fd:3 --diagnostics fd:4 --pcap fd:5 --vsock-path /v --host-names host.docker.internal,host.lan --gateway-names gateway.docker.internal --vm-names docker-desktop --listen-backlog 32 --mtu 1500 --allowed-bind-addresses 127.0.0.1,192.0.2.7 --http /h --dhcp-path /d --port-max-idle-time 300 --max-connections 2000 --gateway-ip 192.168.65.1 --lowest-ip 192.168.65.3 --highest-ip 192.168.65.254 --udpv4-forwards= --gc-compact-interval 1800',
    {
      ethernet: { kind: 'fd', fd: 3 },
      diagnostics: [{ kind: 'fd', fd: 4 }],
      captures: [{ kind: 'fd', fd: 5 }],
      muxPath: '/v',
      hostNames: ['host.docker.internal', 'host.lan'],
      gatewayNames: ['gateway.docker.internal'],
      vmNames: ['docker-desktop'],
      allowedBindAddresses: ['127.0.0.1', '192.0.2.7'],
      dhcpFile: '/d',
      httpFile: '/h',
      withoutEffect: [
        '--gc-compact-interval: there is no garbage collector to be asked',
        '--listen-backlog: it is that of the system',
        '--max-connections: guests share a limit of their own',
        '--port-max-idle-time: idle connections are kept',
      ],
    },
  ],
  [
    'an Ethernet address',
    '--ethernet /e --server-macaddr F6:16:36:BC:F9:C6',
    { serverMac: 'F6:16:36:BC:F9:C6' },
  ],
  [
    'HTTP proxies',
    '--ethernet /e --http /p.json --http-api-path unix:///h.sock',
    { httpFile: '/p.json', httpApi: { kind: 'path', path: '/h.sock' } },
  ],
  [
    'ports',
    '--ethernet /e --port /a --port fd:4',
    {
      ports: [
        { kind: 'path', path: '/a' },
        { kind: 'fd', fd: 4 },
      ],
    },
  ],
  ['a URL', '--ethernet unix:///e', {}],
  ['no hosts file', '--ethernet /e --hosts=', { hostsFile: undefined }],
  ['no names', '--ethernet /e --host-names=', { hostNames: [] }],
  [
    'forwards',
    '--ethernet /e --tcpv4-forwards 80:127.0.0.1:8080,443:10.0.0.1:8443',
    {
      forwards: [
        { protocol: 'tcp', port: 80, address: '127.0.0.1', addressPort: 8_080 },
        { protocol: 'tcp', port: 443, address: '10.0.0.1', addressPort: 8_443 },
      ],
    },
  ],
  ['tunnels', '--ethernet /e --forwards /f.json', { tunnelsFile: '/f.json' }],
  [
    'UDP forwards',
    '--ethernet /e --udpv4-forwards 123:127.0.0.1:123',
    {
      forwards: [{ protocol: 'udp', port: 123, address: '127.0.0.1', addressPort: 123 }],
    },
  ],
  ['debugging', '--ethernet /e --debug', { isDebug: true }],
  [
    'introspection',
    '--ethernet /e --introspection /i',
    { diagnostics: [{ kind: 'path', path: '/i' }] },
  ],
  [
    'captures',
    '--ethernet /e --pcap /a --pcap unix:///b --pcap-snaplen 1500',
    {
      captures: [
        { kind: 'path', path: '/a' },
        { kind: 'path', path: '/b' },
      ],
      snapLen: 1_500,
    },
  ],
];

const BAD: readonly [string, RegExp][] = [
  ['', /^Please provide an --ethernet argument$/],
  ['--ethernet hyperv-connect://x', /--ethernet hyperv-connect:\/\/x: must be the path/],
  ['--ethernet fd:x', /--ethernet x: must be an integer/],
  ['--ethernet /e more', /"more" is not expected/],
  ['--ethernet /e --mtu 100', /--mtu 100: must be an integer from 576 to 65520/],
  ['--ethernet /e --gateway-ip host', /--gateway-ip host: must be an IPv4 address/],
  ['--ethernet /e --allowed-bind-addresses ::1', /must be an IPv4 address/],
  ['--ethernet /e --tcpv4-forwards 80:8080', /must be PORT:IP:PORT/],
  ['--ethernet /e --tcpv4-forwards 0:1.2.3.4:80', /--tcpv4-forwards 0: must be an integer/],
  ['--ethernet /e --pcap tcp://1.2.3.4', /--pcap tcp:\/\/1\.2\.3\.4: must be the path/],
  ['--ethernet /e --pcap-snaplen 0', /--pcap-snaplen 0: must be an integer from 1 to 262144/],
  ['--ethernet /e --vm-names a_b!c', /^--vm-names a_b!c: must be a domain name/],
  ['--ethernet /e --host-names a..b', /^--host-names a\.\.b: must be a domain name/],
  ['--ethernet /e --quick', /unrecognized option '--quick'/],
];

describe('cli/drop-ins/vpnkit/arguments', () => {
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
    it(`--${kind} goes before what is missing`, () =>
      assert.deepEqual(parse(`--${kind}`), { kind }));
  }
  it('the help says what is not served', () => assert.match(VPNKIT_HELP, /Not served: 9P/));
});
