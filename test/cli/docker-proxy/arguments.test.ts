import assert from 'node:assert/strict';
import { type ProxyRequest, parseArguments } from '../../../src/cli/docker-proxy/arguments.ts';

/** As dockerd 20.10 writes it. */
const DOCKERD =
  '-proto tcp -host-ip 0.0.0.0 -host-port 8080 -container-ip 172.17.0.2 -container-port 80';
const EXPECTED: ProxyRequest = {
  protocol: 'tcp',
  hostAddress: '0.0.0.0',
  hostPort: 8080,
  containerAddress: '172.17.0.2',
  containerPort: 80,
  listenFd: undefined,
  control: undefined,
  controlTokenFile: undefined,
  local: 'best-effort',
  sourceAddress: 'preserve',
};

const parse = (line: string, env: Readonly<Record<string, string>> = {}) =>
  parseArguments(
    line.split(' ').filter((word) => word !== ''),
    env,
  );

const SERVED: readonly [string, string, Partial<ProxyRequest>][] = [
  ['dockerd 20.10', DOCKERD, {}],
  ['two dashes and =', DOCKERD.replaceAll(/-(\S+) (\S+)/g, '--$1=$2'), {}],
  ['a newer dockerd', `${DOCKERD} -use-listen-fd`, { listenFd: 4 }],
  ['a boolean with a value', `${DOCKERD} -use-listen-fd=true`, { listenFd: 4 }],
  ['a boolean that is off', `${DOCKERD} -use-listen-fd -use-listen-fd=0`, {}],
  ['the last of two', `${DOCKERD} -host-port 81`, { hostPort: 81 }],
  ['no protocol', DOCKERD.replace('-proto tcp', ''), {}],
  ['UDP', DOCKERD.replace('tcp', 'udp'), { protocol: 'udp' }],
  ['IPv6', DOCKERD.replace('0.0.0.0', '::'), { hostAddress: '::' }],
  ['IPv6 of the host, IPv4 of the container', `${DOCKERD} -host-ip ::`, { hostAddress: '::' }],
  ['no host address', DOCKERD.replace('-host-ip 0.0.0.0', ''), {}],
  [
    'no host address, IPv6',
    DOCKERD.replace('-host-ip 0.0.0.0', '').replace('172.17.0.2', 'fd00::2'),
    { hostAddress: '::', containerAddress: 'fd00::2' },
  ],
  [
    'ours',
    `${DOCKERD} -local never -source-address gateway -control /c -control-token-file /t`,
    { local: 'never', sourceAddress: 'gateway', control: '/c', controlTokenFile: '/t' },
  ],
];

const BAD: readonly [string, string, RegExp][] = [
  ['SCTP', DOCKERD.replace('tcp', 'sctp'), /SCTP/],
  ['another protocol', DOCKERD.replace('tcp', 'icmp'), /-proto icmp: must be one of tcp, udp/],
  ['an unknown option', `${DOCKERD} -quick`, /^flag provided but not defined: -quick$/],
  ['a word', `${DOCKERD} quick`, /"quick" is not expected/],
  ['no value', `${DOCKERD} -control`, /^flag needs an argument: -control$/],
  ['no port', DOCKERD.replace('-host-port 8080', ''), /-host-port is missing/],
  ['port 0', DOCKERD.replace('8080', '0'), /-host-port 0: must be a port/],
  ['port 65536', DOCKERD.replace('8080', '65536'), /-host-port 65536/],
  ["Go's default port", DOCKERD.replace('8080', '-1'), /-host-port -1/],
  ['no container', DOCKERD.replace('-container-ip 172.17.0.2', ''), /-container-ip is missing/],
  ['a name', DOCKERD.replace('172.17.0.2', 'web'), /-container-ip web: must be an IP address/],
  [
    'a bad boolean',
    `${DOCKERD} -use-listen-fd=yes`,
    /^invalid boolean value "yes" for -use-listen-fd: parse error$/,
  ],
  ['a bad mode', `${DOCKERD} -local maybe`, /-local maybe: must be one of best-effort/],
];

describe('docker-proxy: arguments', () => {
  for (const [what, line, difference] of SERVED) {
    it(what, () => {
      assert.deepEqual(parse(line), { kind: 'serve', request: { ...EXPECTED, ...difference } });
    });
  }
  for (const [what, line, problem] of BAD) {
    it(`refused: ${what}`, () => {
      const parsed = parse(line);
      assert.ok(parsed.kind === 'bad');
      assert.match(parsed.problem, problem);
    });
  }
  for (const [line, kind] of [
    ['-v', 'version'],
    ['--version', 'version'],
    ['-h', 'help'],
    ['--help -v', 'help'],
  ] as const) {
    it(`${line} is ${kind}`, () => assert.equal(parse(line).kind, kind));
  }
  it('the environment says what the command line does not', () => {
    const env = { HAWSER_CONTROL: '/c', HAWSER_LOCAL: 'always', HAWSER_SOURCE_ADDRESS: '' };
    const parsed = parse(`${DOCKERD} -control /d`, env);
    assert.ok(parsed.kind === 'serve');
    assert.deepEqual(parsed.request, { ...EXPECTED, control: '/d', local: 'always' });
  });
});
