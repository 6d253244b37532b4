import assert from 'node:assert/strict';
import fc from 'fast-check';
import { EAGAIN, ECONNREFUSED } from '../../../src/native/constants.ts';
import type { FrameBatch } from '../../../src/native/posix.ts';
import type { LaterSend } from '../../../src/native/watch.ts';
import { LinkStats } from '../../../src/transports/link-stats.ts';
import {
  FrameQueue,
  QUEUE_FRAMES,
  QUEUE_LEN,
} from '../../../src/transports/messages/frame-queue.ts';
import { until } from './message-client.ts';

const EACCES = 13;

/** A kernel that takes as many frames as it is told to. */
class Kernel implements FrameBatch {
  readonly capacity = 8;
  /** What it answers instead of taking frames. */
  refuses = 0;
  room: number = Number.POSITIVE_INFINITY;
  readonly taken: string[] = [];
  calls = 0;
  private frames: string[] = [];
  private bytes: Uint8Array = new Uint8Array(0);

  begin(bytes: Uint8Array): void {
    this.bytes = bytes;
    this.frames = [];
  }

  add(off: number, len: number): void {
    this.frames.push(`${this.bytes[off]}x${len}`);
  }

  send(): number {
    this.calls++;
    if (this.refuses !== 0) return -this.refuses;
    const count = Math.min(this.room, this.frames.length);
    if (count === 0) return -EAGAIN;
    this.room -= count;
    this.taken.push(...this.frames.slice(0, count));
    return count;
  }
}

class Rig {
  readonly kernel = new Kernel();
  readonly stats = new LinkStats();
  rooms = 0;
  gone = 0;
  readonly refused: number[] = [];
  /** What the receiver may still leave unread. */
  allowance = Number.POSITIVE_INFINITY;
  /** Of a connected socket: what the first frame does that there is no room for, and what says that it is sent. */
  later: LaterSend = 'cannot';
  onSentLater: (status: number) => void = () => undefined;
  readonly queue: FrameQueue;

  constructor() {
    this.queue = new FrameQueue({
      batch: this.kernel,
      fd: -1,
      stats: this.stats,
      room: () => this.allowance - this.queue.unread,
      sendLater: (bytes, onSent) => {
        if (this.later === 'sent') this.kernel.taken.push(`${bytes[0]}x${bytes.length}`);
        this.onSentLater = onSent;
        return this.later;
      },
      onRoom: () => {
        this.rooms++;
      },
      onGone: () => {
        this.gone++;
      },
      onRefused: (errno) => this.refused.push(errno),
    });
  }

  /** @returns whether there was room */
  put(number: number, len: number, reserved = len): boolean {
    const at = this.queue.reserve(reserved);
    if (at < 0) return false;
    this.queue.slab.bytes.fill(number, at, at + len);
    this.queue.commit(len);
    return true;
  }
}

