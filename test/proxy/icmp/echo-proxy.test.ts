import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Log } from '../../../src/base/log.ts';
import { SILENT } from '../../../src/base/log.ts';
import { PosixError } from '../../../src/native/errors.ts';
import { ECHO_DEFAULTS, EchoProxy, type PingCalls } from '../../../src/proxy/icmp/echo-proxy.ts';
import { SendPool } from '../../../src/proxy/udp/send-pool.ts';
import { itNeeding } from '../../support/requirements.ts';
import {
  addressMap,
  destinations,
  echoRequest,
  flowBook,
  RecordingDownstream,
  SOCKETS,
  TestClock,
} from '../recording.ts';

const HOST = '192.168.127.254';
const PAYLOAD = Buffer.from('abcdefgh');
const EACCES = 13;
const EAFNOSUPPORT = 97;

const NOT_PERMITTED: PingCalls = {
  openPingSocket(): number {
    throw new PosixError('open a ping socket', EACCES);
  },
  enableErrorQueue(): void {},
  readErrorQueue: () => undefined,
  setSocketOption(): void {},
  close(): void {},
};

/**
 * A network of its own, without root: this side, a router (10.97.0.1) and behind it 10.99.0.1. The
 * router knows no way to 10.98.0.1, and this side none to anywhere else. The same with IPv6.
 */
const NETWORK = `
set -e
ip link set lo up
sysctl -qw net.ipv4.ping_group_range="0 0"
spawn() {
  unshare -n sleep 60 >&- 2>&- &
  until [ "$(readlink /proc/$!/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done
}
spawn; router=$!
spawn; far=$!
trap 'kill $router $far' EXIT
ip link add a0 type veth peer name b0 netns $router
ip addr add 10.97.0.2/24 dev a0
ip addr add 2001:db8:97::2/64 dev a0 nodad
ip link set a0 up
nsenter -t $router -n sh -ec "
  sysctl -qw net.ipv4.ip_forward=1 net.ipv4.icmp_ratemask=0
  sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv6.icmp.ratelimit=0
  ip link add c0 type veth peer name d0 netns $far
  ip addr add 10.97.0.1/24 dev b0
  ip addr add 10.99.0.254/24 dev c0
  ip addr add 2001:db8:97::1/64 dev b0 nodad
  ip addr add 2001:db8:99::254/64 dev c0 nodad
  ip link set b0 up
  ip link set c0 up"
nsenter -t $far -n sh -ec "
  ip addr add 10.99.0.1/24 dev d0
  ip addr add 2001:db8:99::1/64 dev d0 nodad
  ip link set d0 up
  ip route add default via 10.99.0.254
  ip route add default via 2001:db8:99::254"
ip route add 10.99.0.0/24 via 10.97.0.1
ip route add 10.98.0.0/24 via 10.97.0.1
ip route add 2001:db8:99::/64 via 2001:db8:97::1
ip route add 2001:db8:98::/64 via 2001:db8:97::1
"$@"
`;

const WAYS = [
  {
    name: 'IPv4',
    guest: '192.168.127.2',
    gateway: '192.168.127.1',
    host: HOST,
    far: '10.99.0.1',
    router: '10.97.0.1',
    lost: '10.98.0.1',
    none: '8.8.8.8',
  },
  {
    name: 'IPv6',
    guest: 'fd12:3456::2',
    gateway: 'fd12:3456::1',
    host: 'fd12:3456::254',
    far: '2001:db8:99::1',
    router: '2001:db8:97::1',
    lost: '2001:db8:98::1',
    none: '2001:4860:4860::8888',
  },
  {
    name: 'NAT64',
    guest: 'fd12:3456::2',
    gateway: 'fd12:3456::1',
    host: 'fd12:3456::254',
    far: '64:ff9b:1::a63:1',
    router: '64:ff9b:1::a61:1',
    lost: '64:ff9b:1::a62:1',
    none: '64:ff9b::808:808',
  },
] as const;

const REAL = ['ipv6', 'userns', 'ip', 'nsenter', 'sysctl', 'koffi'] as const;

