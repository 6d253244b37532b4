import assert from 'node:assert/strict';
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import type { Instant } from '../../../src/base/time.ts';
import { loadPosix } from '../../../src/native/load.ts';
import type { AddressMap } from '../../../src/proxy/address-map.ts';
import type { FlowBook } from '../../../src/proxy/flows/flow-book.ts';
import type { FlowGate, GateAnswer } from '../../../src/proxy/flows/flow-gate.ts';
import { Translation, type TranslationRules } from '../../../src/proxy/flows/translation.ts';
import { ImmediateFlush } from '../../../src/proxy/flush-scheduler.ts';
import { Outboxes } from '../../../src/proxy/udp/outbox.ts';
import { SendPool } from '../../../src/proxy/udp/send-pool.ts';
import { UdpNat, type UdpNatDeps } from '../../../src/proxy/udp/udp-nat.ts';
import { UDP_NAT_DEFAULTS, type UdpNatOptions } from '../../../src/proxy/udp/udp-nat-options.ts';
import { parsePrefix } from '../../../src/services/address-text.ts';
import type { Datagram } from '../../../src/stack/flow.ts';
import { PORT_ZERO, sendFromPortZero } from '../../support/port-zero.ts';
import { itNeeding } from '../../support/requirements.ts';
import {
  addressMap,
  datagram,
  destinations,
  flowBook,
  ip,
  RecordingDownstream,
  SOCKETS,
  TestClock,
  until,
} from '../recording.ts';

const HOST = '192.168.127.254';

interface Peer {
  readonly socket: Socket;
  readonly port: number;
  readonly got: { bytes: Buffer; from: RemoteInfo }[];
}

/** What a turn of the event loop hands in is a batch, as it is of a link. */
class BatchingNat extends UdpNat {
  private readonly outboxes: Outboxes;

  constructor(deps: UdpNatDeps, options: UdpNatOptions) {
    super(deps, options);
    this.outboxes = deps.outboxes;
  }

  override onDatagram(now: Instant, datagram: Datagram): void {
    super.onDatagram(now, datagram);
    queueMicrotask(() => this.outboxes.flush());
  }
}

/** Of a host whose kernel does not know IPv6. */
class NatWithoutIpv6 extends BatchingNat {
  opened = 0;

  protected override open(now: Instant, session: Session, by: object): string | undefined {
    this.opened++;
    return session.hostFamily === 6 ? 'EAFNOSUPPORT' : super.open(now, session, by);
  }
}

type Session = Parameters<UdpNat['deliver']>[0];