describe('transports/messages/frame-queue', () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => {
    rig.queue.close();
    rig.queue.release();
  });

  it('sends what was committed, in order, in as few calls as a batch allows', () => {
    for (let i = 0; i < 20; i++) assert.ok(rig.put(i, 100 + i));
    rig.queue.reserve(10);
    rig.queue.commit(0);
    rig.queue.flush();
    assert.deepEqual(
      rig.kernel.taken,
      Array.from({ length: 20 }, (_, i) => `${i}x${100 + i}`),
    );
    assert.equal(rig.kernel.calls, 3);
    assert.deepEqual([rig.stats.framesToGuest, rig.stats.bytesToGuest], [20, 20 * 100 + 190]);
  });

  it('keeps what the kernel has no room for, and tries again by itself', async () => {
    rig.kernel.room = 3;
    for (let i = 0; i < 10; i++) rig.put(i, 60);
    rig.queue.flush();
    assert.equal(rig.kernel.taken.length, 3);
    rig.kernel.room = Number.POSITIVE_INFINITY;
    await until(() => rig.kernel.taken.length === 10);
    assert.equal(rig.stats.drops.get('write-failed'), 0);
  });

  it('is full at its limit of bytes, then of frames, and says when it is not', async () => {
    for (const [len, most] of [
      [1 << 14, QUEUE_LEN >> 14],
      [14, QUEUE_FRAMES],
    ] as const) {
      rig.kernel.refuses = EAGAIN;
      rig.queue.flush();
      let count = 0;
      while (rig.put(count, len)) count++;
      assert.equal(count, most);
      assert.equal(rig.stats.stalls > 0, true);
      rig.queue.flush();
      const before = rig.rooms;
      rig.kernel.refuses = 0;
      await until(() => rig.rooms > before);
      assert.ok(rig.put(1, 65_000), 'room for the largest frame');
      rig.queue.flush();
      await until(() => rig.kernel.taken.at(-1) === '1x65000');
    }
  });

  it('is crowded when half of it is in use', () => {
    rig.kernel.refuses = EAGAIN;
    while (!rig.queue.isCrowded) assert.ok(rig.put(1, 9000));
    assert.ok(rig.put(1, 9000), 'there is room for more');
  });

  it('drops and counts a frame that the kernel refuses, and goes on with the next', () => {
    rig.put(1, 60);
    rig.put(1, 60);
    rig.kernel.refuses = EACCES;
    rig.queue.flush();
    rig.kernel.refuses = 0;
    rig.put(2, 60);
    rig.queue.flush();
    assert.deepEqual(rig.kernel.taken, ['2x60']);
    assert.equal(rig.stats.drops.get('write-failed'), 2);
    assert.deepEqual(rig.refused, [EACCES], 'said once');
  });

  it('reports in a later turn, once, that nobody receives any more, and sends no more', async () => {
    rig.kernel.refuses = ECONNREFUSED;
    rig.put(1, 60);
    rig.queue.flush();
    assert.equal(rig.gone, 0);
    await until(() => rig.gone === 1);
    rig.kernel.refuses = 0;
    assert.equal(rig.put(2, 60), false);
    rig.queue.flush();
    assert.deepEqual([rig.kernel.taken, rig.gone], [[], 1]);
  });

  it('waits for a connected socket to have room, and tries nothing meanwhile', async () => {
    rig.later = 'waits';
    rig.kernel.room = 1;
    for (let i = 0; i < 4; i++) rig.put(i, 60);
    rig.queue.flush();
    const { calls } = rig.kernel;
    rig.put(4, 60);
    rig.queue.flush();
    await new Promise(setImmediate);
    assert.equal(rig.kernel.calls, calls);
    rig.kernel.room = Number.POSITIVE_INFINITY;
    rig.onSentLater(0);
    assert.deepEqual(rig.kernel.taken, ['0x60', '2x60', '3x60', '4x60'], 'the first was sent');
    assert.equal(rig.stats.framesToGuest, 5);
  });

  it('a connected socket that had room at last is gone on with', async () => {
    rig.later = 'sent';
    rig.kernel.room = 0;
    rig.put(1, 60);
    rig.put(2, 60);
    rig.queue.flush();
    rig.kernel.room = 5;
    await until(() => rig.kernel.taken.length === 2);
    assert.deepEqual(rig.kernel.taken, ['1x60', '2x60']);
  });

  it('a connected socket whose receiver is gone meanwhile ends it', async () => {
    rig.later = 'waits';
    rig.kernel.refuses = EAGAIN;
    rig.put(1, 60);
    rig.queue.flush();
    rig.onSentLater(-ECONNREFUSED);
    await until(() => rig.gone === 1);
  });

  it('sends no more than its receiver may leave unread, and waits until that has read', async () => {
    rig.kernel.room = 100;
    rig.allowance = 10_000;
    for (let i = 0; i < 10; i++) rig.put(i, 1500);
    rig.queue.flush();
    assert.deepEqual(rig.kernel.taken, ['0x1500', '1x1500', '2x1500']);
    rig.queue.unread = 0;
    await until(() => rig.kernel.taken.length === 6);
    rig.allowance = Number.POSITIVE_INFINITY;
    await until(() => rig.kernel.taken.length === 10);
  });

  it('sends a frame that is more than that to a receiver that has read everything, and one alone', () => {
    rig.kernel.room = 100;
    rig.allowance = 10_000;
    rig.put(1, 60_000);
    rig.put(2, 60);
    rig.queue.flush();
    assert.deepEqual(rig.kernel.taken, ['1x60000']);
  });

  it('keeps frames whole and in order, whatever their lengths and however many are taken (model)', () => {
    const step = fc.record({
      len: fc.integer({ min: 14, max: 65_560 }),
      spare: fc.integer({ min: 0, max: 2000 }),
      room: fc.integer({ min: 0, max: 12 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const one = new Rig();
        const sent: string[] = [];
        steps.forEach(({ len, spare, room }, i) => {
          one.kernel.room = room;
          if (one.put(i & 255, len, Math.min(len + spare, 65_560))) sent.push(`${i & 255}x${len}`);
          if (room % 3 === 0) one.queue.flush();
        });
        one.queue.close();
        one.queue.release();
        assert.deepEqual(one.kernel.taken, sent.slice(0, one.kernel.taken.length));
      }),
    );
  });
});