describe('proxy/icmp/echo-proxy', () => {
  const make = (
    posix: PingCalls | undefined,
    log: Log = SILENT,
    down = new RecordingDownstream(),
  ) => {
    const flush = { schedule: (): void => down.flush() };
    const pool = new SendPool();
    const clock = new TestClock();
    const deps = {
      downstream: down,
      clock,
      flush,
      addresses: addressMap(),
      destinations: destinations(),
      pool,
      seed: 1,
      sockets: SOCKETS,
      book: flowBook(),
    };
    return { down, echo: new EchoProxy({ ...deps, native: { posix }, log }, ECHO_DEFAULTS) };
  };

  for (const [name, posix] of [
    ['without native calls', undefined],
    ['where ping sockets are not permitted', NOT_PERMITTED],
  ] as const) {
    it(`${name}, the host answers for itself and nothing is forged`, () => {
      const { down, echo } = make(posix);
      echo.onEcho(0, echoRequest(7, 1, HOST, PAYLOAD));
      echo.onEcho(0, echoRequest(7, 2, '8.8.8.8', PAYLOAD));
      assert.deepEqual(down.replies, [
        { guest: '192.168.127.2', remote: HOST, identifier: 7, sequence: 1, bytes: PAYLOAD },
      ]);
      assert.deepEqual(down.errors, []);
      assert.equal(echo.counts.get('echo-answered-for-host'), 1);
      assert.equal(echo.counts.get('echo-no-socket'), 1);
      assert.equal(echo.size, 0);
    });
  }

  it('says once why guests cannot ping, and how to permit it', () => {
    const lines: string[] = [];
    const log: Log = { ...SILENT, warn: (_, message) => lines.push(message) };
    const { echo } = make(NOT_PERMITTED, log);
    for (let i = 0; i < 5; i++) echo.onEcho(0, echoRequest(7, i, '8.8.8.8', PAYLOAD));
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? '', /EACCES.*net\.ipv4\.ping_group_range/);
  });

  it('the host answers its own pings: no matter for a warning, then or later', () => {
    const lines: string[] = [];
    const note =
      (level: string) =>
      (_: object, message: string): void => {
        lines.push(`${level}: ${message}`);
      };
    const { echo } = make(NOT_PERMITTED, { ...SILENT, warn: note('warn'), debug: note('debug') });
    for (let i = 0; i < 3; i++) echo.onEcho(0, echoRequest(7, i, HOST, PAYLOAD));
    assert.deepEqual(lines, ['debug: no ping sockets: pings of the host are answered without one']);
    for (let i = 0; i < 3; i++) echo.onEcho(0, echoRequest(7, i, '8.8.8.8', PAYLOAD));
    assert.equal(lines.length, 2);
    assert.match(lines[1] ?? '', /^warn: guests cannot ping beyond the host/);
  });

  it('a kernel without the family: nothing is there, and nothing to permit', () => {
    const lines: string[] = [];
    const log: Log = { ...SILENT, warn: (_, message) => lines.push(message) };
    const openPingSocket = (): number => {
      throw new PosixError('open a ping socket', EAFNOSUPPORT);
    };
    const { down, echo } = make({ ...NOT_PERMITTED, openPingSocket }, log);
    echo.onEcho(0, echoRequest(7, 1, HOST, PAYLOAD));
    echo.onEcho(0, echoRequest(7, 2, '8.8.8.8', PAYLOAD));
    assert.deepEqual(
      down.errors.map(({ about, error }) => `${about} ${error}`),
      ['192.168.127.2 > 8.8.8.8 #7/2 net-unreachable'],
    );
    assert.deepEqual([down.replies.length, lines], [1, []]);
  });

  it('refuses metadata with an error, broadcasts in silence', () => {
    const { down, echo } = make(undefined);
    echo.onEcho(0, echoRequest(7, 1, '169.254.169.254', PAYLOAD));
    echo.onEcho(0, echoRequest(7, 2, '192.168.127.255', PAYLOAD));
    echo.onEcho(0, echoRequest(7, 3, '224.0.0.1', PAYLOAD));
    assert.deepEqual(down.errors, [
      {
        about: '192.168.127.2 > 169.254.169.254 #7/1',
        error: 'prohibited',
        from: '192.168.127.1',
        payloadLen: 0,
      },
    ]);
    assert.equal(echo.counts.get('echo-refused'), 3);
    assert.deepEqual(down.replies, []);
  });

  for (const { name, guest, gateway, host, far, router, lost, none } of WAYS) {
    itNeeding(`pings, traces and fails honestly in a real network, ${name}`, REAL, async () => {
      const child = fileURLToPath(new URL('./ping-child.js', import.meta.url));
      const way = JSON.stringify({ guest, host, far, lost, none });
      const args = ['-Urn', 'sh', '-c', NETWORK, 'sh', process.execPath, child, way];
      const { stdout } = await promisify(execFile)('unshare', args, { timeout: 20_000 });
      const result = JSON.parse(stdout);
      const reply = (remote: string, identifier: number, sequence: number, bytes = 16) => ({
        ...{ guest, remote, identifier, sequence, bytes },
        intact: true,
      });
      assert.deepEqual(
        new Set(result.replies),
        new Set([
          reply(host, 1, 10),
          reply(host, 2, 20),
          reply(host, 2, 21, 65_479),
          reply(far, 1, 11),
          reply(host, 1, 15),
        ]),
      );
      const seen = (address: string, port: number): string => {
        const end = (text: string, at: number): string => `${text}:${at}`;
        return `${end(guest, 5000)} > ${end(address, port)}`;
      };
      assert.deepEqual(
        result.errors.map(({ about, error, from }: Record<string, unknown>) => [
          ...[about, error, from],
        ]),
        [
          [`${guest} > ${far} #1/12`, 'ttl-exceeded', router],
          [`${guest} > ${lost} #1/13`, 'net-unreachable', router],
          [`${guest} > ${none} #1/14`, 'net-unreachable', gateway],
          [seen(far, 33_434), 'ttl-exceeded', router],
          [seen(far, 33_435), 'port-unreachable', far],
          [seen(none, 53), 'net-unreachable', gateway],
        ],
      );
      assert.equal(result.sessions, far.startsWith('64:') ? 3 : 2, 'one socket per identifier');
      assert.deepEqual(result.faults, { datagram: 1, sessions: result.sessions });
      assert.ok(result.idleCpuMs < 50, `an error queue not drained spins: ${result.idleCpuMs} ms`);
    });
  }
});
