/** A multiplexer's link is read no further than its share of each turn, and loses nothing. */
import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { slabOver } from '../../../src/base/slab.ts';
import type { ChannelRequest } from '../../../src/mux/request.ts';
import { SocketStream } from '../../../src/native/stream/socket-stream.ts';
import { MuxSocket } from '../../../src/proxy/mux/mux-socket.ts';
import { End, Sink } from '../../mux/pair.ts';
import { TurnLoop } from '../../support/turn-loop.ts';

const OPENS = 1000;
const OPEN_MS = 0.1;
/** A link that is alone has 4 ms of a turn, and one of several 0.3, where each piece may go beyond its 0.25. */
const ALONE_MS = 4.2;
const SHARED_MS = 0.65;

describe('proxy/mux: turns', () => {
  it('a thousand opens of one read are served over many turns, in order', () => serve(ALONE_MS));

  it('beside another link that works, fewer at a time', () => serve(SHARED_MS, true));

  async function serve(turnMs: number, isShared = false): Promise<void> {
    const loop = new TurnLoop();
    const other = loop.turns.join({ onTurn: () => {} });
    /** The other link has had work, a moment ago. */
    const share = (): void => {
      if (isShared && other.begin(loop.nowMs)) other.end(false);
    };
    const peer = new End({ role: 'connector' });
    peer.mux.start(0);
    const stream = new Duplex({
      read() {},
      write: (chunk: Buffer, _encoding, done) => {
        peer.mux.onBytes(0, slabOver(new Uint8Array(chunk)), 0, chunk.length);
        peer.mux.onBatchEnd(0);
        done();
      },
    });
    const requested: string[] = [];
    const handler = {
      onReady: () => {},
      onGoAway: () => {},
      onClosed: () => {},
      onRequest: (_now: number, { destination }: ChannelRequest) => {
        loop.nowMs += OPEN_MS;
        if (destination.proto === 'unix') requested.push(destination.path);
      },
    };
    const clock = { now: () => loop.nowMs, wakeAt: () => {} };
    const socket = new MuxSocket(clock, { role: 'listener' }, handler, loop.turns);
    socket.attach(new SocketStream(stream, false));
    const sent = (): Uint8Array => peer.writer.take(1 << 20);
    stream.push(sent());
    while (!peer.mux.ready) await new Promise(setImmediate);
    const paths = Array.from({ length: OPENS }, (_, i) => `/run/${i}.sock`);
    for (const path of paths) peer.mux.open(0, { proto: 'unix', path }, new Sink());
    peer.mux.flush(0);
    const { nowMs } = loop;
    share();
    stream.push(sent());
    await new Promise(setImmediate);
    assert.ok(loop.nowMs - nowMs < turnMs, `${loop.nowMs - nowMs} ms at first`);
    while (requested.length < OPENS) {
      const before = requested.length;
      const beganMs = loop.nowMs;
      share();
      loop.poll();
      assert.ok(loop.nowMs - beganMs < turnMs, `${loop.nowMs - beganMs} ms after ${before}`);
      await new Promise(setImmediate);
      assert.ok(requested.length > before, `it goes on after ${before}`);
    }
    assert.deepEqual(requested, paths);
    socket.destroy();
  }
});
