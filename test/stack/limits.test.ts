/** Every table and buffer has a limit and a counter: tests at each. */
import assert from 'node:assert/strict';
import { ipv4 } from '../../src/base/ip-address.ts';
import {
  arpFrame,
  echoFrame,
  GATEWAY_IP,
  GUEST_IP,
  GUEST_MAC,
  icmpErrorFrame,
  ipFrame,
  SERVER_IP,
} from '../support/frames.ts';
import { lend } from '../support/lend.ts';
import { PLAIN, RecordingWriter, Script } from '../support/script.ts';
import {
  gatewayAddress,
  guestAddress,
  makePair,
  type Pair,
  type PairOptions,
  Peer,
} from '../support/sim-pair.ts';

/** `count` connections at once, `bytes` each way. */
function crowd(
  options: PairOptions,
  count: number,
  bytes: number,
): { pair: Pair; hosts: Peer[]; guests: Peer[] } {
  const pair = makePair(options);
  const hosts: Peer[] = [];
  const guests: Peer[] = [];
  pair.gatewayUpstream.answer = () => {
    const peer = new Peer(bytes);
    hosts.push(peer);
    return peer;
  };
  for (let i = 0; i < count; i++) {
    const peer = new Peer(bytes);
    guests.push(peer);
    const id = {
      guest: gatewayAddress(),
      guestPort: 80,
      remote: guestAddress(),
      remotePort: 10_000 + i,
    };
    pair.guest.dial(pair.network.now, id, peer);
  }
  return { pair, hosts, guests };
}

const finished = (peers: readonly Peer[]): boolean =>
  peers.every((peer) => peer.closed !== undefined);

