import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ipv4 } from '../../src/base/ip-address.ts';
import { emitDataHeader, emitFrame, emitWindow } from '../../src/mux/frame.ts';
import type { MuxChannel } from '../../src/mux/mux-channel.ts';
import { concat, End, open, Pair, pattern, Sink, sendAll, TARGET } from './pair.ts';

const PLAIN = { host: { extended: false }, guest: { extended: false } };
const SIZES = [
  0, 1, 4, 4095, 4096, 4097, 4098, 4099, 65_535, 65_536, 65_537, 1_048_575, 1_048_576, 1_048_577,
];

/** One frame with its body set by `emit`. */
function bytesOf(len: number, emit: (view: DataView) => unknown): Uint8Array {
  const bytes = new Uint8Array(len);
  emit(new DataView(bytes.buffer));
  return bytes;
}
const dataFrame = (id: number, payload: Uint8Array): Uint8Array =>
  concat([bytesOf(11, (view) => emitDataHeader(view, 0, id, payload.length)), payload]);

describe('multiplexer', () => {
  for (const [mode, options] of [
    ['extended', {}],
    ['plain', PLAIN],
  ] as const) {
    describe(`in the ${mode} mode`, () => {
      it('agrees on it in the handshake', () => {
        const pair = new Pair(options);
        pair.run();
        assert.deepEqual([pair.host.log, pair.guest.log], [[mode], [mode]]);
      });

      it('carries 14 x 14 sizes each way, byte for byte, and ends each channel once', () => {
        const pair = new Pair(options);
        for (const out of SIZES) {
          for (const back of SIZES) {
            const request = pattern(out, out + 7);
            const response = pattern(back, back + 3);
            const { channel, sink } = pair.open();
            sink.echoEnd = false;
            sendAll(pair.now, channel, sink, request, true);
            pair.guest.answer = (now, asked) => {
              const server = new Sink();
              server.echoEnd = false;
              pair.guest.sinks[0] = server;
              const accepted = asked.accept(now, server);
              if (accepted !== undefined) sendAll(now, accepted, server, response, true);
            };
            pair.run();
            assert.ok(Buffer.from(pair.guest.sinks[0]?.bytes ?? []).equals(request), `${out} out`);
            assert.ok(Buffer.from(sink.bytes).equals(response), `${back} back`);
            assert.deepEqual(sink.log, ['open', 'end', 'finished']);
            assert.deepEqual(pair.guest.sinks[0]?.log, ['end', 'finished']);
          }
        }
        assert.deepEqual([pair.host.mux.channelCount, pair.guest.mux.channelCount], [0, 0]);
        assert.equal(pair.host.mux.windowsPromised + pair.guest.mux.windowsPromised, 0);
        assert.equal(pair.host.mux.rxPool.inUse + pair.guest.mux.rxPool.inUse, 0);
        assert.equal(pair.host.mux.txPool.inUse + pair.guest.mux.txPool.inUse, 0);
        assert.deepEqual(pair.host.mux.stats.drops.snapshot(), {});
        assert.deepEqual(pair.guest.mux.stats.drops.snapshot(), {});
      });

      it('carries 2,000 channels at a time, opened from both ends', () => {
        const pair = new Pair(options);
        const opened: Array<{ sink: Sink; bytes: Uint8Array }> = [];
        for (let i = 0; i < 2000; i++) {
          const end = i % 2 === 0 ? pair.host : pair.guest;
          end.answer = (now, request) => {
            const sink = new Sink();
            end.sinks.push(sink);
            const channel = request.accept(now, sink);
            if (channel === undefined) return;
            // Echo.
            sink.onReadable = (at, from) => {
              const run = from.readable().slice();
              from.release(at, run.length);
              from.send(at, run, 0, run.length);
            };
          };
          const { channel, sink } = open(end, pair.now);
          const bytes = pattern(100 + i, i);
          sendAll(pair.now, channel, sink, bytes, true);
          opened.push({ sink, bytes });
        }
        pair.run();
        for (const { sink, bytes } of opened) {
          assert.ok(Buffer.from(sink.bytes).equals(bytes));
          assert.equal(sink.log.at(-1), 'finished');
        }
        assert.equal(pair.host.mux.channelCount, 0);
      });

      it('lets one stalled channel of 100 block nobody, and hold at most its window', () => {
        const pair = new Pair(options);
        const size = 300_000;
        const bytes = pattern(size);
        const sinks: Sink[] = [];
        pair.guest.answer = (now, request) => {
          const sink = new Sink();
          sink.paused = pair.guest.sinks.length === 50;
          pair.guest.sinks.push(sink);
          sink.channel = request.accept(now, sink);
        };
        for (let i = 0; i < 100; i++) {
          const { channel, sink } = pair.open();
          sendAll(pair.now, channel, sink, bytes, true);
          sinks.push(sink);
        }
        pair.run();
        const done = sinks.filter((sink) => sink.log.includes('finished')).length;
        assert.equal(done, 99);
        const stalled = pair.guest.sinks[50];
        assert.equal(stalled?.channel?.receivedLen, 65_536);
        assert.equal(pair.guest.mux.rxPool.inUse, 65_536);
        // It goes on as if nothing had been.
        if (stalled?.channel === undefined) return;
        stalled.paused = false;
        stalled.read(pair.now, stalled.channel);
        pair.run();
        assert.ok(Buffer.from(stalled.bytes).equals(bytes));
      });

      it('cuts off a peer that overruns its window, and that channel alone', () => {
        const pair = new Pair(options);
        const first = pair.open();
        const second = pair.open();
        pair.run();
        for (const sink of pair.guest.sinks) sink.paused = true;
        const flood = pattern(8192);
        for (let i = 0; i < 1000; i++)
          pair.guest.feed(pair.now, dataFrame(first.channel.id, flood));
        assert.ok(pair.guest.mux.rxPool.inUse <= 65_536);
        assert.equal(pair.guest.sinks[0]?.log.at(-1), 'window-overrun');
        assert.equal(pair.guest.mux.stats.drops.get('window-overrun'), 1);
        assert.equal(pair.guest.mux.stats.drops.get('data-after-close'), 1000 - 9);
        pair.run();
        const ending = mode === 'plain' ? 'refused' : 'window-overrun';
        assert.equal(first.sink.log.at(-1), ending);
        second.channel.send(pair.now, flood, 0, 100);
        pair.run();
        assert.equal(pair.guest.sinks[1]?.channel?.receivedLen, 100);
      });

      it('obeys the peer over any link, however small its pieces', () => {
        fc.assert(
          fc.property(
            fc.array(fc.integer({ min: 1, max: 40_000 }), { minLength: 1, maxLength: 12 }),
            fc.integer({ min: 1, max: 9000 }),
            (sizes, piece) => {
              const pair = new Pair({ ...options, limit: 70_000 });
              const sinks = sizes.map((size, i) => {
                const { channel, sink } = pair.open();
                sendAll(pair.now, channel, sink, pattern(size, i), true);
                return sink;
              });
              pair.run(piece + 20);
              sizes.forEach((size, i) => {
                const sink = pair.guest.sinks[i];
                assert.ok(Buffer.from(sink?.bytes ?? []).equals(pattern(size, i)));
                assert.equal(sinks[i]?.log.at(-1), 'finished');
              });
            },
          ),
          { numRuns: 40 },
        );
      });

      it('notifies every channel of a link that went down, once', () => {
        const pair = new Pair(options);
        const { channel, sink } = pair.open();
        pair.run();
        pair.host.mux.onLinkDown(pair.now);
        pair.host.mux.onLinkDown(pair.now);
        assert.deepEqual(sink.log, ['open', 'link-down']);
        assert.equal(pair.host.log.at(-1), 'link-down');
        channel.send(pair.now, pattern(10), 0, 10); // harmless
        assert.equal(pair.host.mux.open(pair.now, TARGET, new Sink()), undefined);
      });

      it('notifies hundreds of channels of a link that went down a part at a time, and of its end after all', () => {
        const pair = new Pair(options);
        const sinks = Array.from({ length: 300 }, () => pair.open().sink);
        pair.run();
        const ended = (): number => sinks.filter(({ log }) => log.at(-1) === 'link-down').length;
        let before = 0;
        pair.host.mux.onLinkDown(pair.now);
        for (let flushes = 0; ended() < sinks.length; flushes++) {
          assert.ok(flushes < 100, 'it goes on');
          assert.ok(ended() - before <= 64, `${ended() - before} at once`);
          assert.notEqual(pair.host.log.at(-1), 'link-down');
          before = ended();
          pair.host.settle(pair.now);
        }
        assert.equal(pair.host.log.at(-1), 'link-down');
        assert.ok(
          sinks.every(({ log }) => log.filter((line) => line === 'link-down').length === 1),
        );
      });
    });
  }

  describe('paced requests', () => {
    const OPENS = 40;
    function asked(): { pair: Pair; host: End; guest: End; sinks: readonly Sink[] } {
      const pair = new Pair({ guest: { pacedRequests: true } });
      const sinks = Array.from({ length: OPENS }, () => pair.open().sink);
      pair.run();
      return { pair, host: pair.host, guest: pair.guest, sinks };
    }
    const take = ({ guest, pair }: { guest: End; pair: Pair }, count: number): void => {
      let left = count;
      guest.mux.takeRequests(pair.now, () => --left > 0);
      guest.mux.onBatchEnd(pair.now);
    };

    it('wait until they are taken, as many as are wanted, in order; no flush is asked for meanwhile', () => {
      const all = asked();
      const { guest, pair } = all;
      assert.deepEqual(
        [guest.requests.length, guest.mux.requestsWaiting, guest.worked],
        [0, OPENS, false],
      );
      guest.mux.flush(pair.now);
      assert.equal(guest.requests.length, 0);
      take(all, 3);
      assert.deepEqual([guest.requests.length, guest.mux.requestsWaiting], [3, OPENS - 3]);
      assert.ok(!guest.worked);
      take(all, OPENS);
      assert.deepEqual([guest.requests.length, guest.mux.requestsWaiting], [OPENS, 0]);
      pair.run();
      assert.ok(all.sinks.every(({ log }) => log[0] === 'open'));
    });

    it('that the opener has given up meanwhile are nobody to answer', () => {
      const { pair, guest } = asked();
      for (const channel of [...pair.host.mux.openChannels()].slice(0, 10)) {
        channel.abort(pair.now);
      }
      pair.run();
      take({ guest, pair }, OPENS);
      assert.equal(guest.requests.length, OPENS - 10);
    });

    it('end with the link', () => {
      const { pair, guest } = asked();
      guest.mux.onLinkDown(pair.now);
      while (guest.worked) guest.settle(pair.now);
      assert.deepEqual([guest.mux.requestsWaiting, guest.requests.length], [0, 0]);
      assert.equal(guest.log.at(-1), 'link-down');
    });
  });

  describe('misbehaviour of the peer', () => {
    const NOBODY = 0x1234;
    /** A guest with one open channel (id -1), whose peer is us. */
    function victim(): { guest: End; pair: Pair; sink: Sink; alive: () => boolean } {
      const pair = new Pair(PLAIN);
      const { channel } = pair.open();
      pair.run();
      const sink = pair.guest.sinks[0] ?? new Sink();
      const alive = (): boolean => {
        const before = sink.bytes.length;
        channel.send(pair.now, pattern(5), 0, 5);
        pair.run();
        return sink.bytes.length === before + 5;
      };
      return { guest: pair.guest, pair, sink, alive };
    }

    const rows: ReadonlyArray<readonly [string, Uint8Array, string]> = [
      [
        'data for an unknown channel is consumed and counted, though it looks like frames',
        dataFrame(
          NOBODY,
          bytesOf(7, (view) => emitFrame(view, 0, 7, 2, -1)),
        ),
        'data-unknown-channel',
      ],
      [
        'an unknown command is skipped',
        bytesOf(20, (view) => emitFrame(view, 0, 20, 9, 5)),
        'unknown-command',
      ],
      [
        'a stray Close is ignored',
        bytesOf(7, (view) => emitFrame(view, 0, 7, 2, NOBODY)),
        'stray-close',
      ],
      [
        'a stray Shutdown is ignored',
        bytesOf(7, (view) => emitFrame(view, 0, 7, 3, NOBODY)),
        'stray-shutdown',
      ],
      [
        'a stray Window is ignored',
        bytesOf(15, (view) => emitWindow(view, 0, NOBODY, 9)),
        'stray-window',
      ],
      [
        'an extended command in the plain mode is skipped',
        bytesOf(11, (view) => emitFrame(view, 0, 11, 18, 0)),
        'extended-in-plain-mode',
      ],
      [
        'a dedicated Open is refused',
        bytesOf(29, (view) => {
          emitFrame(view, 0, 29, 1, NOBODY);
          view.setUint8(7, 1);
        }),
        'dedicated-open',
      ],
      [
        'an Open to an address of 5 bytes is refused',
        bytesOf(29, (view) => {
          emitFrame(view, 0, 29, 1, NOBODY);
          view.setUint8(7, 2);
          view.setUint8(8, 1);
          view.setUint16(9, 5, true);
        }),
        'bad-destination',
      ],
    ];
    for (const [name, bytes, drop] of rows) {
      it(name, () => {
        const { guest, pair, alive } = victim();
        guest.feed(pair.now, bytes);
        assert.deepEqual(guest.mux.stats.drops.snapshot(), { [drop]: 1 });
        assert.ok(alive());
        assert.equal(guest.mux.channelCount, 1);
      });
    }

    it('a header with more than is known is read over', () => {
      const { guest, pair, sink } = victim();
      const longer = new Uint8Array(20 + 3);
      const view = new DataView(longer.buffer);
      emitDataHeader(view, 0, -1, 3);
      view.setUint16(0, 20, true);
      longer.set([7, 8, 9], 20);
      guest.feed(pair.now, longer);
      assert.deepEqual([...sink.bytes], [7, 8, 9]);
    });

    it('a header shorter than its command needs ends the link', () => {
      const { guest, pair, sink } = victim();
      guest.feed(
        pair.now,
        bytesOf(10, (view) => emitFrame(view, 0, 10, 4, -1)),
      );
      assert.equal(guest.log.at(-1), 'bad-header-length');
      assert.equal(sink.log.at(-1), 'link-down');
    });

    it('a handshake of something else ends the link', () => {
      const guest = new End({ role: 'listener' });
      guest.mux.start(0);
      guest.feed(0, new TextEncoder().encode('GET / HTTP/1.1\r\n'));
      assert.deepEqual(guest.log, ['bad-handshake']);
    });

    it('no handshake at all ends the link in time', () => {
      const guest = new End({ role: 'listener' });
      guest.mux.start(0);
      guest.mux.onTimeout(9_999);
      assert.deepEqual(guest.log, []);
      assert.equal(guest.mux.nextTimeout(), 10_000);
      guest.mux.onTimeout(10_000);
      assert.deepEqual(guest.log, ['handshake-timeout']);
    });

    it('Opens beyond the limit of channels are refused; a flood of them ends the link', () => {
      const pair = new Pair({ guest: { maxChannels: 2 } });
      pair.run();
      // The host knows the limit: it does not even ask.
      const sinks = [pair.open(), pair.open()];
      assert.equal(pair.host.mux.open(0, TARGET, new Sink()), undefined);
      assert.equal(pair.host.mux.stats.drops.get('channel-limit'), 1);
      pair.run();
      assert.deepEqual(
        sinks.map(({ sink }) => sink.log),
        [['open'], ['open']],
      );
      const destination = [7, 2, 3, 1, 0, 47];
      for (let i = 0; i < 60_000 && pair.guest.log.length < 2; i++) {
        const bytes = new Uint8Array(12);
        bytes.set(destination.slice(1), 7);
        emitFrame(new DataView(bytes.buffer), 0, 12, 1, i + 10);
        pair.guest.feed(pair.now, bytes);
      }
      assert.equal(pair.guest.log.at(-1), 'refusal-flood');
    });

    it('Opens beyond the memory budget are refused', () => {
      const pair = new Pair({ guest: { memoryBudget: 3 * 65_536 } });
      pair.run();
      const sinks = [0, 1, 2, 3].map(() => pair.open().sink);
      pair.run();
      assert.deepEqual(
        sinks.map((sink) => sink.log.at(-1)),
        ['open', 'open', 'open', 'no-memory'],
      );
    });

    it('an id opened twice costs that channel, not the others', () => {
      const pair = new Pair(PLAIN);
      const { channel } = pair.open();
      pair.open();
      pair.run();
      const bytes = new Uint8Array(12);
      bytes.set([2, 3, 1, 0, 47], 7);
      emitFrame(new DataView(bytes.buffer), 0, 12, 1, channel.id);
      pair.guest.feed(pair.now, bytes);
      assert.deepEqual(
        pair.guest.sinks.map((sink) => sink.log),
        [['protocol'], []],
      );
    });
  });

  describe('ids', () => {
    it('go down from 2^32 - 1 on the connecting end, up from 0 on the other', () => {
      const pair = new Pair();
      pair.run();
      const ids = (end: End): number[] => [0, 1].map(() => open(end, 0).channel.id >>> 0);
      assert.deepEqual(ids(pair.host), [0xffffffff, 0xfffffffe]);
      assert.deepEqual(ids(pair.guest), [0, 1]);
    });

    it('are free when Close was both sent and received, by either end', () => {
      const pair = new Pair();
      const { channel } = pair.open();
      pair.run();
      channel.abort(pair.now);
      pair.host.settle(pair.now);
      assert.equal(pair.host.mux.channelCount, 1);
      pair.run();
      assert.deepEqual([pair.host.mux.channelCount, pair.guest.mux.channelCount], [0, 0]);
    });
  });

  describe('the extended mode', () => {
    it('is not used when the peer echoes our offer, or ignores it', () => {
      const end = new End({ role: 'connector' });
      end.mux.start(0);
      end.feed(0, end.writer.take(1000));
      assert.deepEqual(end.log, ['plain']);
      const mixed = new Pair({ guest: { extended: false } });
      mixed.run();
      assert.deepEqual([mixed.host.log, mixed.guest.log], [['plain'], ['plain']]);
    });

    it('refuses with a reason and words', () => {
      const pair = new Pair();
      pair.guest.answer = (now, request) =>
        request.refuse(now, 'unreachable', 'no route to 10.0.0.9');
      const { sink } = pair.open();
      pair.run();
      assert.deepEqual(sink.log, ['unreachable: no route to 10.0.0.9']);
      assert.deepEqual([pair.host.mux.channelCount, pair.guest.mux.channelCount], [0, 0]);
    });

    it('distinguishes a reset from an end', () => {
      const pair = new Pair();
      const { channel, sink } = pair.open();
      pair.run();
      channel.send(pair.now, pattern(10), 0, 10);
      channel.abort(pair.now);
      pair.run();
      assert.deepEqual(sink.log, ['open']);
      assert.deepEqual(pair.guest.sinks[0]?.log, ['reset-by-peer']);
    });

    it('sends the client that is served', () => {
      const pair = new Pair();
      pair.run();
      const client = { address: ipv4(0x0a000001), port: 4711 };
      pair.host.mux.open(
        0,
        { proto: 'tcp', address: ipv4(0x7f000001), port: 80 },
        new Sink(),
        client,
      );
      pair.run();
      assert.deepEqual(pair.guest.requests[0]?.client, client);
    });

    it('measures the round-trip time while much arrives, and not for questions and answers', () => {
      const pair = new Pair();
      pair.run();
      const { mux } = pair.guest;
      mux.onTimeout(pair.now);
      pair.run();
      const { channel } = pair.open();
      const send = (len: number): void => {
        channel.send(pair.now, pattern(len), 0, len);
        pair.host.settle(pair.now);
        pair.run();
      };
      for (let n = 0; n < 20; n++) {
        pair.now += 100;
        send(1_000);
      }
      assert.ok(mux.nextTimeout() > pair.now + 1_000);
      send(20_000);
      assert.ok(mux.nextTimeout() <= pair.now + 250);
    });

    it('measures the round-trip time, and gives up a silent peer', () => {
      const pair = new Pair();
      pair.run();
      assert.ok(pair.host.mux.nextTimeout() <= pair.now);
      pair.host.mux.onTimeout(pair.now);
      const ping = pair.host.writer.take(100);
      pair.now += 40;
      pair.guest.feed(pair.now, ping);
      pair.run();
      assert.ok(Math.abs(pair.host.mux.rttMs - 40) < 1);
      const { sink } = pair.open();
      pair.run();
      for (const after of [15_100, 30_200, 45_300]) pair.host.mux.onTimeout(pair.now + after);
      assert.equal(pair.host.log.at(-1), 'ping-timeout');
      assert.deepEqual(sink.log, ['open', 'link-down']);
    });

    it('drains: no new channels either way, then the end', () => {
      const pair = new Pair();
      const { channel, sink } = pair.open();
      pair.run();
      pair.guest.mux.drain();
      pair.run();
      assert.deepEqual(pair.host.log, ['extended', 'go-away']);
      assert.equal(pair.host.mux.open(pair.now, TARGET, new Sink()), undefined);
      assert.equal(pair.guest.mux.open(pair.now, TARGET, new Sink()), undefined);
      channel.shutdown(pair.now);
      pair.run();
      assert.equal(sink.log.at(-1), 'finished');
      assert.deepEqual(pair.guest.log, ['extended', 'drained']);
    });

    it('refuses an Open that crosses the GoAway', () => {
      const pair = new Pair();
      pair.run();
      const { sink } = pair.open();
      pair.guest.mux.drain();
      pair.run();
      assert.deepEqual(sink.log, ['going-away']);
    });

    it('grows the window of a fast reader, within the maximum and the budget', () => {
      const bytes = pattern(8 << 20);
      for (const [budget, most] of [
        [64 << 20, 1 << 20],
        [256 << 10, 128 << 10],
      ] as const) {
        const pair = new Pair({ guest: { memoryBudget: budget } });
        const { channel, sink } = pair.open();
        sendAll(pair.now, channel, sink, bytes, true);
        let window = 0;
        while (pair.step()) {
          window = Math.max(window, pair.guest.sinks[0]?.channel?.describe().window ?? 0);
        }
        assert.equal(window, most);
        assert.equal(sink.log.at(-1), 'finished');
      }
    });

    it('cancels a request whose opener gave up', () => {
      const pair = new Pair();
      let cancelled = 0;
      pair.guest.answer = (_now, request) => {
        request.onCancelled = () => cancelled++;
      };
      const { channel } = pair.open();
      pair.run();
      channel.abort(pair.now);
      pair.run();
      assert.equal(cancelled, 1);
      assert.equal(pair.guest.requests[0]?.accept(pair.now, new Sink()), undefined);
      assert.deepEqual([pair.host.mux.channelCount, pair.guest.mux.channelCount], [0, 0]);
    });
  });

  describe('scheduling', () => {
    it('gives channels with a backlog equal turns', () => {
      const pair = new Pair({ limit: 100_000 });
      const channels: MuxChannel[] = [];
      for (let i = 0; i < 4; i++) {
        const { channel, sink } = pair.open();
        sendAll(pair.now, channel, sink, pattern(2 << 20), true);
        channels.push(channel);
      }
      for (let i = 0; i < 30; i++) pair.step();
      const sent = channels.map((channel) => channel.describe().bytesSent);
      assert.ok(Math.max(...sent) - Math.min(...sent) <= 3 * 65_536, sent.join());
      assert.ok(Math.min(...sent) > 0);
    });

    it('lets a message pass a backlog', () => {
      const pair = new Pair({ limit: 80_000 });
      for (let i = 0; i < 10; i++) {
        const { channel, sink } = pair.open();
        sendAll(pair.now, channel, sink, pattern(1 << 20), true);
      }
      const quick = pair.open();
      for (let i = 0; i < 10; i++) pair.step();
      quick.channel.send(pair.now, pattern(5), 0, 5);
      pair.step();
      pair.step();
      assert.equal(pair.guest.sinks[10]?.bytes.length, 5);
    });

    it('flushes once a batch', () => {
      const pair = new Pair();
      pair.run();
      const { host } = pair;
      const before = host.writer.flushes;
      for (let i = 0; i < 50; i++) pair.open().channel.send(pair.now, pattern(10), 0, 10);
      host.settle(pair.now);
      assert.equal(host.writer.flushes, before + 1);
    });
  });

  describe('an extended peer that stands still', () => {
    it('is known by an Open and nothing else for ten seconds; the link has its own time, and goes on', () => {
      const pair = new Pair();
      pair.run();
      const { mux } = pair.host;
      const opened = pair.now;
      const { sink } = pair.open();
      mux.flush(pair.now);
      mux.onTimeout(opened + 9_999);
      assert.deepEqual(sink.log, []);
      assert.equal(mux.nextTimeout(), opened + 10_000);
      mux.onTimeout(opened + 10_000);
      assert.deepEqual(sink.log, ['timed-out']);
      assert.equal(mux.stats.drops.get('open-unanswered'), 1);
      assert.ok(mux.ready && mux.unresponsive);
      pair.run();
      const next = pair.open();
      pair.run();
      assert.deepEqual(next.sink.log, ['open']);
      assert.ok(!mux.unresponsive);
      assert.equal(pair.guest.mux.channelCount, 1);
    });

    it('is not one that dials for long: it answers a Ping, and the Open waits on', () => {
      const pair = new Pair();
      pair.guest.answer = () => {};
      pair.run();
      const { mux } = pair.host;
      const { sink } = pair.open();
      pair.run();
      for (let ms = 250; ms <= 30_000; ms += 250) {
        pair.now += 250;
        if (mux.nextTimeout() <= pair.now) mux.onTimeout(pair.now);
        pair.run();
      }
      assert.deepEqual(sink.log, []);
      assert.ok(mux.ready && !mux.unresponsive);
    });
  });

  describe('a plain peer that stands still', () => {
    const standing = (): Pair => {
      const pair = new Pair(PLAIN);
      pair.guest.answer = () => {}; // VPNKit's forwarder takes a channel at once, whatever comes of its dial
      pair.run();
      return pair;
    };

    it('is known by an Open without an answer for ten seconds, and goes on when it says something', () => {
      const pair = standing();
      const { sink } = pair.open();
      pair.run();
      pair.host.mux.onTimeout(pair.now + 9_000);
      assert.equal(pair.host.mux.unresponsive, false);
      pair.host.mux.onTimeout(pair.now + 10_000);
      assert.deepEqual(sink.log, ['timed-out']);
      assert.equal(pair.host.mux.unresponsive, true);
      assert.equal(pair.host.mux.stats.drops.get('open-unanswered'), 1);
      assert.equal(pair.host.mux.nextTimeout(), Number.POSITIVE_INFINITY);
      pair.guest.answer = (now, request) => {
        request.accept(now, new Sink());
      };
      const next = pair.open();
      pair.run();
      assert.deepEqual(next.sink.log, ['open']);
      assert.equal(pair.host.mux.unresponsive, false);
      assert.equal(pair.host.mux.nextTimeout(), Number.POSITIVE_INFINITY);
    });

    it('before the handshake has its time from the handshake on', () => {
      const pair = new Pair(PLAIN);
      pair.guest.answer = () => {};
      const { sink } = pair.open();
      pair.now = 8_000;
      pair.run();
      pair.host.mux.onTimeout(pair.now + 9_000);
      assert.deepEqual(sink.log, []);
      pair.host.mux.onTimeout(pair.now + 10_000);
      assert.deepEqual(sink.log, ['timed-out']);
    });
  });

  describe('a plain peer that closes', () => {
    it('before the first byte has refused', () => {
      const pair = new Pair(PLAIN);
      pair.guest.answer = (now, request) => request.refuse(now, 'refused');
      const { sink } = pair.open();
      pair.run();
      assert.deepEqual(sink.log, ['refused']);
    });

    it('after bytes: they are read first; what we send then resets', () => {
      const pair = new Pair(PLAIN);
      const { channel, sink } = pair.open();
      sink.paused = true;
      sink.echoEnd = false;
      pair.run();
      const server = pair.guest.sinks[0]?.channel;
      server?.send(pair.now, pattern(10), 0, 10);
      pair.run();
      server?.abort(pair.now);
      pair.run();
      assert.deepEqual(sink.log, ['open', 'end']);
      sink.read(pair.now, channel);
      assert.equal(sink.bytes.length, 10);
      channel.send(pair.now, pattern(1), 0, 1);
      pair.run();
      assert.deepEqual(sink.log, ['open', 'end', 'reset-by-peer']);
    });
  });
});
