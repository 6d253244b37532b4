import assert from 'node:assert/strict';
import { arenaInUse } from '../../../src/base/arena.ts';
import {
  BACKLOG_FRAMES,
  BACKLOG_LEN,
  type BacklogSender,
  FrameBacklog,
} from '../../../src/transports/messages/frame-backlog.ts';

interface Sender extends BacklogSender {
  readonly name: string;
}

const sender = (name: string): Sender => ({ name, backlogLen: 0 });

describe('transports/messages/frame-backlog', () => {
  let backlog: FrameBacklog<Sender>;
  beforeEach(() => {
    backlog = new FrameBacklog();
  });
  afterEach(() => backlog.release());

  const add = (from: Sender, len: number, value = 0): boolean =>
    backlog.add(from, Buffer.alloc(len + 2, value), 1, len);
  const takeAll = (): string[] => {
    const all: string[] = [];
    while (!backlog.isEmpty) {
      backlog.take(({ name }, { bytes }, off, len) => {
        const frame = bytes.subarray(off, off + len);
        assert.ok(frame.every((byte) => byte === frame[0]));
        all.push(`${name} ${frame[0]} ${len}`);
      });
    }
    return all;
  };

  it('gives frames back in their order, and begins anew when it is empty', () => {
    const [a, b] = [sender('a'), sender('b')];
    for (let round = 0; round < 100; round++) {
      assert.ok(add(a, 60, 1) && add(b, 65_550, 2) && add(a, 1_514, 3));
      assert.deepEqual(takeAll(), ['a 1 60', 'b 2 65550', 'a 3 1514']);
      assert.deepEqual([a.backlogLen, b.backlogLen], [0, 0]);
    }
  });

  it('one sender has half of what is free, and leaves room for another', () => {
    const [flood, other] = [sender('flood'), sender('other')];
    let frames = 0;
    while (add(flood, 1_514)) frames++;
    assert.equal(frames, Math.floor(BACKLOG_LEN / 2 / 1_514));
    assert.ok(add(other, 1_514));
    assert.ok(!add(flood, 1_514));
  });

  it('has a limit of frames, of all', () => {
    const senders = Array.from({ length: 4 }, (_, i) => sender(`${i}`));
    let frames = 0;
    while (senders.some((one) => add(one, 14))) frames++;
    assert.ok(frames <= BACKLOG_FRAMES && frames > BACKLOG_FRAMES / 2);
    assert.equal(takeAll().length, frames);
    assert.ok(senders.every((one) => add(one, 14)));
  });

  it('gives its memory back', () => {
    const before = arenaInUse();
    assert.ok(add(sender('a'), 60));
    assert.ok(arenaInUse() > before);
    backlog.release();
    assert.equal(arenaInUse(), before);
    assert.ok(backlog.isEmpty);
  });
});
