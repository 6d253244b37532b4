import assert from 'node:assert/strict';
import type { DaemonConfig } from '../../../../src/cli/daemon-config.ts';
import { parseGoFlags } from '../../../../src/cli/drop-ins/go-flags.ts';
import { configure } from '../../../../src/cli/drop-ins/gvproxy/configure.ts';
import { parseFile } from '../../../../src/cli/drop-ins/gvproxy/file.ts';
import { GVPROXY_FLAGS } from '../../../../src/cli/drop-ins/gvproxy/flags.ts';
import { daemonConfig } from '../../../../src/cli/drop-ins/gvproxy/plan.ts';
import type { Place } from '../../../../src/cli/runtime-dir.ts';

const PLACE: Place = { env: {}, uid: 1000, exists: () => true };

function planOf(args: readonly string[], file?: string): DaemonConfig {
  const parsed = parseGoFlags(args, GVPROXY_FLAGS);
  assert.ok(parsed.kind === 'values');
  const { values } = parsed;
  const given = file === undefined ? undefined : parseFile(file, 'config.yaml');
  const config = configure(values, given, { exists: () => true });
  const own = {
    name: 'gvproxy-42',
    exitWithGuest: values.text('exit-with-guest'),
    sandbox: 'strict',
    proxy: { options: {}, words: {} },
    hasApi: true,
  };
  return daemonConfig(config, own, PLACE);
}

type Row = readonly [args: readonly string[], expected: Partial<DaemonConfig>, file?: string];

const ROWS: readonly Row[] = [
  [
    [],
    {
      listen: [],
      api: { kind: 'unix', path: '/run/user/1000/hawser/gvproxy-42/api.sock' },
      subnet: '192.168.127.0/24',
      gateway: '192.168.127.1',
      hostIp: '192.168.127.254',
      mtu: 1500,
      leases: {
        file: undefined,
        range: undefined,
        static: [
          {
            mac: '5a:94:ef:e4:0c:ee',
            address: '192.168.127.2',
            hostname: undefined,
            link: undefined,
          },
        ],
      },
      vpnkitMacs: [{ uuid: 'c3d68012-0208-11ea-9fd7-f2189899ab08', mac: '5a:94:ef:e4:0c:ee' }],
      guestApi: { enabled: true, bind: ['*:1-65535'] },
      exitWithGuest: false,
      guestTimeoutS: 0,
      linkGraceMs: 0,
      allowMetadata: false,
      sandbox: 'strict',
      pidFile: undefined,
      pcapFile: undefined,
      log: { level: 'info', format: 'logfmt', file: undefined },
    },
  ],
  [['-listen-qemu', 'unix:///run/q.sock'], { listen: ['qemu:/run/q.sock'], exitWithGuest: true }],
  [['-listen-qemu', 'tcp://0.0.0.0:1234'], { listen: ['qemu:0.0.0.0:1234'] }],
  [['-listen-qemu', 'tcp://:1234'], { listen: ['qemu:0.0.0.0:1234'] }],
  [['-listen-qemu', 'tcp://localhost:1234'], { listen: ['qemu:127.0.0.1:1234'] }],
  [['-listen-qemu', 'tcp://[::1]:1234'], { listen: ['qemu:[::1]:1234'] }],
  [['-listen-bess', 'unixpacket:///b'], { listen: ['bess:/b'], exitWithGuest: true }],
  [['-listen-vfkit', 'unixgram:///v%20f'], { listen: ['vfkit:/v f'], exitWithGuest: true }],
  [['-listen-vpnkit', 'unix:///k'], { listen: ['vpnkit:/k'], exitWithGuest: false }],
  [['-listen-stdio', 'accept'], { listen: ['stdio'], exitWithGuest: true }],
  [['-listen-stdio', 'x', '-exit-with-guest=never'], { exitWithGuest: false }],
  [['-listen', 'vsock://:1024', '-exit-with-guest', 'always'], { exitWithGuest: true }],
  [
    [
      ...['-forward-sock', '/run/api.sock', '-forward-dest', '/run/user/1000/podman/podman.sock'],
      ...['-forward-user', 'core', '-forward-identity', '/home/me/a key'],
      ...['-forward-sock', 'unix:///run/root.sock', '-forward-dest', '/run/podman/podman.sock'],
      ...['-forward-user', 'root', '-forward-identity', '/home/me/key'],
    ],
    {
      publish: [
        'unix:/run/api.sock:ssh-tunnel://core@192.168.127.2/run/user/1000/podman/podman.sock?key=%2Fhome%2Fme%2Fa%20key',
        'unix:/run/root.sock:ssh-tunnel://root@192.168.127.2/run/podman/podman.sock?key=%2Fhome%2Fme%2Fkey',
      ],
    },
  ],
  [['-mtu', '4000'], { mtu: 4000 }],
  [['-mtu', '65535'], { mtu: 65_520 }],
  [['-ec2-metadata-access'], { allowMetadata: true }],
  [['-debug'], { log: { level: 'debug', format: 'logfmt', file: undefined } }],
  [[], { log: { level: 'warn', format: 'logfmt', file: undefined } }, 'log-level: Warning'],
  [[], { log: { level: 'info', format: 'logfmt', file: undefined } }, 'log-level: loud'],
  [['-pcap', '/p', '-pid-file', '/q'], { pcapFile: '/p', pidFile: '/q' }],
  [
    ['-listen', 'unix:///run/x/a.sock', '-services', 'tcp://127.0.0.1:9'],
    { sandboxAllow: ['/run/x', '/run/user/1000'] },
  ],
  [
    ['-subnet', '10.0.1.7/16'],
    { subnet: '10.0.0.0/16', gateway: '10.0.0.1', hostIp: '10.0.255.254' },
  ],
  [[], { gatewayMac: '10:11:11:11:11:00' }, 'stack: {gatewayMacAddress: "10:11:11:11:11:00"}'],
  [[], { hostIp: '192.168.127.9' }, 'stack: {nat: {192.168.127.9: 127.0.0.1}}'],
  [[], { leases: { file: undefined, static: [], range: undefined }, vpnkitMacs: [] }, ''],
];

