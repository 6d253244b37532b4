/** Code of ours that throws on behalf of a datagram or a query: its flow ends, is counted, and the next one works. */
import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { FaultWatch } from '../../src/base/faults.ts';
import { SILENT } from '../../src/base/log.ts';
import { loadPosix } from '../../src/native/load.ts';
import { askTcp, askUdp } from '../../src/proxy/dns/ask.ts';
import { ImmediateFlush } from '../../src/proxy/flush-scheduler.ts';
import { UdpPublisher } from '../../src/proxy/ports/udp-publisher.ts';
import { Outboxes } from '../../src/proxy/udp/outbox.ts';
import { SendPool } from '../../src/proxy/udp/send-pool.ts';
import { UdpNat } from '../../src/proxy/udp/udp-nat.ts';
import { a, queryBytes, replyBytes, unpack } from '../services/dns/dns-wire.ts';
import { describeNeeding } from '../support/requirements.ts';
import { FakeUpstream, makeForwarder, resolve } from './dns/lab.ts';
import {
  addressMap,
  datagram,
  destinations,
  flowBook,
  GUEST,
  ip,
  OWNER,
  RecordingDownstream,
  SOCKETS,
  TestClock,
  until,
} from './recording.ts';

const ENETUNREACH = 101;
const HOST = '192.168.127.254';

class BrokenDownstream extends RecordingDownstream {
  broken = true;

  private check(): void {
    if (this.broken) throw new Error('broken');
  }

  override sendDatagram(...args: Parameters<RecordingDownstream['sendDatagram']>): boolean {
    this.check();
    return super.sendDatagram(...args);
  }

  override sendUdpError(...args: Parameters<RecordingDownstream['sendUdpError']>): void {
    this.check();
    super.sendUdpError(...args);
  }
}

let watch: FaultWatch;
const start = (): void => {
  watch = new FaultWatch(SILENT);
};
const stop = (): void => watch.close();

for (const [way, isNative] of [
  ['with native calls', true],
  ['without native calls', false],
] as const) {
  describeNeeding(`proxy: faults of datagrams, ${way}`, isNative ? ['koffi'] : [], () => {
    let down: BrokenDownstream;
    let pool: SendPool;
    let outboxes: Outboxes;
    let peer: Socket;
    let nat: UdpNat;
    let isUnreachable = false;

    const deps = () => {
      const posix = isNative ? loadPosix() : undefined;
      outboxes = new Outboxes(() => {
        const batch = posix?.makeDatagramBatch();
        const sends = batch?.send.bind(batch);
        return (
          batch &&
          Object.assign(batch, {
            send: (fd: number) => (isUnreachable ? -ENETUNREACH : (sends?.(fd) ?? 0)),
          })
        );
      });
      const flush = new ImmediateFlush(() => {
        down.flush();
        outboxes.flush();
      });
      const shared = {
        downstream: down,
        clock: new TestClock(),
        flush,
        pool,
        outboxes,
        seed: 1,
        sockets: SOCKETS,
        book: flowBook(),
      };
      return {
        ...shared,
        addresses: addressMap(),
        destinations: destinations(),
        native: { posix },
      };
    };
    const send = (remote: string, port: number, text: string): void => {
      nat.onDatagram(0, datagram(5000, remote, port, Buffer.from(text)));
      outboxes.flush();
    };

    beforeEach(async () => {
      start();
      down = new BrokenDownstream();
      pool = new SendPool();
      peer = createSocket('udp4');
      peer.bind(0, '127.0.0.1');
      await once(peer, 'listening');
      peer.on('message', (bytes, from) => peer.send(bytes, from.port, from.address));
      nat = new UdpNat(deps());
    });
    afterEach(() => {
      stop();
      nat.close();
      peer.close();
    });

    const assertWorks = async (): Promise<void> => {
      down.broken = false;
      send(HOST, peer.address().port, 'again');
      await until(() => down.datagrams.length === 1 && pool.lentBytes === 0);
      assert.equal(String(down.datagrams[0]?.bytes), 'again');
      assert.equal(nat.size, 1);
    };

    it('the NAT: an answer that throws ends its binding', async () => {
      send(HOST, peer.address().port, 'x');
      await until(() => nat.size === 0);
      assert.deepEqual(watch.counts.snapshot(), { datagram: 1 });
      await assertWorks();
    });

    if (isNative) {
      it('the NAT: a failed send that throws ends its binding, and its buffer is given back', async () => {
        isUnreachable = true;
        send('203.0.113.9', 9, 'x');
        isUnreachable = false;
        assert.deepEqual(watch.counts.snapshot(), { 'datagram-send': 1 });
        assert.deepEqual([nat.size, pool.lentBytes], [0, 0]);
        await assertWorks();
      });

      it('the NAT: an ICMP error that throws ends its binding', async () => {
        const closed = createSocket('udp4').bind(0, '127.0.0.1');
        await once(closed, 'listening');
        const { port } = closed.address();
        closed.close();
        await once(closed, 'close');
        send(HOST, port, 'x');
        await until(() => watch.counts.get('datagram-error') === 1);
        assert.equal(nat.size, 1, 'the one to the loopback where nobody listens either is left');
        await assertWorks();
      });
    }

    it('a published port: a datagram that throws ends its client, and the next one has another', async () => {
      const publisher = new UdpPublisher(deps());
      const release = (): void => {};
      const known = { address: GUEST, mac: undefined, attached: true, release };
      const guest = { ...known, addressesFor: () => [GUEST] };
      const spec = {
        protocol: 'udp',
        hostAddress: ip('0.0.0.0'),
        hostPort: 0,
        guestAddress: undefined,
        guestPort: 53,
      } as const;
      const listener = publisher.listen('1', spec, guest);
      try {
        peer.send('x', listener.hostPort, '127.0.0.1');
        await until(() => watch.counts.get('datagram') === 1);
        assert.equal(publisher.size, 0);
        down.broken = false;
        peer.send('again', listener.hostPort, '127.0.0.1');
        await until(() => down.datagrams.length === 1);
        assert.equal(String(down.datagrams[0]?.bytes), 'again');
        assert.equal(publisher.size, 1);
      } finally {
        listener.stop();
      }
    });
  });
}

