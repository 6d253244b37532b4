import assert from 'node:assert/strict';
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { loadPosix } from '../../../src/native/load.ts';
import type { RefusalAnswer } from '../../../src/proxy/flows/destination.ts';
import { ImmediateFlush } from '../../../src/proxy/flush-scheduler.ts';
import { Outboxes } from '../../../src/proxy/udp/outbox.ts';
import { SendPool } from '../../../src/proxy/udp/send-pool.ts';
import {
  UDP_FORWARDS_DEFAULTS,
  UdpForwards,
  type UdpForwardsOptions,
} from '../../../src/proxy/udp/udp-forwards.ts';
import {
  addressMap,
  datagram,
  flowBook,
  GATEWAY,
  GATEWAY6,
  GUEST,
  GUEST6,
  RecordingDownstream,
  SIX,
  SOCKETS,
  TestClock,
  until,
} from '../recording.ts';

interface Peer {
  readonly socket: Socket;
  readonly port: number;
  readonly got: { bytes: Buffer; from: RemoteInfo }[];
}

describe('proxy/udp/udp-forwards', () => {
  let down: RecordingDownstream;
  let clock: TestClock;
  let all: UdpForwards[];
  let peers: Peer[];
  let refusal: RefusalAnswer | undefined;
  let outboxes: Outboxes;

  beforeEach(() => {
    down = new RecordingDownstream();
    clock = new TestClock();
    all = [];
    peers = [];
    refusal = undefined;
  });
  afterEach(() => {
    for (const forwards of all) forwards.close();
    for (const peer of peers) peer.socket.close();
  });

  function makeForwards(options: Partial<UdpForwardsOptions> = {}): UdpForwards {
    const posix = loadPosix();
    outboxes = new Outboxes(() => undefined);
    const flush = new ImmediateFlush(() => {
      down.flush();
      outboxes.flush();
    });
    const forwards = new UdpForwards(
      {
        ...{ downstream: down, clock, flush, outboxes, native: { posix }, sockets: SOCKETS },
        // The host's loopback is closed to guests: what the gateway forwards is not.
        addresses: addressMap({ ...SIX, host: undefined, host6: undefined }),
        destinations: { refusesServiceFlow: () => refusal },
        pool: new SendPool(),
        book: flowBook(),
        seed: 5,
      },
      { ...UDP_FORWARDS_DEFAULTS, ...options },
    );
    all.push(forwards);
    return forwards;
  }

  /** A server on the host's loopback that sends back what it gets. */
  async function makePeer(): Promise<Peer> {
    const socket = createSocket('udp4');
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
    const peer: Peer = { socket, port: socket.address().port, got: [] };
    socket.on('message', (bytes, from) => {
      peer.got.push({ bytes, from });
      socket.send(bytes, from.port, from.address);
    });
    peers.push(peer);
    return peer;
  }
  function sendTo(forwards: UdpForwards, peer: Peer, text: string, number = 0, from = 5000): void {
    const service = forwards.service(number, { address: '127.0.0.1', port: peer.port });
    service(clock.now(), datagram(from, `${GATEWAY}`, 123, Buffer.from(text)));
    queueMicrotask(() => outboxes.flush());
  }

  it("leads to the target, whose answer comes from the gateway's port", async () => {
    const peer = await makePeer();
    sendTo(makeForwards(), peer, 'hello');
    await until(() => down.flushes > 0);
    assert.deepEqual(down.datagrams, [
      { from: `${GATEWAY}:123`, to: `${GUEST}:5000`, bytes: Buffer.from('hello') },
    ]);
  });

  it('over IPv6 too, to a target of IPv4', async () => {
    const peer = await makePeer();
    const service = makeForwards().service(0, { address: '127.0.0.1', port: peer.port });
    service(0, datagram(5000, `${GATEWAY6}`, 123, Buffer.from('six'), 64, GUEST6));
    outboxes.flush();
    await until(() => down.datagrams.length > 0);
    assert.equal(down.datagrams[0]?.from, `${GATEWAY6}:123`);
  });

  it('two forwards of one port of a guest do not mix', async () => {
    const [one, other] = [await makePeer(), await makePeer()];
    const forwards = makeForwards();
    sendTo(forwards, one, 'one', 0);
    sendTo(forwards, other, 'other', 1);
    await until(() => down.datagrams.length === 2);
    assert.deepEqual([one.got.length, other.got.length, forwards.size], [1, 1, 2]);
  });

  it('nobody but the target is heard', async () => {
    const [peer, stranger] = [await makePeer(), await makePeer()];
    const forwards = makeForwards();
    sendTo(forwards, peer, 'hello');
    await until(() => down.datagrams.length === 1);
    stranger.socket.send('knock', peer.got[0]?.from.port ?? 0, '127.0.0.1');
    await until(() => forwards.counts.get('udp-forward-not-the-target') === 1);
    assert.equal(down.datagrams.length, 1);
  });

  it('a target that nobody is at: the guest hears of it', async () => {
    const peer = await makePeer();
    peers.pop();
    await new Promise<void>((resolve) => peer.socket.close(() => resolve()));
    sendTo(makeForwards(), peer, 'hello');
    await until(() => down.errors.length > 0);
    const { about, error, from } = down.errors[0] ?? {};
    assert.deepEqual(
      { about, error, from },
      { about: `${GUEST}:5000 > ${GATEWAY}:123`, error: 'port-unreachable', from: `${GATEWAY}` },
    );
  });

  it('an idle flow ends, and its guest takes it along', async () => {
    const peer = await makePeer();
    const forwards = makeForwards({ freshMs: 10, settledMs: 10 });
    sendTo(forwards, peer, '1');
    forwards.onTimeout(forwards.nextTimeout());
    assert.equal(forwards.size, 0);
    assert.equal(forwards.counts.get('udp-forward-expired'), 1);
    sendTo(forwards, peer, '2');
    const owner = datagram(5000, `${GATEWAY}`, 123, Buffer.alloc(0)).owner;
    forwards.endGuest(owner, GUEST);
    assert.equal(forwards.size, 0);
  });

  it('at its limit the flow that was used longest ago makes room', async () => {
    const peer = await makePeer();
    const forwards = makeForwards({ flows: 2 });
    for (const from of [5001, 5002, 5003]) sendTo(forwards, peer, 'x', 0, from);
    assert.equal(forwards.size, 2);
    assert.equal(forwards.counts.get('udp-forward-evicted'), 1);
  });

  it('what a flow has queued is bounded', async () => {
    const peer = await makePeer();
    const forwards = makeForwards({ inFlightBytes: 4 });
    sendTo(forwards, peer, 'four');
    sendTo(forwards, peer, 'more');
    assert.equal(forwards.counts.get('udp-forward-in-flight-limit'), 1);
  });

  it('a policy may refuse', async () => {
    const peer = await makePeer();
    refusal = 'prohibited';
    const forwards = makeForwards();
    sendTo(forwards, peer, 'hello');
    assert.equal(forwards.size, 0);
    assert.equal(forwards.counts.get('udp-forward-refused'), 1);
    assert.deepEqual(
      down.errors.map(({ error, from }) => [error, from]),
      [['prohibited', `${GATEWAY}`]],
    );
  });

  it('ends with what was forwarded', async () => {
    const peer = await makePeer();
    const forwards = makeForwards();
    sendTo(forwards, peer, 'hello');
    forwards.endAll();
    assert.equal(forwards.size, 0);
  });
});