const ERRORS: readonly (readonly [
  args: readonly string[],
  file: string | undefined,
  why: RegExp,
])[] = [
  [['-mtu', '500'], undefined, /^mtu is out of range: 500/],
  [['-exit-with-guest=perhaps'], undefined, /must be one of auto, always, never/],
  [['-listen-qemu', 'http://x'], undefined, /unexpected scheme/],
  [['-listen-qemu', 'vsock://:1024'], undefined, /by -listen and \/connect/],
  [['-listen-qemu', 'tcp://1234'], undefined, /must be tcp:\/\/HOST:PORT/],
  [['-listen', 'unix://'], undefined, /has no path/],
  [['-listen', 'npipe:////./pipe/x'], undefined, /unexpected scheme/],
  [[], 'stack: {nat: {192.168.127.9: 192.168.1.1}}', /hawser translates one address/],
  [[], 'stack: {gatewayMacAddress: "11:11:11:11:11:00"}', /must be the Ethernet address of one/],
  [[], 'stack: {dhcpStaticLeases: {192.168.127.2: x}}', /must be MAC=IP/],
];

describe('cli/drop-ins/gvproxy/plan', () => {
  for (const [args, expected, file] of ROWS) {
    it(`${args.join(' ')} ${file ?? ''}: ${JSON.stringify(expected)}`, () => {
      const plan: Readonly<Record<string, unknown>> = { ...planOf(args, file) };
      for (const [key, value] of Object.entries(expected)) assert.deepEqual(plan[key], value, key);
    });
  }

  for (const [args, file, why] of ERRORS) {
    it(`${args.join(' ')} ${file ?? ''}: ${why}`, () => {
      assert.throws(() => planOf(args, file), { message: why });
    });
  }

  it('is handed to the second start of the program as it is', () => {
    const plan = planOf(['-listen-qemu', 'unix:///q', '-pcap', '/p']);
    assert.deepEqual(JSON.parse(JSON.stringify(plan)), JSON.parse(JSON.stringify({ ...plan })));
  });
});
