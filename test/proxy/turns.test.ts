import assert from 'node:assert/strict';
import { FaultWatch } from '../../src/base/faults.ts';
import { SILENT } from '../../src/base/log.ts';
import type { TurnShare } from '../../src/proxy/turns.ts';
import { TurnLoop } from '../support/turn-loop.ts';

/** A link with frames of one cost, which may be asked for a look after each. */
class Source {
  waiting = 0;
  done = 0;
  spentMs = 0;
  onFrame = (): void => {};
  /** What the end of each batch costs. */
  endMs = 0;
  private readonly loop: TurnLoop;
  private readonly frameMs: number;
  private readonly share: TurnShare;

  constructor(loop: TurnLoop, frameMs: number, listener = '') {
    this.loop = loop;
    this.frameMs = frameMs;
    this.share = loop.turns.join(this, listener);
  }

  read(frames: number): void {
    this.waiting += frames;
    this.onTurn();
  }

  onTurn(): void {
    const { loop, share } = this;
    if (!share.begin(loop.nowMs)) return;
    const began = loop.nowMs;
    do {
      if (this.waiting === 0) break;
      this.waiting--;
      this.done++;
      this.onFrame();
      loop.nowMs += this.frameMs;
    } while (share.more());
    loop.nowMs += this.endMs;
    this.spentMs += loop.nowMs - began;
    share.end(this.waiting > 0);
  }
}

