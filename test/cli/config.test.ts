import assert from 'node:assert/strict';
import { buildConfig, type CommandLine } from '../../src/cli/config.ts';
import { parseConfig } from '../../src/cli/config-file.ts';
import type { DaemonConfig } from '../../src/cli/daemon-config.ts';
import { printConfig } from '../../src/cli/print-config.ts';
import { type Place, runtimeDir } from '../../src/cli/runtime-dir.ts';
import { UsageError } from '../../src/network/errors.ts';
import { DEFAULT_NETWORK } from '../network/default-config.ts';

const PLACE: Place = { env: { XDG_RUNTIME_DIR: '/run/user/7' }, uid: 7, exists: () => false };

function build(commandLine: CommandLine, yaml?: string): DaemonConfig {
  const file = yaml === undefined ? undefined : parseConfig(yaml, 'net.yaml');
  return buildConfig(commandLine, file, PLACE);
}

function complaint(commandLine: CommandLine, yaml?: string): string {
  try {
    build(commandLine, yaml);
  } catch (error) {
    assert.ok(error instanceof UsageError, String(error));
    return error.message;
  }
  return assert.fail('accepted');
}

const DEFAULTS: DaemonConfig = {
  ...DEFAULT_NETWORK,
  name: 'default',
  listen: ['qemu:/run/user/7/hawser/default/qemu.sock'],
  api: { kind: 'unix', path: '/run/user/7/hawser/default/api.sock' },
  pidFile: undefined,
  readyFd: undefined,
  exitWithGuest: false,
  guestTimeoutS: 300,
  exitWithParent: false,
  exitWithReadyFd: false,
  user: undefined,
  sandbox: 'on',
  sandboxAllow: [],
  log: { level: 'info', format: undefined, file: undefined },
};

const FULL_YAML = `
name: build
listen: [qemu:/tmp/vm.sock, "tap:hawser0@guest"]
subnet: 10.1.0.0/16
gateway: 10.1.0.2
gatewayMac: 52:54:00:00:00:01
hostIp: none
subnet6: fd12:3456:789a:1::/64
ipv6: on
ipv6Mode: slaac
nat64: off
nat64Private: false
ipv6Mostly: false
mtu: 9000
keepalive: 7
publish: ["8080:80", "127.0.0.1:5300-5301:10.1.0.9:53-54/udp"]
dns: [9.9.9.9, "::1#5353"]
dnsDomain: corp.example=10.1.2.3
dnsServer: on
dnsAddress: 10.1.0.3
outboundAddress: 192.0.2.7
gateway6: fd12:3456:789a:1::2
dnsFamily: 4
dnsCanaries: true
dnsOther: refuse
dnsSearch: Corp.Example.
dnsZone: apps.example=10.1.0.7
hosts: /etc/hosts
resolvConf: /etc/resolv.vpn
leaseFile: /var/lib/leases.json
dhcpRange: 10.1.0.10-10.1.1.20
staticLease: 52-54-00-12-34-56=10.1.0.10,Build,tap:vm
api: tcp:127.0.0.1:7777
apiTokenFile: /etc/token
pidFile: /run/h.pid
readyFd: 3
exitWithGuest: true
guestTimeout: 60
exitWithParent: 4711
exitWithReadyFd: true
user: daemon
sandbox: strict
sandboxAllow: /srv/sockets
wsOrigin: [https://vm.example, "null"]
socketMode: "0660"
policy: /tmp/policy.yaml
allow: ['*.example.com:443/tcp']
deny: ['10.0.0.0/8']
upstreamProxy: [http://proxy.example:3128, 'https=http://u:p@[fd00::1]:8080']
proxyExclude: ['localhost, *.corp.example', 10.0.0.0/8]
proxyAuthFile: /etc/hawser/proxy
proxyUnnamed: direct
proxyNames: proxy
isolateGuests: false
trustGuests: true
allowAddress: [qemu:/tmp/vm.sock=10.1.0.99, "tap:hawser0@guest=10.1.0.0/28"]
hostAccess: false
allowMetadata: true
vhostMemory: any
verifyChecksums: false
busyPoll: 50
linkGrace: 5
vpnkitMac: c3d68012-0208-11ea-9fd7-f2189899ab08=5a:94:ef:e4:0c:ee
auditLog: /tmp/audit.log
audit: required
auditSize: 10
pcap: /tmp/all.pcap
logLevel: warn
logFormat: json
logFile: /var/log/hawser.log
`;

