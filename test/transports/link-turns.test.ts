/** A link whose frames cost much is read no further than its share of each turn, and loses nothing. */
import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { AttachedStream, streamOf } from '../../src/transports/attached-stream.ts';
import { QEMU_FRAMING } from '../../src/transports/framing.ts';
import { TurnLoop } from '../support/turn-loop.ts';
import { contextFor, RecordingAcceptor } from './recorder.ts';

const FRAME_LEN = 60;
const COST_MS = 0.3;

function framed(count: number): Buffer {
  const bytes = Buffer.alloc(count * (4 + FRAME_LEN));
  for (let i = 0; i < count; i++) {
    bytes.writeUInt32BE(FRAME_LEN, i * (4 + FRAME_LEN));
    bytes.writeUInt32BE(i, i * (4 + FRAME_LEN) + 4);
  }
  return bytes;
}

describe('transports: turns of links', () => {
  it('a chunk of a program is delivered in parts, in order, while the stream is paused', async () => {
    const loop = new TurnLoop();
    const acceptor = new RecordingAcceptor();
    const stream = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
    const context = {
      ...contextFor(acceptor),
      clock: { now: () => loop.nowMs },
      turns: loop.turns,
    };
    const attached = new AttachedStream(streamOf(stream, 'link'), QEMU_FRAMING, 'link', context);
    const link = await acceptor.link(0);
    link.onFrameHook = () => {
      loop.nowMs += COST_MS;
    };
    const count = 10_000; // more than one read of the link takes
    stream.push(framed(count));
    await new Promise(setImmediate);
    assert.ok(link.frames.length > 0 && link.frames.length < 20, `${link.frames.length} at first`);
    while (link.frames.length < count) {
      const before = link.frames.length;
      loop.poll();
      await new Promise(setImmediate);
      assert.ok(link.frames.length > before, 'it goes on');
      assert.ok(link.frames.length - before < 60, 'a few in each turn');
    }
    assert.ok(link.frames.every(({ bytes }, i) => bytes.readUInt32BE(0) === i));
    await attached.close();
  });
});
