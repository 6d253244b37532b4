/** Run inside a network of the test's own: pings and probes through the proxy, results as JSON. */
import { FaultWatch } from '../../../src/base/faults.ts';
import { SILENT } from '../../../src/base/log.ts';
import { loadPosix } from '../../../src/native/load.ts';
import { Translation } from '../../../src/proxy/flows/translation.ts';
import { ImmediateFlush } from '../../../src/proxy/flush-scheduler.ts';
import { EchoProxy } from '../../../src/proxy/icmp/echo-proxy.ts';
import { Outboxes } from '../../../src/proxy/udp/outbox.ts';
import { SendPool } from '../../../src/proxy/udp/send-pool.ts';
import { UdpNat } from '../../../src/proxy/udp/udp-nat.ts';
import {
  addressMap,
  datagram as datagramOf,
  destinations,
  echoRequest as echoRequestOf,
  flowBook,
  ip,
  RecordingDownstream,
  SIX,
  SOCKETS,
  TestClock,
  until,
} from '../recording.ts';

interface Way {
  readonly guest: string;
  readonly host: string;
  /** Beyond the router. */
  readonly far: string;
  /** The router has no way there, and this side none at all. */
  readonly lost: string;
  readonly none: string;
}
/** What the guest has. */
const way: Way = JSON.parse(process.argv[2] ?? '');
const guest = ip(way.guest);
const translation = new Translation({ isOn: true, isForPrivate: true, hostPrefix: undefined });
const addresses = addressMap({ ...SIX, translation });

const down = new RecordingDownstream();
const clock = new TestClock();
const flush = new ImmediateFlush(() => down.flush());
const posix = loadPosix();
const pool = new SendPool();
const shared = {
  downstream: down,
  clock,
  flush,
  addresses,
  destinations: destinations(addresses),
  pool,
  seed: 3,
  sockets: SOCKETS,
  book: flowBook(),
};
const echo = new EchoProxy({ ...shared, native: { posix }, log: SILENT });
const outboxes = new Outboxes(() => posix.makeDatagramBatch());
const nat = new UdpNat({ ...shared, outboxes, native: { posix } });

const HOST = way.host;
const echoRequest = (id: number, sequence: number, to: string, bytes: Buffer, ttl?: number) =>
  echoRequestOf(id, sequence, to, bytes, ttl, guest);
const datagram = (from: number, to: string, port: number, bytes: Buffer, ttl?: number) =>
  datagramOf(from, to, port, bytes, ttl, guest);
const payload = Buffer.from('0123456789abcdef');
echo.onEcho(0, echoRequest(1, 10, HOST, payload));
echo.onEcho(0, echoRequest(2, 20, HOST, payload));
echo.onEcho(0, echoRequest(2, 21, HOST, Buffer.alloc(65_507 - 28, 7)));
await until(() => down.replies.length === 3);
echo.onEcho(0, echoRequest(1, 11, way.far, payload)); // answered beyond the router
await until(() => down.replies.length === 4);
echo.onEcho(0, echoRequest(1, 12, way.far, payload, 2)); // ends at the router
await until(() => down.errors.length === 1);
echo.onEcho(0, echoRequest(1, 13, way.lost, payload)); // the router has no route
await until(() => down.errors.length === 2);
echo.onEcho(0, echoRequest(1, 14, way.none, payload)); // nor do we
await until(() => down.errors.length === 3);
echo.onEcho(0, echoRequest(1, 15, HOST, payload)); // and the socket is none the worse
await until(() => down.replies.length === 5);
nat.onDatagram(0, datagram(5000, way.far, 33_434, payload, 2)); // traceroute by UDP
outboxes.flush();
await until(() => down.errors.length === 4);
nat.onDatagram(0, datagram(5000, way.far, 33_435, payload, 3));
outboxes.flush();
await until(() => down.errors.length === 5);
nat.onDatagram(0, datagram(5000, way.none, 53, payload));
outboxes.flush();
await until(() => down.errors.length === 6 && pool.lentBytes === 0);

const busyBefore = process.cpuUsage();
await new Promise((resolve) => setTimeout(resolve, 100));
const idle = process.cpuUsage(busyBefore);

const replies = down.replies.map((reply) => ({
  ...reply,
  bytes: reply.bytes.length,
  intact: reply.bytes.equals(payload) || reply.bytes.every((byte) => byte === 7),
}));
const idleCpuMs = (idle.user + idle.system) / 1000;
const sessions = echo.size;

// Code of ours that throws ends the session; the next ping has another.
const watch = new FaultWatch(SILENT);
down.sendEchoReply = () => {
  throw new Error('broken');
};
echo.onEcho(0, echoRequest(1, 16, HOST, payload));
await until(() => echo.size === sessions - 1);
Reflect.deleteProperty(down, 'sendEchoReply');
echo.onEcho(0, echoRequest(1, 17, HOST, payload));
await until(() => down.replies.length === 6);
const faults = { ...watch.counts.snapshot(), sessions: echo.size };
process.stdout.write(JSON.stringify({ replies, errors: down.errors, idleCpuMs, sessions, faults }));
echo.close();
nat.close();