describe('configuration', () => {
  it('of nothing is the defaults', () => assert.deepEqual(build({}), DEFAULTS));

  it('takes every key from YAML', () => {
    assert.deepEqual(build({}, FULL_YAML), {
      name: 'build',
      listen: ['qemu:/tmp/vm.sock', 'tap:hawser0@guest'],
      subnet: '10.1.0.0/16',
      gateway: '10.1.0.2',
      gatewayMac: '52:54:00:00:00:01',
      hostIp: undefined,
      ipv6: {
        use: 'on',
        subnet: 'fd12:3456:789a:1::/64',
        gateway: 'fd12:3456:789a:1::2',
        uniqueLocal: build({ name: 'build' }).ipv6.subnet,
        mode: 'slaac',
      },
      nat64: { use: 'off', isForPrivate: false, isIpv6Mostly: false },
      mtu: 9_000,
      publish: ['8080:80', '127.0.0.1:5300-5301:10.1.0.9:53-54/udp'],
      sourceAddress: 'preserve',
      keepaliveS: 7,
      mux: { links: [], allow: [] },
      guestApi: { enabled: false, bind: ['127.0.0.0/8:1024-65535', '[::1]:1024-65535'] },
      outbound: ['192.0.2.7'],
      dns: {
        isServed: true,
        upstreams: [
          { address: '9.9.9.9', port: 53 },
          { address: '::1', port: 5353 },
        ],
        domains: [{ domain: 'corp.example', upstream: { address: '10.1.2.3', port: 53 } }],
        addresses: ['10.1.0.3'],
        family: '4',
        hasCanaries: true,
        others: 'refuse',
        search: ['corp.example'],
        zones: [{ zone: 'apps.example', address: '10.1.0.7' }],
        hostsFile: '/etc/hosts',
        resolvConf: '/etc/resolv.vpn',
      },
      leases: {
        file: '/var/lib/leases.json',
        range: { first: '10.1.0.10', last: '10.1.1.20' },
        static: [
          { mac: '52:54:00:12:34:56', address: '10.1.0.10', hostname: 'build', link: 'tap:vm' },
        ],
      },
      api: { kind: 'tcp', address: '127.0.0.1', port: 7_777, tokenFile: '/etc/token' },
      pidFile: '/run/h.pid',
      readyFd: 3,
      exitWithGuest: true,
      guestTimeoutS: 60,
      exitWithParent: 4711,
      exitWithReadyFd: true,
      user: 'daemon',
      sandbox: 'strict',
      sandboxAllow: ['/srv/sockets'],
      wsOrigins: ['https://vm.example', 'null'],
      socketMode: 0o660,
      vhostMemory: 'any',
      log: { level: 'warn', format: 'json', file: '/var/log/hawser.log' },
      policy: {
        file: '/tmp/policy.yaml',
        allow: ['*.example.com:443/tcp'],
        deny: ['10.0.0.0/8'],
      },
      upstreamProxy: {
        servers: ['http://proxy.example:3128', 'https=http://u:p@[fd00::1]:8080'],
        exclude: ['localhost, *.corp.example', '10.0.0.0/8'],
        authFile: '/etc/hawser/proxy',
        unnamed: 'direct',
        names: 'proxy',
      },
      separation: {
        isolate: false,
        trust: true,
        allowed: ['qemu:/tmp/vm.sock=10.1.0.99', 'tap:hawser0@guest=10.1.0.0/28'],
      },
      hostAccess: false,
      allowMetadata: true,
      verifyChecksums: false,
      busyPollUs: 50,
      linkGraceMs: 5_000,
      vpnkitMacs: [{ uuid: 'c3d68012-0208-11ea-9fd7-f2189899ab08', mac: '5a:94:ef:e4:0c:ee' }],
      audit: { file: '/tmp/audit.log', isRequired: true, maxBytes: 10 << 20 },
      pcapFile: '/tmp/all.pcap',
    } satisfies DaemonConfig);
  });

  for (const [name, yaml] of [
    ['defaults', ''],
    ['every key', FULL_YAML],
  ] as const) {
    it(`printed and read again is the same: ${name}`, () => {
      const options = build({}, yaml);
      assert.deepEqual(build({}, printConfig(options)), options);
    });
  }

  it('survives being handed to the second start of the program', () => {
    const options = build({ hostIp: '10.1.0.4', hostAccess: true }, FULL_YAML);
    assert.deepEqual(JSON.parse(JSON.stringify(options)), options);
  });

  it('the command line wins over YAML, key by key and list by list', () => {
    const options = build({ mtu: '1400', dns: ['1.1.1.1'] }, 'mtu: 9000\ndns: [9.9.9.9]\nname: x');
    assert.equal(options.mtu, 1_400);
    assert.deepEqual(options.dns.upstreams, [{ address: '1.1.1.1', port: 53 }]);
    assert.equal(options.name, 'x');
  });

  it('gateway and host follow the subnet', () => {
    const { gateway, hostIp } = build({ subnet: '172.20.16.0/29' });
    assert.deepEqual([gateway, hostIp], ['172.20.16.1', '172.20.16.6']);
  });

  it('relative socket paths become absolute', () => {
    const { listen, api } = build({
      listen: ['qemu:vm.sock', 'qemu-connect:vm.sock', 'vfkit:v', 'qemu-dgram:ours,theirs'],
      api: 'unix:./api.sock',
    });
    const path = `${process.cwd()}/vm.sock`;
    const at = process.cwd();
    assert.deepEqual(listen, [
      `qemu:${path}`,
      `qemu-connect:${path}`,
      `vfkit:${at}/v`,
      `qemu-dgram:${at}/ours,${at}/theirs`,
    ]);
    assert.deepEqual(api, { kind: 'unix', path: `${process.cwd()}/api.sock` });
  });

  const typed: [CommandLine, RegExp][] = [
    [{ mtu: '575' }, /^--mtu 575: must be an integer from 576 to 65520$/],
    [{ mtu: '65521' }, /^--mtu 65521: must be/],
    [{ mtu: '0x600' }, /^--mtu 0x600: must be/],
    [{ mtu: '' }, /^--mtu "": must be/],
    [{ name: '../x' }, /^--name \.\.\/x: must be 1 to 63 letters/],
    [{ name: '\u001b[2J' }, /^--name "\\u001b\[2J": must be/],
    [{ listen: ['qemu:'] }, /^--listen qemu: must be|^--listen qemu:: must be qemu:PATH or/],
    [{ listen: ['qemu:localhost:1234'] }, /^--listen qemu:localhost:1234: must be qemu:IP:PORT/],
    [{ listen: ['qemu:127.0.0.1:70000'] }, /must be qemu:IP:PORT/],
    [{ listen: ['slirp:/x'] }, /^--listen slirp:\/x: must be a link: one of qemu/],
    [{ listen: ['udp:/x'] }, /^--listen udp:\/x: must be a link: one of qemu:PATH, qemu:IP:PORT/],
    [{ listen: [`qemu:/${'x'.repeat(120)}`] }, /is a path of 121 bytes: must be at most 10\d/],
    [{ listen: ['tap:averylonginterface'] }, /1 to 15 characters/],
    [
      { listen: ['qemu:/a', 'qemu:/a'] },
      /^--listen \/a: must not be used twice: each socket and file needs a path of its own$/,
    ],
    [{ pidFile: '/a', leaseFile: '/a' }, /^--pid-file \/a: must not be used twice/],
    [{ hosts: '/a', leaseFile: '/a' }, /^--lease-file \/a: must not be used twice/],
    [{ listen: ['qemu:/a'], logFile: '/a' }, /^--log-file \/a: must not be used twice/],
    [{ subnet: '10.0.0.0/30' }, /^--subnet 10\.0\.0\.0\/30: must be .* \/8 to \/29/],
    [{ subnet: '10.0.0.0/7' }, /\/8 to \/29/],
    [
      { subnet: '10.0.0.1/24' },
      /^--subnet 10\.0\.0\.1\/24 has bits set .* must be 10\.0\.0\.0\/24$/,
    ],
    [{ subnet: '127.0.0.0/8' }, /must not be loopback/],
    [{ subnet: '169.254.0.0/16' }, /must not be loopback, link-local/],
    [{ subnet: '224.0.0.0/24' }, /multicast/],
    [{ subnet: 'fd00::/64' }, /must be an IPv4 network/],
    [{ gateway: '010.0.0.1' }, /^--gateway 010\.0\.0\.1: must be an IPv4 address/],
    [
      { gateway: '10.0.0.1' },
      /^--gateway 10\.0\.0\.1: must be inside the subnet 192\.168\.127\.0\/24/,
    ],
    [{ gateway: '192.168.127.0' }, /neither its first nor its last address/],
    [{ hostIp: '192.168.127.255' }, /^--host-ip 192\.168\.127\.255: must be inside/],
    [{ dnsAddress: ['192.168.127.1'] }, /^--dns-address 192\.168\.127\.1: must differ from/],
    [{ hostIp: 'off' }, /or none to close/],
    [{ publish: ['80'] }, /^--publish 80: must be \[HOSTIP:\]HOSTPORT:/],
    [{ publish: ['8080:80/sctp'] }, /tcp or udp/],
    [{ publish: ['8080:0'] }, /"0" is no guest port: 1 to 65535/],
    [{ publish: ['8000-8001:80-83'] }, /differ in length/],
    [{ publish: ['1-2000:1-2000'] }, /a range has at most 1024 ports$/],
    [{ publish: ['80:[fd00::2]:80'] }, /the guest's address must be inside fd/],
    [
      { publish: ['unix:a:/b'] },
      /^--publish unix:a:\/b: must be unix:.*"a" is not an absolute path/,
    ],
    [{ sourceAddress: 'real' }, /^--source-address real: must be one of preserve, gateway/],
    [{ guestApi: 'yes' }, /^--guest-api yes: must be on or off/],
    [{ guestApiBind: ['80'] }, /^--guest-api-bind 80: must be ADDRESS:PORT/],
    [
      { publish: ['80:10.9.9.9:80'] },
      /^--publish 80:10\.9\.9\.9:80: the guest's address must be inside/,
    ],
    [{ dns: ['dns.example'] }, /^--dns dns\.example: must be IP, IP#PORT, tls:/],
    [{ dns: ['9.9.9.9#0'] }, /must be IP, IP#PORT, tls:/],
    [{ dns: ['tls://dns..example'] }, /must be tls:\/\/IP#NAME/],
    [{ dns: ['https://9.9.9.9/dns query'] }, /must be tls:.* https:\/\/IP\/PATH#NAME/],
    [{ dnsDomain: ['10.1.2.3'] }, /^--dns-domain 10\.1\.2\.3: must be DOMAIN=SERVER/],
    [{ dnsDomain: ['a.example=b'] }, /: its server must be IP, IP#PORT, tls:/],
    [{ dnsSearch: ['a..b'] }, /^--dns-search a\.\.b: must be a domain name/],
    [{ dnsZone: ['a=b'] }, /^--dns-zone a=b: must be ZONE=IP/],
    [{ staticLease: ['53:54:00:12:34:56=192.168.127.9'] }, /must be MAC=IP/],
    [{ staticLease: ['52:54:00:12:34:56=192.168.127.9,a.lan'] }, /'a\.lan' has a dot/],
    [
      { staticLease: ['52:54:00:12:34:56=192.168.127.1'] },
      /must differ from the gateway and the host/,
    ],
    [
      { staticLease: ['52:54:00:12:34:56=192.168.127.9', '52:54:00:12:34:57=192.168.127.9'] },
      /a second time/,
    ],
    [{ api: 'http://x' }, /^--api http:\/\/x: must be unix:PATH or tcp:IP:PORT$/],
    [{ api: 'tcp:127.0.0.1:80' }, /^--api is TCP: --api-token-file must name/],
    [{ readyFd: '0' }, /^--ready-fd 0: must be an integer from 1/],
    [{ logLevel: 'trace' }, /^--log-level trace: must be one of debug, info, warn, error, silent$/],
    [{ mux: ['guest:0'] }, /^--mux guest:0: must be guest:PORT or guest:GUEST:PORT$/],
    [
      { mux: ['tcp:1'] },
      /^--mux tcp:1: must be unix:PATH, connect:unix:PATH, guest:\[GUEST:\]PORT/,
    ],
    [{ mux: ['unix:/run/a', 'hybrid-vsock:/run/a:5', 'unix:/run/a_5'] }, /must not be used twice/],
    [{ muxAllow: ['x'] }, /^--mux-allow x: must be \[tcp:\|udp:\]ADDRESS:PORT/],
    [{ publish: ['80:172.17.0.2:80'] }, /must be inside the subnet/],
  ];
  for (const [commandLine, message] of typed) {
    const [[key, value] = []] = Object.entries(commandLine);
    it(`refuses ${key} ${JSON.stringify(value).slice(0, 60)}`, () =>
      assert.match(complaint(commandLine), message));
  }

  const written: [string, string, RegExp][] = [
    [
      'a bad value',
      '# top\nname: x\nmtu: 100\n',
      /^net\.yaml:3: mtu: 100: must be an integer from 576/,
    ],
    ['a fraction', 'mtu: 1500.5', /^net\.yaml:1: mtu: 1500\.5: must be/],
    ['a value of a wrong type', 'mtu: [1]', /^net\.yaml:1: mtu: \[1\]: must be/],
    ['a port alone', 'publish: 80', /^net\.yaml:1: publish: 80: must be \[HOSTIP:\]HOSTPORT:/],
    ['a number as a name', 'name: 5', /^net\.yaml:1: name: 5: must be text$/],
    ['a truth value as text', 'exitWithGuest: "yes"', /exitWithGuest: yes: must be true or false$/],
    ['a key without value', 'name:\n', /^net\.yaml:1: name: null: must be text$/],
    ['an item of a list', 'dns:\n  - 9.9.9.9\n  - nine\n', /^net\.yaml:3: dns: nine: must be IP/],
    ['one value for a list', 'x: 1\ndns: nine'.slice(5), /^net\.yaml:1: dns: nine: must be IP/],
    [
      'an empty list of links',
      'listen: []',
      /^net\.yaml:1: listen: \[\]: must name at least one link$/,
    ],
    [
      'an unknown key',
      'name: x\ncolour: red',
      /^net\.yaml:2: colour is not a known key: allowed are listen/,
    ],
    [
      'a flag as a key',
      'host-ip: none',
      /^net\.yaml:1: host-ip is not a known key: did you mean hostIp\?$/,
    ],
    [
      'a cross-check',
      '\n\ngateway: 10.0.0.1',
      /^net\.yaml:3: gateway: 10\.0\.0\.1: must be inside/,
    ],
    ['a key twice', 'mtu: 1500\nmtu: 1400', /^net\.yaml:2: not YAML: .*unique/],
    ['broken YAML', 'name: x\nlisten: [a', /^net\.yaml:\d: not YAML:/],
    ['a list at the top', '- mtu', /^net\.yaml:1: must be a mapping/],
    ['a structure in itself', 'dns: &a [*a]', /net\.yaml/],
    [
      'a bomb of aliases',
      `a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [${'*a,'.repeat(30)}]\nc: [${'*b,'.repeat(30)}]`,
      /net\.yaml/,
    ],
    ['__proto__', '__proto__: {mtu: 1}', /net\.yaml:1: __proto__ is not a known key/],
  ];
  for (const [name, yaml, message] of written) {
    it(`names the line of ${name}`, () => assert.match(complaint({}, yaml), message));
  }

  it('reports all problems at once', () => {
    const lines = complaint({ mtu: '1', readyFd: 'x' }, 'name: "-"\ncolour: red').split('\n');
    assert.equal(lines.length, 4, lines.join('\n'));
  });

  it('takes the null device for several files', () => {
    const { dns } = build({ hosts: '/dev/null', resolvConf: '/dev/null' });
    assert.deepEqual([dns.hostsFile, dns.resolvConf], ['/dev/null', '/dev/null']);
  });

  it('a default path that is too long says so', () => {
    const deep: Place = { ...PLACE, env: { XDG_RUNTIME_DIR: `/${'d'.repeat(100)}` } };
    assert.throws(() => buildConfig({}, undefined, deep), /must be at most \d+.*--name/);
  });
});

describe('runtime directory', () => {
  const env = {};
  it('is XDG_RUNTIME_DIR', () => assert.equal(runtimeDir(PLACE), '/run/user/7'));
  it('is not, where that is relative', () => {
    for (const relative of ['', 'run', './run', '../run/user/7']) {
      const place = { env: { XDG_RUNTIME_DIR: relative }, uid: 5, exists: () => true };
      assert.equal(runtimeDir(place), '/run/user/5');
    }
  });
  it('else /run/user/UID where it exists', () =>
    assert.equal(runtimeDir({ env, uid: 5, exists: () => true }), '/run/user/5'));
  it('else one of the user in the temporary directory', () =>
    assert.match(runtimeDir({ env, uid: 5, exists: () => false }), /\/hawser-5$/));
});
