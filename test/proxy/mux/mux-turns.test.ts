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
const TURN_MS = 5;

describe('proxy/mux: turns', () => {
  it('a thousand opens of one read are served over many turns, in order', async () => {
    const loop = new TurnLoop();
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
    stream.push(sent());
    await new Promise(setImmediate);
    assert.ok(loop.nowMs - nowMs < TURN_MS, `${loop.nowMs - nowMs} ms at first`);
    while (requested.length < OPENS) {
      const before = requested.length;
      const beganMs = loop.nowMs;
      loop.poll();
      assert.ok(loop.nowMs - beganMs < TURN_MS, `${loop.nowMs - beganMs} ms after ${before}`);
      await new Promise(setImmediate);
      assert.ok(requested.length > before, `it goes on after ${before}`);
    }
    assert.deepEqual(requested, paths);
    socket.destroy();
  });
});