describe('proxy: faults of queries', () => {
  let server: FakeUpstream;
  const query = queryBytes('a.example');

  beforeEach(async () => {
    start();
    const reply = (asked: Uint8Array) => [
      replyBytes(asked, { answers: [a('a.example', '1.2.3.4')] }),
    ];
    server = await new FakeUpstream(reply).start();
  });
  afterEach(() => {
    stop();
    server.stop();
  });

  for (const [name, ask, seam] of [
    ['TCP', askTcp, 'dns'],
    ['UDP', askUdp, 'datagram'],
  ] as const) {
    it(`DNS over ${name}: a receiver that throws is asked nothing more, and the next query is answered`, async () => {
      let calls = 0;
      const broken = (): never => {
        calls++;
        throw new Error('broken');
      };
      ask(server.server, query, { onReply: broken, onFailure: broken });
      await until(() => calls > 0);
      assert.deepEqual([calls, watch.counts.snapshot()], [1, { [seam]: 1 }]);
      await new Promise<void>((onReply, onFailure) => {
        ask(server.server, query, { onReply: () => onReply(), onFailure });
      });
      assert.equal(calls, 1);
    });
  }

  it('of two that asked the same, one whose reply throws: the other one has its answer', async () => {
    const forwarder = makeForwarder({ upstreams: [server.server] });
    forwarder.query(query, 'udp', OWNER, () => {
      throw new Error('broken');
    });
    const reply = unpack(await resolve(forwarder, query));
    assert.equal(reply.answers?.length, 1);
    assert.equal(forwarder.counts.get('joined'), 1);
    assert.deepEqual(watch.counts.snapshot(), { dns: 1 });
    assert.equal(forwarder.waitingCount, 0);
    forwarder.close();
  });
});

describe('proxy: faults of a flush', () => {
  before(start);
  after(stop);

  it('is counted, and the next one goes out', async () => {
    let flushes = 0;
    const scheduler = new ImmediateFlush(() => {
      if (++flushes === 1) throw new Error('broken');
    });
    scheduler.schedule();
    await until(() => flushes === 1);
    scheduler.schedule();
    await until(() => flushes === 2);
    assert.deepEqual(watch.counts.snapshot(), { flush: 1 });
  });
});