describe('stack limits', () => {
  for (const [count, bytes] of [
    [10, 50_000],
    [100, 20_000],
    [1000, 5000],
    [10_000, 1500],
  ] as const) {
    it(`${count.toLocaleString('en')} connections at once`, () => {
      const { pair, hosts, guests } = crowd({ impairments: { queue: 100_000 } }, count, bytes);
      const over = (): boolean => hosts.length === count && finished(hosts) && finished(guests);
      assert.ok(pair.network.run(over, 600_000));
      for (const peer of [...hosts, ...guests]) {
        assert.deepEqual([peer.received, peer.corruptAt, peer.closed], [bytes, -1, 'finished']);
      }
      assert.equal(pair.gateway.tcp.pool.inUse, 0);
    }).timeout(60_000);
  }

  it('one stalled connection of 100 does not slow the others', () => {
    const { pair, hosts, guests } = crowd(
      { tcp: { initialWindow: 32_768, maxWindow: 32_768 } },
      100,
      100_000,
    );
    const ok = pair.network.run(() => {
      const [first] = hosts;
      if (first !== undefined) first.takeLimit = 0;
      return (
        hosts.length === 100 &&
        finished(hosts.slice(1)) &&
        guests.filter((peer) => peer.closed !== undefined).length === 99
      );
    }, 60_000);
    assert.ok(ok);
    assert.equal(hosts[0]?.closed, undefined);
  });

  it('with a small memory budget everything still completes', () => {
    for (const memoryBudget of [1 << 20, 1 << 22]) {
      const { pair, hosts, guests } = crowd({ tcp: { memoryBudget } }, 30, 300_000);
      const ok = pair.network.run(
        () => hosts.length === 30 && finished(hosts) && finished(guests),
        3_600_000,
      );
      const reasons = [...hosts, ...guests].map((peer) => `${peer.closed}`);
      assert.ok(ok, `${[...new Set(reasons)]}`);
      assert.deepEqual([...new Set(reasons)], ['finished']);
      assert.ok(hosts.every((peer) => peer.received === 300_000 && peer.corruptAt < 0));
      assert.equal(pair.gateway.tcp.pool.inUse, 0);
    }
  });

  it('a full table of connections leaves SYNs unanswered', () => {
    const s = new Script({ tcp: { maxConnections: 2 } });
    for (const sport of [1, 2, 3]) s.in({ flags: 'S', ...PLAIN, sport });
    assert.equal(s.out().length, 2);
    assert.equal(s.drops()['tcp-connection-table-full'], 1);
    assert.equal(s.dial(), undefined);
  });

  it('one link alone may have the whole table; another takes its part from it', () => {
    const s = new Script({ tcp: { maxConnections: 100 } });
    const writer = new RecordingWriter();
    const other = s.stack.attach(s.now, 'second', writer);
    assert.ok(other);
    for (let i = 0; i < 300; i++) {
      // From many addresses: they are of one link all the same.
      const ip = { src: GUEST_IP + 10 + (i % 60), srcMac: GUEST_MAC + 4 * (i % 60) };
      s.in({ flags: 'S', ...PLAIN, sport: 1 + i, ip });
    }
    assert.equal(s.stack.tcp.connectionCount, 100);
    assert.equal(s.drops()['tcp-connection-table-full'], 200);
    for (let sport = 1; sport <= 80; sport++) {
      const ip = { srcMac: GUEST_MAC + 2 };
      lend(other, s.now, s.segment({ flags: 'S', ...PLAIN, sport, ip }));
    }
    other.onBatchEnd(s.now);
    assert.equal(writer.take().length, 50);
    assert.equal(s.stack.tcp.connectionCount, 100);
    assert.equal(s.drops()['tcp-connection-evicted'], 50);
    assert.equal(s.drops()['tcp-connection-table-full'], 230);
    const held = [...s.stack.guests].map(({ owner }) =>
      owner.holdings().find(({ budget }) => budget === 'connections'),
    );
    assert.deepEqual(
      held.map((one) => [one?.held, one?.refused, one?.evicted]),
      [
        [50, 200, 50],
        [50, 30, 0],
      ],
    );
  });

  it('memory: the largest connection of the guest with the most gives way', () => {
    const s = new Script({ tcp: { memoryBudget: 1 << 20 } });
    s.app.hold = true;
    const fill = (sport: number, from: number, feed: (frame: Uint8Array) => void): void => {
      const ip = { src: GUEST_IP + from, srcMac: GUEST_MAC + 4 * from };
      feed(s.segment({ flags: 'S', ...PLAIN, sport, ip }));
      const c = [...s.stack.tcp].find(({ id }) => id.guestPort === sport && id.guest.d === ip.src);
      s.iss = c?.iss ?? 0;
      for (let seq = 1; seq < 60_000; seq += 1000) {
        feed(s.segment({ flags: 'A', seq, ack: 1, sport, ip, data: new Uint8Array(1000) }));
      }
    };
    for (let sport = 1; sport <= 16; sport++) {
      fill(sport, 0, (frame) => {
        lend(s.reader, s.now, frame);
        s.reader.onBatchEnd(s.now);
      });
    }
    const { pool } = s.stack.tcp;
    assert.ok(pool.inUse > pool.budget / 2, `${pool.inUse}`);
    const other = s.stack.attach(s.now, 'second', new RecordingWriter());
    assert.ok(other);
    const before = s.stack.tcp.connectionCount;
    for (let sport = 1; sport <= 8; sport++) {
      fill(sport, 1, (frame) => {
        lend(other, s.now, frame);
        other.onBatchEnd(s.now);
      });
    }
    const held = [...s.stack.guests].map(
      ({ owner }) => owner.holdings().find(({ budget }) => budget === 'memory')?.held ?? 0,
    );
    assert.ok((held[1] ?? 0) >= pool.budget / 4, `${held}`);
    assert.ok((s.drops()['tcp-connection-evicted'] ?? 0) > 0);
    assert.ok(s.stack.tcp.connectionCount < before + 8);
  });

  it('what was heard of last gives way last', () => {
    const s = new Script({ tcp: { maxConnections: 4 } });
    const other = s.stack.attach(s.now, 'second', new RecordingWriter());
    assert.ok(other);
    for (const sport of [1, 2, 3, 4]) {
      s.in({ flags: 'S', ...PLAIN, sport });
      s.advance(10);
    }
    s.in({ flags: 'A', ...PLAIN, seq: 1, ack: 1, sport: 1 });
    lend(
      other,
      s.now,
      s.segment({
        flags: 'S',
        ...PLAIN,
        sport: 1,
        ip: { src: GUEST_IP + 1, srcMac: GUEST_MAC + 4 },
      }),
    );
    other.onBatchEnd(s.now);
    const left = [...s.stack.tcp].map(({ id }) => id.guestPort);
    assert.ok(left.includes(1), `${left}`);
    assert.equal(left.length, 4);
  });

  it('a full table of requests gives up the oldest: a black hole never fills it', () => {
    const s = new Script({ tcp: { maxRequests: 12 } });
    s.policy = 'keep';
    for (let sport = 1; sport <= 13; sport++) s.in({ flags: 'S', ...PLAIN, sport });
    assert.equal(s.cancelled, 1);
    assert.equal(s.stack.tcp.requestCount, 12);
    assert.equal(s.drops()['tcp-request-evicted'], 1);
    assert.equal(s.requests[0]?.accept(s.now, s.app), undefined);
    assert.ok(s.requests[12]?.accept(s.now, s.app));
  });

  it('idle connections hold no buffers', () => {
    const { pair, hosts } = crowd({}, 200, 0);
    pair.network.run(() => hosts.length === 200 && finished(hosts), 10_000);
    assert.equal(pair.gateway.tcp.pool.inUse, 0);
  });

  it('dials to a guest that never comes end in three seconds each, and leave nothing behind', () => {
    const s = new Script();
    for (let i = 0; i < 50; i++) {
      assert.ok(s.dial());
      s.advance(3000);
      assert.equal(s.app.closed, 'unreachable');
    }
    let waiting = 0;
    s.stack.stations.forEachNeighbor((n) => {
      waiting += n.waiters.size + n.users;
    });
    assert.equal(waiting, 0);
    assert.equal(s.stack.tcp.connectionCount, 0);
  });

  it('answers that a full link does not take are counted', () => {
    const s = new Script().announce();
    s.in({ flags: 'S', ...PLAIN, sport: 7 });
    s.records();
    s.in({ seq: 1, ack: 1, sport: 7 });
    s.flow.shutdown(s.now);
    s.in({ flags: 'FA', seq: 1, ack: 2, sport: 7 });
    s.writer.full = true;
    s.frames(
      s.segment({ seq: 1, ack: 5 }),
      s.segment({ flags: 'S', ...PLAIN, sport: 8 }),
      s.segment({ flags: 'FA', seq: 1, ack: 2, sport: 7 }),
      echoFrame(1, 1, new Uint8Array(4), { dst: GATEWAY_IP }),
      arpFrame(1, GUEST_MAC, GUEST_IP, GATEWAY_IP),
    );
    const id = { guest: ipv4(GUEST_IP), guestPort: 1, remote: ipv4(SERVER_IP), remotePort: 2 };
    assert.equal(s.stack.sendDatagram(s.now, id, new Uint8Array(4), 0, 4), false);
    assert.equal(s.drops()['out-link-full'], 6);
    s.app.flow?.abort(s.now);
    assert.equal(s.drops()['out-link-full'], 7);
  });

  it('TCP to a group, or with a broken header, is dropped and counted', () => {
    const s = new Script();
    s.in({ flags: 'S', ip: { dst: -1 } });
    const frame = s.segment({ flags: 'S' });
    frame[46] = 0;
    s.frames(frame);
    assert.deepEqual(s.drops(), { 'tcp-group-destination': 1, 'tcp-bad-offset': 1 });
    assert.deepEqual([...s.stack.links].length, 1);
    assert.deepEqual([...s.stack.tcpConnections], []);
  });

  it('a datagram that the guest refuses goes up with its flow, whole where the error holds all of it', () => {
    const s = new Script().announce();
    const id = { guest: ipv4(GUEST_IP), guestPort: 1, remote: ipv4(SERVER_IP), remotePort: 2 };
    s.writer.take();
    for (const len of [4, 600]) s.stack.sendDatagram(s.now, id, new Uint8Array(len), 0, len);
    for (const frame of s.writer.take()) {
      s.frames(
        icmpErrorFrame(3, 3, 0, frame.subarray(14, 562)),
        icmpErrorFrame(3, 2, 0, frame.subarray(14, 562)),
      );
    }
    assert.deepEqual(
      s.refused.map(({ key, data }) => [key[3], key[7], key[8], data?.length]),
      [
        [GUEST_IP, SERVER_IP, (1 << 16) | 2, 4],
        [GUEST_IP, SERVER_IP, (1 << 16) | 2, undefined],
      ],
    );
    assert.deepEqual(s.drops(), { 'icmp-not-for-us': 2 });
  });

  it('a quoted packet that is not ours, or cut short, changes nothing', () => {
    const s = new Script().announce();
    s.writer.take();
    const quote = (len: number, protocol: number): Uint8Array =>
      ipFrame(protocol, new Uint8Array(20)).subarray(14, 14 + len);
    const shortHeader = quote(40, 6).slice();
    shortHeader[0] = 0x44;
    s.frames(
      icmpErrorFrame(3, 1, 0, quote(10, 6)),
      icmpErrorFrame(3, 1, 0, quote(24, 6)),
      icmpErrorFrame(3, 1, 0, shortHeader),
      icmpErrorFrame(3, 1, 0, quote(40, 17)),
      icmpErrorFrame(3, 4, 600, quote(40, 6)),
    );
    assert.deepEqual(s.drops(), { 'icmp-truncated': 3, 'icmp-not-for-us': 1 });
    assert.deepEqual(s.writer.take(), []);
  });
});