for (const [way, batches] of [
  ['by batches', true],
  ['by Node', false],
] as const) {
  describe(`proxy/udp/udp-nat, sending ${way}`, () => {
    let down: RecordingDownstream;
    let clock: TestClock;
    let pool: SendPool;
    let nats: UdpNat[];
    let book: FlowBook;
    let peers: Peer[];

    beforeEach(() => {
      down = new RecordingDownstream();
      clock = new TestClock();
      pool = new SendPool();
      nats = [];
      peers = [];
      book = flowBook();
    });
    afterEach(() => {
      for (const nat of nats) nat.close();
      for (const peer of peers) peer.socket.close();
    });

    const makeNat = (
      options: Partial<UdpNatOptions> = {},
      addresses: AddressMap = addressMap(),
      isOwnListener: () => boolean = () => false,
      Nat: typeof BatchingNat = BatchingNat,
      gate?: FlowGate,
    ): UdpNat => {
      const posix = loadPosix();
      const outboxes = new Outboxes(() => (batches ? posix.makeDatagramBatch() : undefined));
      const flush = new ImmediateFlush(() => {
        down.flush();
        outboxes.flush(); // as after the stack's work
      });
      const deps = {
        downstream: down,
        clock,
        flush,
        addresses,
        destinations: destinations(addresses, isOwnListener, undefined, gate),
        pool,
        outboxes,
        native: { posix },
        sockets: SOCKETS,
        book,
        seed: 5,
      };
      const nat = new Nat(deps, { ...UDP_NAT_DEFAULTS, ...options });
      nats.push(nat);
      return nat;
    };

    /** A server on the host's loopback; with `echo`, it sends back what it gets. */
    const makePeer = async (echo = false, address = '127.0.0.1', at = 0): Promise<Peer> => {
      const type = address.includes(':') ? 'udp6' : 'udp4';
      const socket = createSocket({ type, ipv6Only: type === 'udp6' });
      await new Promise<void>((resolve) => socket.bind(at, address, resolve));
      const peer: Peer = { socket, port: socket.address().port, got: [] };
      socket.on('message', (bytes, from) => {
        peer.got.push({ bytes, from });
        if (echo) socket.send(bytes, from.port, from.address);
      });
      peers.push(peer);
      return peer;
    };

    const closedPort = async (): Promise<number> => {
      const socket = createSocket('udp4');
      await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
      const { port } = socket.address();
      await new Promise<void>((resolve) => socket.close(() => resolve()));
      return port;
    };

    it("reaches the host's loopback, and the answer comes from the host address", async () => {
      const peer = await makePeer(true);
      makeNat().onDatagram(0, datagram(5000, HOST, peer.port, Buffer.from('hello')));
      await until(() => down.flushes > 0);
      assert.deepEqual(down.datagrams, [
        { from: `${HOST}:${peer.port}`, to: '192.168.127.2:5000', bytes: Buffer.from('hello') },
      ]);
      await until(() => pool.lentBytes === 0);
    });

    for (const len of [0, 1, 4096, 4097, 65_507]) {
      it(`carries ${len} bytes each way`, async () => {
        const peer = await makePeer(true);
        const payload = Buffer.alloc(len, 'abcdefghijk');
        makeNat().onDatagram(0, datagram(5000, HOST, peer.port, payload));
        await until(() => down.datagrams.length > 0);
        assert.ok(peer.got[0]?.bytes.equals(payload));
        assert.ok(down.datagrams[0]?.bytes.equals(payload));
      });
    }

    it('copies the payload before it returns: the slab is only borrowed', async () => {
      const peer = await makePeer();
      const payload = Buffer.from('first');
      const nat = makeNat();
      nat.onDatagram(0, datagram(5000, HOST, peer.port, payload));
      payload.fill('x');
      await until(() => peer.got.length > 0);
      assert.equal(peer.got[0]?.bytes.toString(), 'first');
    });

    it('is a full cone: one host port for all remotes, and anybody may answer it', async () => {
      const [one, two, stranger] = [await makePeer(), await makePeer(), await makePeer()];
      const nat = makeNat();
      nat.onDatagram(0, datagram(5000, HOST, one.port, Buffer.from('1')));
      nat.onDatagram(0, datagram(5000, HOST, two.port, Buffer.from('2')));
      await until(() => one.got.length + two.got.length === 2);
      const port = one.got[0]?.from.port;
      assert.equal(two.got[0]?.from.port, port);
      assert.equal(nat.size, 1);
      stranger.socket.send('knock', port, '127.0.0.1');
      await until(() => down.datagrams.length > 0);
      assert.equal(down.datagrams[0]?.from, `${HOST}:${stranger.port}`);
    });

    itNeeding('a datagram from port 0 does not reach the guest', PORT_ZERO, async () => {
      const peer = await makePeer();
      const nat = makeNat();
      nat.onDatagram(0, datagram(5000, HOST, peer.port, Buffer.from('1')));
      await until(() => peer.got.length > 0);
      const port = Number(peer.got[0]?.from.port);
      sendFromPortZero(port, 'from port 0');
      peer.socket.send('from a port', port, '127.0.0.1');
      await until(() => down.datagrams.length > 0);
      assert.deepEqual(
        down.datagrams.map(({ bytes }) => String(bytes)),
        ['from a port'],
      );
    });

    it('shows peers on any loopback address as the host address, and none when it is closed', async () => {
      const peer = await makePeer();
      const nat = makeNat();
      nat.onDatagram(0, datagram(5000, HOST, peer.port, Buffer.from('1')));
      await until(() => peer.got.length > 0);
      const other = await makePeer(false, '127.0.0.9');
      other.socket.send('x', peer.got[0]?.from.port, '127.0.0.1');
      await until(() => down.datagrams.length > 0);
      assert.equal(down.datagrams[0]?.from, `${HOST}:${other.port}`);

      const closed = makeNat({}, addressMap({ host: undefined }));
      closed.onDatagram(0, datagram(5000, HOST, peer.port, Buffer.from('1')));
      assert.equal(closed.counts.get('udp-refused'), 1);
      assert.equal(closed.size, 0);
    });

    it("a closed port of the host's is port-unreachable to the guest", async () => {
      const port = await closedPort();
      makeNat().onDatagram(0, datagram(5000, HOST, port, Buffer.from('hello')));
      await until(() => down.errors.length > 0);
      assert.deepEqual(down.errors, [
        {
          about: `192.168.127.2:5000 > ${HOST}:${port}`,
          error: 'port-unreachable',
          from: HOST,
          payloadLen: 5,
        },
      ]);
    });

    it('a closed port costs other peers of the same guest port nothing', async () => {
      const [peer, port] = [await makePeer(), await closedPort()];
      const nat = makeNat();
      for (let i = 0; i < 20; i++) {
        nat.onDatagram(0, datagram(5000, HOST, port, Buffer.from(`${i}`)));
        nat.onDatagram(0, datagram(5000, HOST, peer.port, Buffer.from(`${i}`)));
      }
      await until(() => peer.got.length === 20);
      await until(() => down.errors.length >= 1 && pool.lentBytes === 0);
      assert.equal(nat.counts.get('udp-send-failed'), 0);
    });

    it('works without native calls, except that errors are not reported', async () => {
      const [peer, port] = [await makePeer(true), await closedPort()];
      const flush = new ImmediateFlush(() => down.flush());
      const addresses = addressMap();
      const outboxes = new Outboxes(() => undefined);
      const deps = {
        downstream: down,
        clock,
        flush,
        addresses,
        destinations: destinations(addresses),
        pool,
        outboxes,
        native: { posix: undefined },
        sockets: SOCKETS,
        book,
        seed: 5,
      };
      const nat = new UdpNat(deps);
      nats.push(nat);
      nat.onDatagram(0, datagram(5000, HOST, port, Buffer.from('lost')));
      nat.onDatagram(0, datagram(5000, HOST, peer.port, Buffer.from('echo')));
      await until(() => down.datagrams.length > 0);
      assert.equal(down.errors.length, 0);
    });

    it('refuses metadata and closed gateway ports with an error, broadcasts in silence', () => {
      const nat = makeNat();
      nat.onDatagram(0, datagram(5000, '169.254.169.254', 80, Buffer.from('x')));
      nat.onDatagram(0, datagram(5000, '192.168.127.1', 9, Buffer.from('x')));
      for (const remote of ['255.255.255.255', '192.168.127.255', '224.0.0.251', '127.0.0.1']) {
        nat.onDatagram(0, datagram(5000, remote, 9, Buffer.from('x')));
      }
      nat.onDatagram(0, datagram(5000, HOST, 0, Buffer.from('x')));
      assert.deepEqual(
        down.errors.map(({ error, from }) => [error, from]),
        [
          ['prohibited', '192.168.127.1'],
          ['port-unreachable', '192.168.127.1'],
        ],
      );
      assert.equal(nat.counts.get('udp-refused'), 5);
      assert.equal(nat.counts.get('udp-port-zero'), 1);
      assert.equal(nat.size, 0);
    });

    it("a port that hawser's own listener has for TCP is another program's for UDP", async () => {
      const peer = await makePeer(true);
      const nat = makeNat({}, addressMap(), () => true);
      nat.onDatagram(0, datagram(5000, HOST, peer.port, Buffer.from('x')));
      await until(() => down.datagrams.length === 1);
      assert.deepEqual(down.errors, []);
    });

    it('what the host cannot send is counted, never thrown', async () => {
      const nat = makeNat();
      nat.onDatagram(0, datagram(5000, HOST, 9, Buffer.alloc(65_508)));
      await until(() => pool.lentBytes === 0);
      assert.equal(nat.counts.get('udp-send-failed'), 1, 'EMSGSIZE is counted');
      assert.equal(nat.size, 1, 'and the binding stays');
    });

    it('forgets a binding that nothing answered after 30 s, an answered one after 180 s', async () => {
      const peer = await makePeer(true);
      const nat = makeNat();
      nat.onDatagram(1000, datagram(5000, HOST, peer.port, Buffer.from('x')));
      const silent = await makePeer();
      nat.onDatagram(1000, datagram(5001, HOST, silent.port, Buffer.from('x')));
      await until(() => down.datagrams.length > 0);
      assert.equal(nat.nextTimeout(), 31_000);
      nat.onTimeout(30_999);
      assert.equal(nat.size, 2);
      nat.onTimeout(31_000);
      assert.equal(nat.size, 1);
      assert.equal(nat.nextTimeout(), 181_000);
      nat.onTimeout(181_000);
      assert.equal(nat.size, 0);
      assert.equal(nat.counts.get('udp-expired'), 2);
    });

    it('forgets a bounded number at once, and the rest in calls that are due at once', async () => {
      const peer = await makePeer();
      const nat = makeNat();
      for (let port = 5000; port < 5150; port++) {
        nat.onDatagram(0, datagram(port, HOST, peer.port, Buffer.from('x')));
      }
      nat.onTimeout(30_000);
      assert.equal(nat.size, 86);
      assert.equal(nat.nextTimeout(), 30_000);
      nat.onTimeout(30_000);
      nat.onTimeout(30_000);
      assert.equal(nat.size, 0);
    });

    it('a full table evicts the least recently used binding, and new flows go on', async () => {
      const peer = await makePeer();
      const nat = makeNat({ bindings: 3 });
      const send = (now: number, port: number): void =>
        nat.onDatagram(now, datagram(port, HOST, peer.port, Buffer.from(`${port}`)));
      send(1, 5001);
      send(2, 5002);
      send(3, 5003);
      send(4, 5001);
      send(5, 5004);
      assert.deepEqual(
        book.after(0, 9).map(({ source }) => source.describeFlow().guest.port),
        [5001, 5003, 5004],
      );
      assert.equal(nat.counts.get('udp-evicted'), 1);
      await until(() => peer.got.length === 5);
    });

    it('a scan from every source port leaves a bounded table and working service', async () => {
      const [peer, silent] = [await makePeer(true), await makePeer()];
      const nat = makeNat({ bindings: 64 });
      for (let port = 1; port <= 4000; port++) {
        nat.onDatagram(port, datagram(port, HOST, silent.port, Buffer.from('x')));
        if (port % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      assert.equal(nat.size, 64);
      assert.equal(book.size, 64);
      assert.equal(book.opened.udp, 4000);
      assert.equal(nat.counts.get('udp-evicted'), 4000 - 64);
      nat.onDatagram(5000, datagram(5000, HOST, peer.port, Buffer.from('still here')));
      await until(() => down.datagrams.length > 0);
      await until(() => pool.lentBytes === 0);
    });

    it('drops and counts what is above the limit of bytes on their way', async () => {
      const peer = await makePeer();
      const nat = makeNat({ inFlightBytes: 1000 });
      for (let i = 0; i < 5; i++) {
        nat.onDatagram(0, datagram(5000, HOST, peer.port, Buffer.alloc(400)));
      }
      assert.equal(nat.counts.get('udp-in-flight-limit'), 3);
      await until(() => peer.got.length === 2 && pool.lentBytes === 0);
    });

    it('flushes once for a burst of answers', async () => {
      const peer = await makePeer();
      const nat = makeNat();
      nat.onDatagram(0, datagram(5000, HOST, peer.port, Buffer.from('x')));
      await until(() => peer.got.length > 0);
      for (let i = 0; i < 20; i++) peer.socket.send('x', peer.got[0]?.from.port, '127.0.0.1');
      await until(() => down.datagrams.length === 20);
      await new Promise((resolve) => setImmediate(resolve));
      assert.ok(down.flushes < 20, `${down.flushes} flushes`);
    });

    itNeeding(
      'IPv6 is another family of the same table: echo and port unreachable through ::1',
      ['ipv6'],
      async () => {
        const server = createSocket('udp6');
        await new Promise<void>((resolve) => server.bind(0, '::1', resolve));
        server.on('message', (bytes, from) => server.send(bytes, from.port, from.address));
        const { port } = server.address();
        const subnet6 = parsePrefix('fd12:3456::/64');
        assert.ok(subnet6);
        const six = { subnet6, gateway6: ip('fd12:3456::1'), host6: ip('fd12:3456::fe') };
        const nat = makeNat({}, addressMap(six));
        const guest = ip('fd12:3456::2');
        nat.onDatagram(0, datagram(5000, 'fd12:3456::fe', port, Buffer.from('six'), 64, guest));
        await until(() => down.datagrams.length > 0);
        assert.equal(down.datagrams[0]?.from, `fd12:3456::fe:${port}`);
        await new Promise<void>((resolve) => server.close(() => resolve()));
        nat.onDatagram(0, datagram(5000, 'fd12:3456::fe', port, Buffer.from('six'), 64, guest));
        await until(() => down.errors.length > 0);
        assert.equal(down.errors[0]?.error, 'port-unreachable');
        assert.equal(down.errors[0]?.from, 'fd12:3456::fe');
      },
    );

    describe('a guest of IPv6', () => {
      const subnet6 = parsePrefix('fd12:3456::/64');
      const guest6 = ip('fd12:3456::9');
      const host6 = ip('fd12:3456::254');
      const from6 = (remote: string, port: number, text: string, guestPort = 5000): Datagram =>
        datagram(guestPort, remote, port, Buffer.from(text), 64, guest6);
      const six = (rules?: TranslationRules): AddressMap =>
        addressMap({
          ...{ subnet6, gateway6: ip('fd12:3456::1'), host6 },
          translation: new Translation(rules),
        });

      itNeeding('to the host address: ::1, there and back', ['ipv6'], async () => {
        const peer = await makePeer(true, '::1');
        const other = await makePeer(true, '127.0.0.1', peer.port);
        const nat = makeNat({}, six());
        nat.onDatagram(0, from6('fd12:3456::254', peer.port, 'hello'));
        await until(() => down.datagrams.length > 0);
        const [got] = down.datagrams;
        assert.deepEqual([got?.from, got?.to], [`${host6}:${peer.port}`, `${guest6}:5000`]);
        assert.equal(other.got.length, 0);
      });

      for (const [way, guest, host, own, twin] of [
        ['::1', guest6, host6, '::1', '127.0.0.1'],
        ['127.0.0.1', ip('192.168.127.2'), ip(HOST), '127.0.0.1', '::1'],
      ] as const) {
        itNeeding(
          `nobody at ${way}: the other loopback, from the first datagram`,
          ['ipv6'],
          async () => {
            const peer = await makePeer(true, twin);
            const nat = makeNat({}, six());
            const send = (text: string): void =>
              nat.onDatagram(0, datagram(5000, `${host}`, peer.port, Buffer.from(text), 64, guest));
            send('one');
            await until(() => down.datagrams.length === 1);
            send('two');
            await until(() => down.datagrams.length === 2);
            assert.deepEqual(
              down.datagrams.map(({ from, to, bytes }) => `${from} ${to} ${bytes}`),
              ['one', 'two'].map((text) => `${host}:${peer.port} ${guest}:5000 ${text}`),
            );
            assert.deepEqual(down.errors, []);
            const late = await makePeer(true, own, peer.port);
            nat.onDatagram(0, datagram(5001, `${host}`, peer.port, Buffer.from('3'), 64, guest));
            await until(() => late.got.length === 1);
          },
        );

        itNeeding(
          `nobody at ${way} for some at once: each is sent on as it was`,
          ['ipv6'],
          async () => {
            const peer = await makePeer(true, twin);
            const nat = makeNat({}, six());
            const texts = ['one', 'two', 'six', 'ten'];
            for (const text of texts) {
              nat.onDatagram(0, datagram(5000, `${host}`, peer.port, Buffer.from(text), 64, guest));
            }
            await until(() => down.datagrams.length === 4);
            assert.deepEqual(down.datagrams.map(({ bytes }) => `${bytes}`).sort(), texts.sort());
          },
        );

        itNeeding(
          `one at ${way} that goes: none that it missed is made of some`,
          ['ipv6'],
          async () => {
            const first = await makePeer(true, own);
            const nat = makeNat({}, six());
            const send = (text: string): void =>
              nat.onDatagram(
                0,
                datagram(5000, `${host}`, first.port, Buffer.from(text), 64, guest),
              );
            send('first');
            await until(() => down.datagrams.length === 1);
            await new Promise<void>((resolve) => first.socket.close(() => resolve()));
            peers.shift();
            const second = await makePeer(true, twin, first.port);
            for (const text of ['one', 'two', 'six']) send(text);
            await until(() => down.errors.length + second.got.length > 0);
            send('last');
            await until(() => second.got.some(({ bytes }) => `${bytes}` === 'last'));
            const known = ['one', 'two', 'six', 'last'];
            assert.deepEqual(
              second.got.filter(({ bytes }) => !known.includes(`${bytes}`)),
              [],
            );
          },
        );

        for (const [what, Nat] of [
          ['', BatchingNat],
          [', and the host lacks IPv6', NatWithoutIpv6],
        ] as const) {
          if (Nat === NatWithoutIpv6 && own === '::1') continue;
          itNeeding(
            `a server that comes to ${way}${what}: it has the next datagram, whatever was lost before`,
            ['ipv6'],
            async () => {
              const port = await closedPort();
              const nat = makeNat({}, six(), () => false, Nat);
              const send = (guestPort: number, length: number): void => {
                const bytes = Buffer.alloc(length);
                nat.onDatagram(0, datagram(guestPort, `${host}`, port, bytes, 64, guest));
              };
              send(5000, 1400);
              await until(() => down.errors.length === 1);
              send(5001, 4);
              await until(() => down.errors.length === 2);
              const late = await makePeer(true, own, port);
              send(5002, 4);
              await until(() => late.got.length === 1);
              assert.equal(down.errors.length, 2);
            },
          );
        }

        itNeeding(`a server that comes to the other of ${way}: likewise`, ['ipv6'], async () => {
          const port = await closedPort();
          const nat = makeNat({}, six());
          const send = (length: number): void =>
            nat.onDatagram(0, datagram(5000, `${host}`, port, Buffer.alloc(length), 64, guest));
          send(4);
          await until(() => down.errors.length === 1);
          const late = await makePeer(true, twin, port);
          send(4);
          await until(() => late.got.length === 1);
          assert.equal(down.errors.length, 1);
        });

        itNeeding(
          `large ones with nobody at ${way} nor the other: they take turns`,
          ['ipv6'],
          async () => {
            const port = await closedPort();
            const nat = makeNat({}, six());
            const send = (): void =>
              nat.onDatagram(0, datagram(5000, `${host}`, port, Buffer.alloc(1400), 64, guest));
            for (const n of [1, 2]) {
              send();
              await until(() => down.errors.length === n);
            }
            const late = await makePeer(true, own, port);
            send();
            await until(() => late.got.length === 1);
            assert.equal(down.errors.length, 2);
          },
        );
      }

      itNeeding(
        'one whose quote may be cut is reported as lost, and the next one goes to the other loopback',
        ['ipv6'],
        async () => {
          const peer = await makePeer(true, '127.0.0.1');
          const nat = makeNat({}, six());
          nat.onDatagram(0, from6('fd12:3456::254', peer.port, 'x'.repeat(1400)));
          await until(() => down.errors.length === 1);
          assert.equal(down.errors[0]?.error, 'port-unreachable');
          nat.onDatagram(0, from6('fd12:3456::254', peer.port, 'y'.repeat(1400)));
          await until(() => down.datagrams.length === 1);
          assert.equal(down.datagrams[0]?.bytes.length, 1400);
        },
      );

      itNeeding('nobody at either loopback: port-unreachable, each time', ['ipv6'], async () => {
        const port = await closedPort();
        const nat = makeNat({}, six());
        for (const n of [1, 2, 3]) {
          nat.onDatagram(0, from6('fd12:3456::254', port, 'x'));
          await until(() => down.errors.length === n);
        }
        assert.deepEqual(
          [...new Set(down.errors.map(({ error, from }) => `${error} ${from}`))],
          [`port-unreachable ${host6}`],
        );
      });

      for (const [name, guest, host] of [
        ['IPv6', guest6, host6],
        ['IPv4', ip('192.168.127.2'), ip(HOST)],
      ] as const) {
        it(`a host without IPv6, a guest of ${name}: one error a datagram, and it is not sent again`, async () => {
          const port = await closedPort();
          const nat = makeNat({}, six(), () => false, NatWithoutIpv6);
          for (const n of [1, 2, 3]) {
            nat.onDatagram(0, datagram(5000, `${host}`, port, Buffer.from('x'), 64, guest));
            await until(() => down.errors.length >= n);
          }
          await new Promise((resolve) => setImmediate(resolve));
          await until(() => pool.lentBytes === 0);
          assert.deepEqual(
            down.errors.map(({ error, from }) => `${error} ${from}`),
            new Array(3).fill(`port-unreachable ${host}`),
          );
          const [flow] = book.after(0, 9);
          const { packetsToHost, remote } = flow?.source.describeFlow() ?? assert.fail();
          assert.deepEqual([packetsToHost, remote.port], [3, port]);
        });
      }

      it('what goes by NAT64 leaves by IPv4, and its peers are seen by their NAT64 addresses', async () => {
        const nat = makeNat({}, six({ isOn: true, isForPrivate: true, hostPrefix: undefined }));
        nat.onDatagram(0, from6('64:ff9b:1::a00:1', 9, 'x'));
        const [flow] = book.after(0, 9);
        assert.equal(flow?.source.describeFlow().dialled, '10.0.0.1');
        assert.equal(`${flow?.source.describeFlow().remote.address}`, '64:ff9b:1::a00:1');
        nat.onDatagram(0, from6('fd12:3456::254', 9, 'x'));
        assert.equal(nat.size, 2, 'a binding for each family of the host');
        nat.onDatagram(0, from6('64:ff9b:1::a00:1', 9, 'x'));
        nat.onDatagram(0, from6('64:ff9b:1::a00:1', 10, 'x'));
        assert.equal(nat.size, 2);
        nat.onDatagram(0, from6('64:ff9b::10.0.0.1', 9, 'x'));
        assert.equal(down.errors.at(-1)?.error, 'prohibited');
      });
    });

    const gateOf = (askNow: FlowGate['askNow']): FlowGate => ({
      askTcp: () => assert.fail('of UDP'),
      askNow,
      askService: () => undefined,
      askClient: () => {},
      askClientNow: () => undefined,
    });

    it('redirects a destination: what answers is seen as it, from its port; others are as they are', async () => {
      const [one, two] = [await makePeer(true), await makePeer(true)];
      const answers = new Map<number, GateAnswer>([
        [53, { address: '127.0.0.1', port: one.port }],
        [54, { why: 'program', text: 'no' }],
        [55, { address: '::1', port: 9 }],
      ]);
      const gate = gateOf(({ remotePort }) => answers.get(remotePort));
      const nat = makeNat({}, undefined, undefined, undefined, gate);
      const send = (address: string, port: number): void =>
        nat.onDatagram(0, datagram(5000, address, port, Buffer.from('x')));
      send('192.0.2.1', 53);
      await until(() => down.datagrams.length === 1);
      const [flow] = book.after(0, 9);
      const facts = flow?.source.describeFlow();
      assert.deepEqual(
        [`${facts?.remote.address}:${facts?.remote.port}`, facts?.dialled, facts?.insteadOf],
        ['192.0.2.1:53', '127.0.0.1', '192.0.2.1'],
      );
      send(HOST, two.port);
      await until(() => down.datagrams.length === 2);
      send('192.0.2.2', 53);
      await until(() => down.datagrams.length === 3);
      assert.deepEqual(
        down.datagrams.map(({ from }) => from),
        ['192.0.2.1:53', `${HOST}:${two.port}`, '192.0.2.2:53'],
      );
      send('192.0.2.1', 54);
      assert.equal(down.errors.at(-1)?.error, 'prohibited');
      send('192.0.2.1', 55);
      assert.equal(
        nat.size,
        3,
        'a binding for each family of the host, and one for what is translated',
      );
    });

    it('an error about a redirected datagram is about what the guest has asked for', async () => {
      const port = await closedPort();
      const gate = gateOf(() => ({ address: '127.0.0.1', port }));
      const nat = makeNat({}, undefined, undefined, undefined, gate);
      nat.onDatagram(0, datagram(5000, '192.0.2.1', 53, Buffer.from('x')));
      await until(() => down.errors.length === 1);
      assert.deepEqual(
        down.errors.map(({ about, error }) => [about, error]),
        [['192.168.127.2:5000 > 192.0.2.1:53', 'port-unreachable']],
      );
    });

    it('describes its bindings', async () => {
      const peer = await makePeer();
      const nat = makeNat();
      nat.onDatagram(0, datagram(5000, HOST, peer.port, Buffer.from('12345')));
      const facts = book.after(0, 99).at(-1)?.source.describeFlow();
      assert.equal(`${facts?.guest.address}:${facts?.guest.port}`, '192.168.127.2:5000');
      assert.equal(`${facts?.remote.address}:${facts?.remote.port}`, `${HOST}:${peer.port}`);
      assert.equal(facts?.bytesToHost, 5);
      assert.equal(facts?.packetsToHost, 1);
      nat.close();
      assert.equal(book.size, 0);
    });
  });
}
