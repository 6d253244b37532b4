import assert from 'node:assert/strict';
import type { ByteSink } from '../../../src/native/stream/slab-queue.ts';
import { MUX_SLAB_LEN, MUX_SLABS, MuxSlabWriter } from '../../../src/proxy/mux/mux-slab-writer.ts';

const FRAME = 5000;

/** Takes everything at once while `quick`; else one write at a time, on request. */
class Sink implements ByteSink {
  quick = false;
  rooms = 0;
  readonly taken: Buffer[] = [];
  private waiting: Uint8Array | undefined = undefined;

  write(slab: Uint8Array, off: number, len: number): boolean {
    const bytes = slab.subarray(off, off + len);
    assert.equal(this.waiting, undefined, 'one write at a time');
    if (this.quick) this.taken.push(Buffer.from(bytes));
    else this.waiting = bytes;
    return this.quick;
  }

  /** @returns false when there is no write under way */
  drain(writer: MuxSlabWriter): boolean {
    const { waiting } = this;
    if (waiting === undefined) return false;
    this.taken.push(Buffer.from(waiting)); // copied only now: it must not have changed
    this.waiting = undefined;
    writer.onWritten();
    return true;
  }
}

function setUp(): { sink: Sink; writer: MuxSlabWriter } {
  const sink = new Sink();
  const writer = new MuxSlabWriter(sink, () => {
    sink.rooms++;
  });
  return { sink, writer };
}

/** @returns false when the writer has no room */
function put(writer: MuxSlabWriter, fill: number): boolean {
  const at = writer.reserve(FRAME);
  if (at < 0) return false;
  writer.slab.bytes.fill(fill, at, at + FRAME);
  writer.commit(FRAME);
  return true;
}

const frames = (count: number): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, i) => Buffer.alloc(FRAME, i)));

describe('proxy/mux/mux-slab-writer', () => {
  it('gathers what is flushed during a write into the next', () => {
    const { sink, writer } = setUp();
    for (let i = 0; i < 4; i++) {
      put(writer, i);
      writer.flush();
    }
    assert.equal(writer.drained, false);
    while (sink.drain(writer));
    assert.deepEqual(
      sink.taken.map(({ length }) => length),
      [FRAME, 3 * FRAME],
    );
    assert.ok(Buffer.concat(sink.taken).equals(frames(4)));
    assert.equal(writer.drained, true);
  });

  it('says once that there is room, after all slabs were in use', () => {
    const { sink, writer } = setUp();
    let count = 0;
    while (put(writer, count)) count++;
    assert.equal(count, MUX_SLABS * Math.floor(MUX_SLAB_LEN / FRAME));
    assert.equal(sink.rooms, 0);
    while (sink.drain(writer));
    writer.flush();
    while (sink.drain(writer));
    assert.equal(sink.rooms, 1);
    assert.ok(Buffer.concat(sink.taken).equals(frames(count)));
  });

  it('over a link that takes all at once, fills the same slab again and again', () => {
    const { sink, writer } = setUp();
    sink.quick = true;
    const first = writer.slab;
    for (let i = 0; i < 200; i++) {
      assert.ok(put(writer, i));
      assert.equal(writer.slab, first);
    }
    writer.flush();
    assert.ok(Buffer.concat(sink.taken).equals(frames(200)));
  });

  it('takes nothing more once closed', () => {
    const { sink, writer } = setUp();
    put(writer, 0);
    writer.flush();
    writer.close();
    assert.equal(writer.reserve(1), -1);
    sink.drain(writer);
    assert.equal(sink.rooms, 0);
  });
});
