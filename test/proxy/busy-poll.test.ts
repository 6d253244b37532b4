import assert from 'node:assert/strict';
import { BusyPoll, defaultWindowUs } from '../../src/proxy/busy-poll.ts';
import { TestClock } from './recording.ts';

const WINDOW_US = 200;
const IN_TIME_MS = 0.1;
const LATE_MS = 1;
const loops = async (n: number): Promise<void> => {
  for (let i = 0; i < n; i++) await new Promise((resolve) => setImmediate(resolve));
};

describe('proxy/busy-poll', () => {
  let clock: TestClock;
  let carried: number;
  let opened: number;
  let poll: BusyPoll;

  const make = (windowUs: number): BusyPoll =>
    new BusyPoll({ clock, carried: () => carried, opened: () => opened }, windowUs);

  beforeEach(() => {
    clock = new TestClock();
    carried = 0;
    opened = 0;
    poll = make(WINDOW_US);
  });
  afterEach(async () => {
    clock.time += 1_000; // ends any polling
    await loops(2);
  });

  const work = (n: number, gapMs: number, bytes = 100): void => {
    for (let i = 0; i < n; i++) {
      clock.time += gapMs;
      carried += bytes;
      poll.onWork();
    }
  };

  const isOverAfterAPause = async (): Promise<void> => {
    await loops(2);
    assert.equal(poll.polling, false);
    work(500, IN_TIME_MS);
    assert.equal(poll.polling, false, '50 ms may be a pause');
    work(1_000, IN_TIME_MS);
    assert.equal(poll.polling, true);
  };

  it('does not poll after the first work, nor while work comes seldom', () => {
    work(1, 0);
    assert.equal(poll.polling, false);
    work(1_000, LATE_MS);
    assert.equal(poll.polling, false);
  });

  it('polls once work has come in quick succession, for as long as the window', async () => {
    work(20, IN_TIME_MS);
    assert.equal(poll.polling, true);
    await loops(50);
    assert.equal(poll.polling, true, 'the window is not over');
    clock.time += WINDOW_US / 1_000;
    await loops(2);
    assert.equal(poll.polling, false, 'now it is');
  });

  it('an event loop that polls does not sleep', async () => {
    let turns = 0;
    const count = (): void => {
      if (poll.polling) turns++;
      if (turns < 100) setImmediate(count).unref();
    };
    work(20, IN_TIME_MS);
    count();
    await loops(120);
    assert.equal(turns, 100);
  });

  it('gives up after a few late ones, and learns anew', async () => {
    work(20, IN_TIME_MS);
    work(4, LATE_MS);
    await loops(2);
    assert.equal(poll.polling, false);
    work(1, IN_TIME_MS);
    assert.equal(poll.polling, false, 'one is not enough');
    work(10, IN_TIME_MS);
    assert.equal(poll.polling, true);
  });

  it('work that is late as often as not is not polled for', async () => {
    work(20, IN_TIME_MS);
    for (let i = 0; i < 20; i++) {
      work(1, IN_TIME_MS);
      work(1, LATE_MS);
    }
    await loops(2);
    assert.equal(poll.polling, false);
  });

  it('a bulk transfer ends it, until that has paused for long', async () => {
    work(20, IN_TIME_MS);
    assert.equal(poll.polling, true);
    work(30, IN_TIME_MS, 100_000);
    await isOverAfterAPause();
  });

  it('many connections at a time end it, one after another do not', async () => {
    for (let i = 0; i < 1_000; i++) {
      opened += i % 4 === 0 ? 1 : 0; // 2,500 a second
      work(1, IN_TIME_MS);
    }
    assert.equal(poll.polling, true);
    for (let i = 0; i < 20; i++) {
      opened++; // 10,000 a second
      work(1, IN_TIME_MS);
    }
    await isOverAfterAPause();
  });

  it('never with a window of 0, which is the default on one CPU', () => {
    poll = make(0);
    work(100, 0);
    assert.equal(poll.polling, false);
    assert.equal(defaultWindowUs(1), 0);
    assert.equal(defaultWindowUs(2), WINDOW_US);
  });
});
