import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { IpAddress, ipv4 } from '../../src/base/ip-address.ts';
import type { IpEndpoint } from '../../src/mux/destination.ts';
import { DatagramChannel, makeDatagramScratch } from '../../src/mux/udp-encapsulation.ts';
import { concat, open, Pair, pattern, Sink, TARGET } from './pair.ts';

const V4: IpEndpoint = { address: ipv4(0x0a000001), port: 4711 };
const V6: IpEndpoint = { address: new IpAddress(0x20010db8, 0, 0, 1), port: 53 };
const scratch = makeDatagramScratch();

interface Got {
  readonly peer: IpEndpoint | undefined;
  readonly bytes: Uint8Array;
}

class Receiver extends Sink {
  readonly got: Got[] = [];
  sound = true;
  datagrams: DatagramChannel | undefined = undefined;

  override onReadable(now: number): void {
    this.sound =
      this.datagrams?.receive(now, ({ peer, bytes, off, len }) => {
        this.got.push({ peer, bytes: bytes.slice(off, off + len) });
      }) ?? false;
  }
}

function flow(): {
  pair: Pair;
  sender: DatagramChannel;
  receiver: Receiver;
  raw: (b: Uint8Array) => void;
} {
  const pair = new Pair();
  const receiver = new Receiver();
  pair.guest.answer = (now, request) => {
    const channel = request.accept(now, receiver);
    if (channel !== undefined) receiver.datagrams = new DatagramChannel(channel, scratch);
  };
  const { channel } = open(pair.host, 0);
  pair.run();
  return {
    pair,
    sender: new DatagramChannel(channel, scratch),
    receiver,
    raw: (bytes) => {
      channel.send(pair.now, bytes, 0, bytes.length);
      pair.run();
    },
  };
}

describe('UDP inside a channel', () => {
  it("reads Go's dialect as captured: three pieces, no address", () => {
    const { receiver, raw } = flow();
    for (const line of readFileSync('fixtures/mux/vpnkit-forwarder.txt', 'utf8').split('\n')) {
      if (!line.startsWith('udp')) continue;
      raw(new Uint8Array(Buffer.from(line.slice(4).replaceAll(' ', ''), 'hex').subarray(11)));
    }
    assert.deepEqual(
      receiver.got.map(({ peer, bytes }) => [peer, Buffer.from(bytes).toString()]),
      [[undefined, 'ping']],
    );
  });

  it("writes Go's dialect", () => {
    const { pair, sender, receiver } = flow();
    assert.ok(sender.send(pair.now, undefined, pattern(4), 0, 4));
    pair.run();
    assert.deepEqual(receiver.got, [{ peer: undefined, bytes: pattern(4) }]);
  });

  for (const [name, peer] of [
    ['an IPv4 client (4 bytes)', V4],
    ['an IPv6 client', V6],
  ] as const) {
    it(`carries ${name} in each datagram: OCaml's dialect`, () => {
      const { pair, sender, receiver } = flow();
      sender.send(pair.now, peer, pattern(10), 0, 10);
      sender.send(pair.now, peer, pattern(0), 0, 0);
      pair.run();
      assert.deepEqual(receiver.got, [
        { peer, bytes: pattern(10) },
        { peer, bytes: pattern(0) },
      ]);
    });
  }

  it('takes v4-mapped addresses, and skips zones', () => {
    const { receiver, raw } = flow();
    raw(
      new Uint8Array(
        Buffer.from(
          `1f001000${'00000000000000000000ffff0a000001'}67120300${'657468'}0200${'6869'}`,
          'hex',
        ),
      ),
    );
    assert.deepEqual(receiver.got, [{ peer: V4, bytes: new TextEncoder().encode('hi') }]);
  });

  it('carries 65,507 bytes, and drops what cannot be a datagram', () => {
    const { pair, sender, receiver } = flow();
    const big = pattern(65_507);
    assert.ok(sender.send(pair.now, V6, big, 0, big.length));
    pair.run();
    assert.deepEqual(receiver.got, [{ peer: V6, bytes: big }]);
    assert.equal(sender.send(pair.now, V6, pattern(65_520), 0, 65_520), false);
    assert.equal(sender.dropped, 1);
  });

  for (const mode of ['extended', 'plain'] as const) {
    it(`carries four datagrams of 65,507 bytes back to back in the ${mode} mode, and keeps no more`, () => {
      const plain = { extended: false };
      const pair = new Pair(mode === 'plain' ? { host: plain, guest: plain } : {});
      const receiver = new Receiver();
      pair.guest.answer = (now, request) => {
        const channel = request.accept(now, receiver);
        if (channel !== undefined) receiver.datagrams = new DatagramChannel(channel, scratch);
      };
      pair.run();
      const sink = new Sink();
      const channel = pair.host.mux.open(pair.now, TARGET, sink);
      assert.ok(channel !== undefined);
      const sender = new DatagramChannel(channel, scratch);
      sink.onRoom = (now) => sender.onWritable(now);
      const sent = [1, 2, 3, 4, 5, 6]
        .map((seed) => pattern(65_507, seed))
        .filter((bytes) => sender.send(pair.now, undefined, bytes, 0, bytes.length));
      // One on its way where the window is open already, one in the channel, three that wait.
      assert.equal(sent.length, mode === 'plain' ? 4 : 5);
      assert.equal(sender.dropped, 6 - sent.length);
      pair.run();
      assert.deepEqual(
        receiver.got.map(({ bytes }) => bytes),
        sent,
      );
    });
  }

  it('skips a datagram whose lengths disagree, and reads on', () => {
    const { receiver, raw } = flow();
    raw(Uint8Array.of(14, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 2, 3, 4));
    raw(Uint8Array.of(12, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1, 2));
    raw(Uint8Array.of(11, 0, 0, 0, 0, 0, 0, 0, 1, 0, 7));
    assert.deepEqual(receiver.got, [{ peer: undefined, bytes: Uint8Array.of(7) }]);
    assert.equal(receiver.datagrams?.malformed, 2);
  });

  it('says when the stream is out of sync', () => {
    const { receiver, raw } = flow();
    raw(Uint8Array.of(3, 0, 0));
    assert.equal(receiver.sound, false);
  });

  it('does not mind how the stream is cut', () => {
    const lens = fc.array(fc.nat(300), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(lens, fc.integer({ min: 1, max: 40 }), (sizes, piece) => {
        const { pair, sender, receiver } = flow();
        const peers = [undefined, V4, V6];
        for (const [i, len] of sizes.entries()) {
          sender.send(pair.now, peers[i % 3], pattern(len, i), 0, len);
        }
        pair.run(piece);
        assert.deepEqual(
          concat(receiver.got.map(({ bytes }) => bytes)),
          concat(sizes.map(pattern)),
        );
        assert.deepEqual(
          receiver.got.map(({ peer }) => peer),
          sizes.map((_, i) => peers[i % 3]),
        );
      }),
      { numRuns: 60 },
    );
  });
});
