import assert from 'node:assert/strict';
import { runInNewContext } from 'node:vm';
import { type Log, SILENT } from '../../src/base/log.ts';
import type { Frame } from '../../src/stack/frame.ts';
import type { FrameReader, FrameWriter } from '../../src/stack/link.ts';
import { FrameLink, type PlainFrameWriter } from '../../src/transports/frame-link.ts';
import { ANY_ADDRESS } from '../support/any-address.ts';
import { ownTurns } from '../support/turns.ts';

const LOOKALIKE: unknown = Object.create(Uint8Array.prototype);

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A segment with one link. */
class Segment implements FrameReader {
  readonly frames: string[] = [];
  batches = 0;
  writable = 0;
  isDown = false;
  writer: FrameWriter | undefined;
  onEach: (() => void) | undefined;

  attach(_now: number, _name: string, writer: FrameWriter): FrameReader {
    this.writer = writer;
    return this;
  }

  onFrame(_now: number, { slab, off, len }: Frame): void {
    this.frames.push(`${slab.bytes[off]}:${len}`);
    this.onEach?.();
  }

  onBatchEnd(): void {
    this.batches++;
  }

  onWritable(): void {
    this.writable++;
  }

  onLinkDown(): void {
    this.isDown = true;
  }

  /** Send a frame of `len` bytes. @returns whether there was room */
  send(len: number): boolean {
    assert.ok(this.writer !== undefined);
    const off = this.writer.reserve(len);
    if (off < 0) return false;
    this.writer.slab.bytes.fill(len & 0xff, off, off + len);
    this.writer.commit(len);
    this.writer.flush();
    return true;
  }
}

