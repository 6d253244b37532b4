import assert from 'node:assert/strict';
import fc from 'fast-check';
import { MAX_FRAME_LEN, QEMU_FRAMING } from '../../src/transports/framing.ts';
import { LinkStats } from '../../src/transports/link-stats.ts';
import { StreamFrameSplitter } from '../../src/transports/stream-splitter.ts';
import { StreamWriter } from '../../src/transports/stream-writer.ts';
import { RecordedLink } from './recorder.ts';

const nowhere = new StreamWriter(
  { write: () => true },
  QEMU_FRAMING,
  new LinkStats(),
  () => undefined,
);

/** Their slabs are given back after each test. */
const made: StreamFrameSplitter[] = [];

function framed(...frames: Uint8Array[]): Buffer {
  return Buffer.concat(
    frames.flatMap((frame) => {
      const header = Buffer.alloc(4);
      header.writeUInt32BE(frame.length);
      return [header, frame];
    }),
  );
}

function setUp(): {
  splitter: StreamFrameSplitter;
  link: RecordedLink;
  stats: LinkStats;
  feed: (bytes: Uint8Array) => boolean;
} {
  const stats = new LinkStats();
  const splitter = new StreamFrameSplitter(QEMU_FRAMING, stats);
  made.push(splitter);
  const link = new RecordedLink('test', nowhere);
  const feed = (bytes: Uint8Array): boolean => {
    splitter.target.set(bytes);
    splitter.onRead(bytes.length);
    return splitter.deliver(0, link, { more: () => true }) !== 'broken';
  };
  return { splitter, link, stats, feed };
}

const received = (link: RecordedLink): string[] =>
  link.frames.map((frame) => frame.bytes.toString('hex'));
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('transports/stream-splitter', () => {
  afterEach(() => {
    for (const splitter of made.splice(0)) splitter.release();
  });

  it('finds the same frames however the stream is cut into reads', () => {
    const frames = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 12 });
    fc.assert(
      fc.property(frames, fc.array(fc.integer({ min: 1, max: 200 })), (sent, cuts) => {
        const { link, feed, stats } = setUp();
        const stream = framed(...sent);
        let at = 0;
        for (const cut of cuts) {
          assert.ok(feed(stream.subarray(at, at + cut)));
          at = Math.min(at + cut, stream.length);
        }
        assert.ok(feed(stream.subarray(at)));
        assert.deepEqual(received(link), sent.map(hex));
        assert.equal(stats.framesToHost, sent.length);
      }),
    );
  });

  it('splits at every byte boundary', () => {
    const sent = [Buffer.from('first frame'), Buffer.from('2'), Buffer.from('the third')];
    const stream = framed(...sent);
    for (let cut = 0; cut <= stream.length; cut++) {
      const { link, feed } = setUp();
      assert.ok(feed(stream.subarray(0, cut)));
      assert.ok(feed(stream.subarray(cut)));
      assert.deepEqual(received(link), sent.map(hex), `cut at ${cut}`);
    }
  });

  it('takes the longest frame, byte pieces included', () => {
    const { link, feed } = setUp();
    const frame = Buffer.alloc(MAX_FRAME_LEN, 7);
    const stream = framed(frame, frame, Buffer.from('x'));
    for (let at = 0; at < stream.length; at += 4099) feed(stream.subarray(at, at + 4099));
    assert.deepEqual(
      link.frames.map((f) => f.bytes.length),
      [MAX_FRAME_LEN, MAX_FRAME_LEN, 1],
    );
  });

  it('ends the batch once a read', () => {
    const { link, feed } = setUp();
    feed(framed(Buffer.from('a'), Buffer.from('b'), Buffer.from('c')));
    assert.equal(link.batches, 1);
  });

  for (const len of [MAX_FRAME_LEN + 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]) {
    it(`stops for good at the impossible length ${len}, after the frames before it`, () => {
      const { link, feed, stats } = setUp();
      const bad = Buffer.alloc(8);
      bad.writeUInt32BE(len);
      assert.equal(feed(Buffer.concat([framed(Buffer.from('good')), bad])), false);
      assert.equal(feed(framed(Buffer.from('late'))), false);
      assert.deepEqual(received(link), [hex(Buffer.from('good'))]);
      assert.equal(stats.drops.get('bad-frame-length'), 1);
    });
  }

  it('hands on nothing more once it is stopped from within a frame', () => {
    const { link, feed, splitter } = setUp();
    link.onFrameHook = () => splitter.stop();
    feed(framed(Buffer.from('a'), Buffer.from('b')));
    assert.equal(link.frames.length, 1);
  });
});