describe('proxy/turns', () => {
  it('does at once what fits', () => {
    const loop = new TurnLoop();
    const link = new Source(loop, 0.01);
    link.read(20);
    assert.equal(link.done, 20);
    assert.ok(loop.isIdle);
  });

  it('ends a piece when its credit is used up, and goes on after the next poll', () => {
    const loop = new TurnLoop();
    const link = new Source(loop, 0.125);
    link.read(200);
    assert.equal(link.done, 32, 'frames of 0.125 ms in 4 ms');
    loop.poll();
    assert.equal(link.done, 64, 'alone it goes on, for a whole turn');
  });

  it('is shorter while another link has work', () => {
    const loop = new TurnLoop();
    const flood = new Source(loop, 0.1);
    const other = new Source(loop, 0.1);
    const turns = (count: number): number => {
      const { nowMs } = loop;
      for (let i = 0; i < count; i++) loop.poll();
      return (loop.nowMs - nowMs) / count;
    };
    flood.read(100_000);
    assert.ok(turns(10) >= 1);
    other.read(1);
    turns(1);
    assert.ok(turns(100) < 0.6);
    while (loop.nowMs < 300) loop.poll();
    assert.ok(turns(10) >= 1, 'the other has been silent for a while');
  });

  it('bounds a turn, however much waits', () => {
    const loop = new TurnLoop();
    const links = Array.from({ length: 20 }, () => new Source(loop, 0.1));
    for (const link of links) link.read(1000);
    assert.ok(loop.nowMs < 4.7, `${loop.nowMs} ms when the event loop polls: the first was alone`);
    while (!loop.isIdle) {
      const before = loop.nowMs;
      loop.poll();
      assert.ok(loop.nowMs - before < 0.7, `${loop.nowMs - before} ms`);
    }
    assert.ok(links.every(({ done }) => done === 1000));
    assert.ok(loop.turns.longestMs < 5, `${loop.turns.longestMs} ms`);
  });

  it('gives everybody who waits the same time, whatever a frame costs', () => {
    const loop = new TurnLoop();
    const cheap = new Source(loop, 0.01);
    const dear = new Source(loop, 1.5);
    cheap.read(100_000);
    dear.read(100_000);
    for (let i = 0; i < 100; i++) loop.poll();
    const ratio = cheap.spentMs / dear.spentMs;
    assert.ok(ratio > 0.9 && ratio < 1.1, `${ratio}`);
  });

  it('has whoever overdraws pay for it before it works again', () => {
    const loop = new TurnLoop();
    const flood = new Source(loop, 0.1);
    flood.endMs = 10;
    const other = new Source(loop, 0.1);
    flood.read(100_000);
    other.read(100_000);
    for (let i = 0; i < 500; i++) loop.poll();
    const ratio = flood.spentMs / other.spentMs;
    assert.ok(ratio > 0.8 && ratio < 1.25, `${ratio}`);
  });

  it('whom the collector has stopped in its piece waits no longer for that', () => {
    const loop = new TurnLoop();
    loop.nowMs = 1_000;
    const flood = new Source(loop, 0.1);
    const quiet = new Source(loop, 0.1);
    flood.read(100_000);
    quiet.endMs = 12;
    quiet.read(1);
    quiet.endMs = 0;
    const { nowMs } = loop;
    quiet.read(1);
    while (quiet.waiting > 0) loop.poll();
    assert.ok(loop.nowMs - nowMs < 2, `${loop.nowMs - nowMs} ms`);
  });

  it('a link opens few sockets in a second while another has work, and as many as it can alone', () => {
    const loop = new TurnLoop();
    const flood = new Source(loop, 0.02);
    flood.onFrame = () => loop.turns.onOpened(1);
    const quiet = new Source(loop, 0.02);
    const opened = (ms: number, ask: () => void): number => {
      const { nowMs } = loop;
      const { done } = flood;
      while (loop.nowMs < nowMs + ms) {
        ask();
        loop.poll();
        loop.nowMs += 0.05;
      }
      return (flood.done - done) / (loop.nowMs - nowMs);
    };
    flood.read(1_000_000);
    assert.ok(opened(100, () => {}) > 20, 'alone');
    quiet.read(1);
    opened(50, () => quiet.read(1));
    const shared = opened(1_000, () => quiet.read(1));
    assert.ok(shared > 3 && shared < 5, `${shared} in a ms`);
    assert.equal(quiet.waiting, 0);
    opened(300, () => {});
    assert.ok(opened(100, () => {}) > 20, 'alone again');
  });

  it('serves little work at once beside a flood', () => {
    const loop = new TurnLoop();
    const flood = new Source(loop, 0.1);
    const quiet = new Source(loop, 0.1);
    flood.read(100_000);
    for (let i = 0; i < 50; i++) {
      loop.poll();
      quiet.read(2);
      assert.equal(quiet.waiting, 0);
    }
  });

  it('hands on what the poll has brought before what waits is served', () => {
    const loop = new TurnLoop();
    const flood = new Source(loop, 0.125);
    const served: number[] = [];
    loop.settle = () => served.push(flood.done);
    flood.read(100);
    loop.poll();
    loop.poll();
    assert.deepEqual(served, [32, 64]);
  });

  it('stops a batch that leaves much for its end', () => {
    const loop = new TurnLoop();
    const link = new Source(loop, 0.001);
    loop.owed = 128;
    link.read(10);
    assert.equal(link.done, 1);
    loop.owed = 0;
    loop.poll();
    assert.equal(link.done, 10);
  });

  it('goes on after work that throws', () => {
    const loop = new TurnLoop();
    const share = loop.turns.join({
      onTurn: (now) => {
        share.begin(now);
        throw new Error('a fault of ours');
      },
    });
    const link = new Source(loop, 0.1);
    const watch = new FaultWatch(SILENT);
    share.wait();
    loop.poll();
    watch.close();
    assert.equal(watch.counts.get('turn'), 1);
    link.read(3);
    while (!loop.isIdle) loop.poll();
    assert.equal(link.done, 3);
  });

  it('lets nobody begin inside the work of another', () => {
    const loop = new TurnLoop();
    const inner = new Source(loop, 0.1);
    loop.turns.enter(loop.nowMs);
    inner.read(1);
    assert.equal(inner.done, 0);
    loop.turns.leave();
    loop.poll();
    assert.equal(inner.done, 1);
  });

  it('gives the links of one listener no more than the only link of another', () => {
    const loop = new TurnLoop();
    const many = Array.from({ length: 64 }, () => new Source(loop, 0.05, 'qemu:/many'));
    const one = new Source(loop, 0.05, 'qemu:/one');
    for (const link of [...many, one]) link.read(1_000_000);
    for (let i = 0; i < 3000; i++) loop.poll();
    const ratio = many.reduce((sum, { spentMs }) => sum + spentMs, 0) / one.spentMs;
    assert.ok(ratio > 0.8 && ratio < 1.25, `${ratio}`);
    const spent = many.map(({ spentMs }) => spentMs);
    assert.ok(Math.max(...spent) < 1.5 * Math.min(...spent), 'and as much to each of them');
  });
});