describe('transports/frame-link', () => {
  const make = (writer: PlainFrameWriter, log: Log = SILENT) => {
    const acceptor = new Segment();
    const link = new FrameLink(writer, 'link', {
      acceptor,
      clock: { now: () => 0 },
      log,
      turns: ownTurns({ now: () => 0 }),
      mtu: 1500,
      socketMode: 0o600,
      vhostMemory: 'sealed',
      addresses: ANY_ADDRESS,
      wsOrigins: [],
    });
    return { link, segment: acceptor };
  };
  const frame = (first: number, len = 60): Uint8Array => new Uint8Array(len).fill(first);

  it('frames of one turn are one batch, each copied', async () => {
    const { link, segment } = make({ write: () => {} });
    const bytes = frame(1);
    assert.ok(link.onFrame(bytes));
    bytes.fill(9);
    assert.ok(link.onFrame(frame(2, 65_560)));
    assert.deepEqual(segment.frames, []);
    await turn();
    assert.deepEqual(segment.frames, ['1:60', '2:65560']);
    assert.equal(segment.batches, 1);
    await link.close();
  });

  it('frames handed over while others are taken come after them', async () => {
    const { link, segment } = make({ write: () => {} });
    let left = 3;
    segment.onEach = (): void => {
      if (left-- > 0) link.onFrame(frame(10 + left));
    };
    link.onFrame(frame(1));
    link.onFrame(frame(2));
    while (segment.frames.length < 5) await turn();
    assert.deepEqual(segment.frames, ['1:60', '2:60', '12:60', '11:60', '10:60']);
    await link.close();
  });

  it('what is no frame is refused, and counted', async () => {
    const { link } = make({ write: () => {} });
    assert.equal(link.onFrame(frame(1, 13)), false);
    assert.equal(link.onFrame(frame(1, 65_561)), false);
    assert.equal(link.stats.drops.get('bad-frame-length'), 2);
    await link.close();
    assert.equal(link.onFrame(frame(1)), false);
  });

  for (const [what, value] of [
    ['an ArrayBuffer', new ArrayBuffer(60)],
    ['a DataView', new DataView(new ArrayBuffer(60))],
    ['an array of words', new Uint16Array(60)],
    ['a length that is no number', { length: Number.NaN }],
    ['a length alone', { length: 60, byteLength: 60 }],
    ['a list of numbers', new Array(60).fill(0)],
    ['what only looks like one', LOOKALIKE],
    ['a text', 'x'.repeat(60)],
    ['null', null],
    ['nothing', undefined],
  ] as const) {
    it(`${what} is refused, and counted, and the link goes on`, async () => {
      const { link, segment } = make({ write: () => {} });
      assert.ok(link.onFrame(frame(1)));
      // @ts-expect-error programs without types pass anything
      assert.equal(link.onFrame(value), false);
      assert.equal(link.stats.drops.get('not-bytes'), 1);
      assert.ok(link.onFrame(frame(2)));
      await turn();
      assert.deepEqual(segment.frames, ['1:60', '2:60']);
      await link.close();
    });
  }

  it('bytes of another realm, shared ones and other views of bytes are frames; detached ones are not', async () => {
    const { link, segment } = make({ write: () => {} });
    const shared = new Uint8Array(new SharedArrayBuffer(60)).fill(2);
    const foreign: unknown = runInNewContext('new Uint8Array(60).fill(1)');
    assert.ok(ArrayBuffer.isView(foreign) && !(foreign instanceof Uint8Array));
    // @ts-expect-error it is one of another realm
    assert.ok(link.onFrame(foreign));
    assert.ok(link.onFrame(shared));
    // @ts-expect-error as good as any
    assert.ok(link.onFrame(new Uint8ClampedArray(60).fill(3)));
    const buffer = new ArrayBuffer(60);
    const detached = new Uint8Array(buffer);
    structuredClone(undefined, { transfer: [buffer] });
    assert.equal(link.onFrame(detached), false);
    assert.ok(link.onFrame(frame(5)));
    await turn();
    assert.deepEqual(segment.frames, ['1:60', '2:60', '3:60', '5:60']);
    await link.close();
  });

  it('what waits is bounded at 256 KiB', async () => {
    const { link, segment } = make({ write: () => {} });
    let taken = 0;
    while (link.onFrame(frame(1, 1_020))) taken++;
    assert.equal(taken, 256);
    assert.equal(link.stats.drops.get('host-queue-full'), 1);
    await turn();
    assert.equal(segment.frames.length, 256);
    assert.ok(link.onFrame(frame(1)));
    await link.close();
  });

  it('a writer that is full is given nothing until it says so', async () => {
    const sent: number[] = [];
    let flushed = 0;
    const { link, segment } = make({
      write: (bytes) => {
        sent.push(bytes.length);
        return sent.length !== 2;
      },
      flush: () => flushed++,
    });
    assert.deepEqual(
      [60, 61, 62].map((len) => segment.send(len)),
      [true, true, false],
    );
    assert.equal(link.stats.stalls, 1);
    link.onWritable();
    link.onWritable();
    await turn();
    assert.equal(segment.writable, 1);
    assert.ok(segment.send(63));
    assert.deepEqual([sent, flushed], [[60, 61, 63], 3]);
    await link.close();
  });

  it('a writer that throws loses its link, and nothing else', async () => {
    const errors: string[] = [];
    const log: Log = { ...SILENT, error: (_fields, message) => errors.push(message) };
    const { link, segment } = make(
      {
        write: () => {
          throw new Error('broken');
        },
      },
      log,
    );
    assert.ok(segment.send(60));
    assert.equal(segment.send(60), false);
    await link.closed;
    assert.ok(segment.isDown);
    assert.deepEqual(errors, ['guest link failed']);
  });

  it('may be closed by the frame that it takes', async () => {
    const { link, segment } = make({ write: () => {} });
    segment.onEach = (): void => void link.close();
    link.onFrame(frame(1));
    link.onFrame(frame(2));
    await link.closed;
    await turn();
    assert.deepEqual(segment.frames, ['1:60']);
  });
});
