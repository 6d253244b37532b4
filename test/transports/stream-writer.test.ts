import assert from 'node:assert/strict';
import fc from 'fast-check';
import { QEMU_FRAMING } from '../../src/transports/framing.ts';
import { LinkStats } from '../../src/transports/link-stats.ts';
import { StreamWriter, TX_SLAB_LEN, TX_SLABS } from '../../src/transports/stream-writer.ts';

/** Takes one write at a time, as a socket whose peer reads on request. */
class SlowSink {
  readonly taken: Buffer[] = [];
  writes = 0;
  done: () => void = () => {};
  /** Takes all at once, as a socket with room does. */
  quick = false;
  private bytes: Uint8Array | undefined = undefined;

  write(slab: Uint8Array, off: number, len: number): boolean {
    const bytes = slab.subarray(off, off + len);
    assert.equal(this.bytes, undefined, 'one write at a time');
    this.writes++;
    if (this.quick) this.taken.push(Buffer.from(bytes));
    else this.bytes = bytes;
    return this.quick;
  }

  /** Complete the write under way. @returns false when there is none */
  drain(): boolean {
    const { bytes } = this;
    if (bytes === undefined) return false;
    this.bytes = undefined;
    this.taken.push(Buffer.from(bytes)); // copied only now: it must not have changed
    this.done();
    return true;
  }

  get stream(): Buffer {
    return Buffer.concat(this.taken);
  }
}

/** Their slabs are given back after each test. */
const made: StreamWriter[] = [];

function setUp(): { sink: SlowSink; writer: StreamWriter; stats: LinkStats; rooms: () => number } {
  const sink = new SlowSink();
  const stats = new LinkStats();
  let rooms = 0;
  const writer = new StreamWriter(sink, QEMU_FRAMING, stats, () => {
    rooms++;
  });
  made.push(writer);
  sink.done = (): void => writer.onWritten();
  return { sink, writer, stats, rooms: () => rooms };
}

function put(writer: StreamWriter, len: number, fill: number): boolean {
  const at = writer.reserve(len);
  if (at < 0) return false;
  writer.slab.bytes.fill(fill, at, at + len);
  writer.commit(len);
  return true;
}

const frame = (len: number, fill: number): Buffer => {
  const bytes = Buffer.alloc(4 + len, fill);
  bytes.writeUInt32BE(len);
  return bytes;
};

describe('transports/stream-writer', () => {
  afterEach(() => {
    for (const writer of made.splice(0)) writer.release();
  });

  it('sends a batch with one write', () => {
    const { sink, writer } = setUp();
    put(writer, 3, 1);
    put(writer, 2, 2);
    assert.equal(sink.writes, 0);
    writer.flush();
    assert.equal(sink.writes, 1);
    sink.drain();
    assert.deepEqual(sink.stream, Buffer.concat([frame(3, 1), frame(2, 2)]));
  });

  it('gathers what is flushed during a write into the next one', () => {
    const { sink, writer } = setUp();
    for (let i = 0; i < 10; i++) {
      put(writer, 5, i);
      writer.flush();
    }
    while (sink.drain());
    assert.equal(sink.writes, 2);
  });

  it('abandons a reservation, and keeps less than was reserved', () => {
    const { sink, writer } = setUp();
    writer.reserve(1000);
    writer.commit(0);
    const at = writer.reserve(1000);
    writer.slab.bytes.fill(9, at, at + 2);
    writer.commit(2);
    writer.flush();
    sink.drain();
    assert.deepEqual(sink.stream, frame(2, 9));
  });

  it('writes nothing for an empty flush', () => {
    const { sink, writer } = setUp();
    writer.flush();
    assert.equal(sink.writes, 0);
  });

  it('refuses when all slabs are in use, and notifies when there is room again, once', () => {
    const { sink, writer, stats, rooms } = setUp();
    let frames = 0;
    while (put(writer, 60_000, frames & 255)) frames++;
    assert.equal(frames, TX_SLABS * Math.floor(TX_SLAB_LEN / 60_004));
    assert.equal(put(writer, 60_000, 0), false);
    assert.equal(stats.stalls, 2);
    writer.flush();
    assert.equal(rooms(), 0);
    sink.drain();
    assert.equal(rooms(), 1);
    assert.ok(put(writer, 60_000, frames & 255));
    while (sink.drain());
    assert.equal(rooms(), 1);
    const expected = Array.from({ length: frames + 1 }, (_, i) => frame(60_000, i & 255));
    assert.ok(sink.stream.equals(Buffer.concat(expected)));
  });

  it('with a guest that keeps up, fills the same slab again and again', () => {
    const { sink, writer, rooms } = setUp();
    sink.quick = true;
    const first = writer.slab;
    for (let i = 0; i < 100; i++) {
      put(writer, 5000, i);
      writer.flush();
    }
    assert.equal(sink.writes, 100);
    assert.equal(writer.slab, first);
    for (let i = 0; i < 100; i++) put(writer, 60_000, i); // no flush: full slabs go by themselves
    writer.flush();
    assert.equal(rooms(), 0);
    const frames = [...Array(100).keys()].map((i) => frame(5000, i));
    frames.push(...[...Array(100).keys()].map((i) => frame(60_000, i)));
    assert.ok(sink.stream.equals(Buffer.concat(frames)));
  });

  it('keeps order and content for any mix of frames, flushes and completions', () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ len: fc.integer({ min: 1, max: 65_000 }) }) },
      { weight: 2, arbitrary: fc.constant('flush' as const) },
      { weight: 2, arbitrary: fc.constant('drain' as const) },
      { weight: 1, arbitrary: fc.constant('quick' as const) },
      { weight: 1, arbitrary: fc.constant('slow' as const) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const { sink, writer } = setUp();
        const expected: Buffer[] = [];
        steps.forEach((what, i) => {
          if (what === 'flush') writer.flush();
          else if (what === 'drain') sink.drain();
          else if (what === 'quick' || what === 'slow') sink.quick = what === 'quick';
          else if (put(writer, what.len, i)) expected.push(frame(what.len, i));
        });
        writer.flush();
        while (sink.drain());
        assert.ok(sink.stream.equals(Buffer.concat(expected)));
      }),
      { numRuns: 50 },
    );
  });

  it('writes nothing after close', () => {
    const { sink, writer } = setUp();
    put(writer, 3, 1);
    writer.close();
    writer.flush();
    assert.equal(sink.writes, 0);
    assert.equal(writer.reserve(10), -1);
  });

  it('is crowded when two slabs wait for a guest that does not drain, and takes more all the same', () => {
    const { sink, writer } = setUp();
    const fillSlab = (): void => {
      for (let i = 0; i < 4; i++) assert.ok(put(writer, TX_SLAB_LEN / 4 - 4, i));
    };
    fillSlab();
    writer.flush();
    fillSlab();
    assert.equal(writer.isCrowded, false, 'one is being written, one is being filled');
    fillSlab();
    assert.ok(writer.isCrowded);
    assert.ok(put(writer, 60, 1));
    while (sink.drain()) {}
    assert.equal(writer.isCrowded, false);
  });
});
