import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildConfig } from '../../../../src/cli/config.ts';
import { parseVpnkitArguments } from '../../../../src/cli/drop-ins/vpnkit/arguments.ts';
import {
  readDhcpFile,
  readForwards,
  readTunnels,
} from '../../../../src/cli/drop-ins/vpnkit/files.ts';
import {
  type DhcpFile,
  planVpnkit,
  type VpnkitPlan,
} from '../../../../src/cli/drop-ins/vpnkit/plan.ts';

function plan(line: string, dhcp: DhcpFile = {}): VpnkitPlan {
  const parsed = parseVpnkitArguments(`--ethernet /e ${line}`.trim().split(' '));
  assert.ok(parsed.kind === 'run', JSON.stringify(parsed));
  return planVpnkit(parsed.request, dhcp, { pid: 4_711, listenerPath: (fd) => `/fd/${fd}` });
}

describe('cli/drop-ins/vpnkit/plan', () => {
  it("the network is vpnkit's", () => {
    const { options, paths } = plan('--hosts=');
    assert.deepEqual(options, {
      name: 'vpnkit-4711',
      listen: ['vpnkit:/e'],
      subnet: '192.168.65.0/24',
      gateway: '192.168.65.1',
      hostIp: '192.168.65.2',
      dhcpRange: '192.168.65.3-192.168.65.254',
      mtu: '1500',
      dnsZone: [
        'gateway.internal=192.168.65.1',
        'host.internal=192.168.65.2',
        'vm.internal=192.168.65.3',
      ],
    });
    assert.deepEqual(paths.apis, []);
  });

  for (const [line, message] of [
    ['--gateway-ip 192.168.65.0', /^--gateway-ip 192\.168\.65\.0: must be inside/],
    ['--host-ip 192.168.65.255', /^--host-ip 192\.168\.65\.255: must be inside/],
    [
      '--highest-ip 192.168.65.255',
      /^--lowest-ip 192\.168\.65\.3 --highest-ip 192\.168\.65\.255: must/,
    ],
    [
      '--lowest-ip 192.168.65.9 --highest-ip 192.168.65.8',
      /^--lowest-ip 192\.168\.65\.9 --highest-ip/,
    ],
    ['--server-macaddr x', /^--server-macaddr x[: ]/],
    ['--domain a..b', /^--domain a\.\.b[: ]/],
  ] as const) {
    it(`what is wrong in "${line}" is said of what was given`, () => {
      const { options: given, words } = plan(`--hosts= ${line}`);
      const place = { env: {}, uid: 1_000, exists: () => true };
      assert.throws(() => buildConfig(given, undefined, place, { words, hasApi: false }), {
        message,
      });
    });
  }

  const options: readonly [string, string, unknown][] = [
    ['--host-ip 0.0.0.0', 'hostIp', 'none'],
    ['--host-ip 0.0.0.0', 'dnsZone', ['gateway.internal=192.168.65.1', 'vm.internal=192.168.65.3']],
    ['--highest-ip 192.168.66.9', 'subnet', '192.168.64.0/22'],
    [
      '--gateway-ip 10.0.75.1 --host-ip 10.0.75.2 --lowest-ip 10.0.75.3 --highest-ip 10.0.75.9',
      'subnet',
      '10.0.75.0/24',
    ],
    ['--dns /d', 'resolvConf', '/d'],
    ['--hosts /h', 'hosts', '/h'],
    ['--vsock-path /v', 'mux', ['connect:unix:/v']],
    ['--server-macaddr f6:16:36:bc:f9:c6', 'gatewayMac', 'f6:16:36:bc:f9:c6'],
    ['--debug', 'logLevel', 'debug'],
    ['--domain corp.example', 'dnsSearch', ['corp.example']],
  ];
  for (const [line, key, value] of options) {
    it(`"${line}" sets ${key}`, () => assert.deepEqual(plan(line).options[key], value));
  }

  it('sockets may be descriptors', () => {
    const { options: given, paths } = plan(
      '--ethernet fd:3 --port fd:4 --port /p --diagnostics fd:5 --introspection fd:6 --pcap fd:7 --http-api-path fd:8',
    );
    assert.deepEqual(given['listen'], ['vpnkit:/fd/3']);
    assert.deepEqual(paths, {
      apis: ['/fd/4', '/p'],
      diagnostics: ['/fd/5', '/fd/6'],
      captures: ['/fd/7'],
      httpApi: '/fd/8',
    });
  });
  it("the DHCP file's domains are searched, and an option goes before its domain", () => {
    const dhcp = { domainName: 'a.example', searchDomains: ['b.example'] };
    assert.deepEqual(plan('', dhcp).options['dnsSearch'], ['a.example', 'b.example']);
    const both = plan('--domain c.example', dhcp).options['dnsSearch'];
    assert.deepEqual(both, ['c.example', 'b.example']);
  });
  it('addresses that no network has together are refused', () =>
    assert.throws(() => plan('--gateway-ip 10.0.0.1'), /no network has 10\.0\.0\.1, 192\.168/));
});

describe('cli/drop-ins/vpnkit/files', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-vpnkit-'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));
  const file = (text: string): string => {
    writeFileSync(join(dir, 'f.json'), text);
    return join(dir, 'f.json');
  };

  it('reads forwards', () => {
    const forward = {
      protocol: 'tcp',
      external_port: 80,
      internal_ip: '127.0.0.1',
      internal_port: 8_080,
    };
    assert.deepEqual(readForwards(file(JSON.stringify([forward]))), [
      { protocol: 'tcp', port: 80, address: '127.0.0.1', addressPort: 8_080 },
    ]);
  });
  it('reads tunnels', () => {
    const tunnel = { protocol: 'tcp', dst_prefix: '10.0.0.0/8', dst_port: 0, path: '/t.sock' };
    const [read] = readTunnels(file(JSON.stringify([tunnel])));
    assert.deepEqual([read?.port, read?.path, read?.to.bits], [0, '/t.sock', 8]);
    for (const [wrong, message] of [
      [{ protocol: 'udp' }, /--forwards .*f\.json: 0\.protocol: /],
      [{ dst_prefix: '10.0.0.0' }, /0\.dst_prefix: 10\.0\.0\.0: must be a network/],
      [{ dst_port: 65_536 }, /0\.dst_port: /],
      [{ path: 'x'.repeat(200) }, /0\.path: must be the path of a Unix socket/],
    ] as const) {
      assert.throws(() => readTunnels(file(JSON.stringify([{ ...tunnel, ...wrong }]))), message);
    }
  });
  it('reads a DHCP file', () =>
    assert.deepEqual(readDhcpFile(file('{"searchDomains":["a"],"domainName":"b"}')), {
      searchDomains: ['a'],
      domainName: 'b',
    }));
  it('says what is wrong with a file', () => {
    assert.throws(() => readDhcpFile('/nonexistent'), /--dhcp-path \/nonexistent: cannot be read/);
    assert.throws(() => readDhcpFile(file('{')), /cannot be read/);
    assert.throws(() => readForwards(file('[{"protocol":"sctp"}]')), /f\.json: 0\.protocol: /);
  });
});
