import assert from 'node:assert/strict';
import { parseListeningRules } from '../../../../src/cli/agent/listening/listening-rules.ts';
import {
  END_LOOK_MS,
  ListeningWatch,
  LOOK_MS,
  LOOK_MS_MAX,
} from '../../../../src/cli/agent/listening/listening-watch.ts';
import { CALM_MS, PLACES_MAX, Places } from '../../../../src/cli/agent/listening/places.ts';
import { CONFIRM_MS } from '../../../../src/cli/agent/listening/sightings.ts';
import type { BoundSocket } from '../../../../src/native/posix.ts';
import { RecordingLog } from '../../../support/recording-log.ts';
import { VirtualTimers } from '../../../support/virtual-timers.ts';
import { socket } from './socket.ts';

/** From listen() to the place, at most. */
const SEEN_MS = LOOK_MS + CONFIRM_MS;

describe('agent: sockets that listen are watched', () => {
  let timers: VirtualTimers;
  let there: readonly BoundSocket[] | undefined;
  let readMs: number;
  let places: Places;
  let log: RecordingLog;
  let onEnd: (port: number) => void;
  let watch: ListeningWatch;
  /** What the places were, and when. */
  let changes: string[];

  beforeEach(async () => {
    timers = new VirtualTimers();
    there = [];
    readMs = 0;
    changes = [];
    log = new RecordingLog();
    const rules = parseListeningRules('*');
    assert.ok(typeof rules !== 'string');
    places = new Places({ rules, isLeftOut: ({ port }) => port === 4099 });
    let last: readonly BoundSocket[] | undefined;
    watch = new ListeningWatch({
      clock: { now: () => timers.now },
      timers,
      log,
      sockets: {
        read: () => {
          timers.now += readMs;
          if (there === undefined) return undefined;
          const isSame = there === last;
          last = there;
          return isSame ? 'same' : there;
        },
        close: () => {},
      },
      places,
      watchEnds: (callback) => {
        onEnd = callback;
        return { close: () => {} };
      },
      onPlaces: () => changes.push([...places.wanted.keys()].join()),
    });
    watch.start();
    await timers.advance(0);
  });
  afterEach(() => watch.close());

  const wanted = (): string[] => [...places.wanted.keys()];

  it('a socket appears within its time, and no sooner than it was seen twice', async () => {
    for (const offset of [1, 100, LOOK_MS - 1]) {
      await timers.advance(offset);
      const one = socket(`127.0.0.1:${8000 + offset}`);
      const began = timers.now;
      there = [one];
      while (!wanted().includes(`tcp 127.0.0.1 ${one.port}`)) await timers.advance(1);
      const tookMs = timers.now - began;
      assert.ok(tookMs >= CONFIRM_MS && tookMs <= SEEN_MS + 1, `${tookMs} ms`);
    }
  });

  it('one that is there for an instant never does', async () => {
    for (let i = 0; i < 50; i++) {
      there = [socket('127.0.0.1:8080')];
      await timers.advance(40);
      there = [];
      await timers.advance(37);
    }
    assert.deepEqual(changes, []);
  });

  it('with a hundred binds a second it looks twice in its time', async () => {
    const before = watch.looks;
    for (let i = 0; i < 500; i++) {
      there = [socket(`127.0.0.1:${8000 + (i % 7)}`)];
      await timers.advance(10);
    }
    assert.ok(watch.looks - before <= 2 * (5_000 / SEEN_MS) + 2, `${watch.looks - before} looks`);
  });

  it('one that has ended is gone at once', async () => {
    there = [socket('127.0.0.1:8080')];
    await timers.advance(SEEN_MS);
    assert.deepEqual(wanted(), ['tcp 127.0.0.1 8080']);
    there = [];
    onEnd(8080);
    await timers.advance(END_LOOK_MS);
    assert.deepEqual(wanted(), []);
  });

  it('one that closes and listens again keeps its place, and no other takes it', async () => {
    there = [socket('127.0.0.1:8080')];
    await timers.advance(SEEN_MS);
    const { length } = changes;
    for (let i = 0; i < 5; i++) {
      there = [socket('127.0.0.1:8080')];
      onEnd(8080);
      await timers.advance(END_LOOK_MS);
    }
    assert.ok(changes.slice(length).every((one) => one === 'tcp 127.0.0.1 8080'));
    there = [socket('127.0.0.2:8080')];
    onEnd(8080);
    while (wanted().length > 0) await timers.advance(1);
    assert.ok(changes.every((one) => !one.includes('127.0.0.2')));
  });

  it('ends of others wake nobody, and many ends cost few looks', async () => {
    there = [socket('127.0.0.1:8080')];
    await timers.advance(SEEN_MS);
    const before = watch.looks;
    for (let i = 0; i < 200; i++) {
      onEnd(9090);
      await timers.advance(0);
    }
    assert.equal(watch.looks, before);
    for (let i = 0; i < 200; i++) {
      onEnd(8080);
      await timers.advance(0);
    }
    assert.ok(watch.looks - before <= 4, `${watch.looks - before} looks`);
  });

  it('two sockets share a port by count', async () => {
    const [one, other] = [socket('0.0.0.0:8080'), socket('[::]:8080')];
    there = [one, other];
    await timers.advance(SEEN_MS);
    assert.deepEqual(wanted(), ['tcp 127.0.0.1 8080', 'tcp ::1 8080']);
    there = [other];
    await timers.advance(SEEN_MS);
    assert.deepEqual(wanted(), ['tcp 127.0.0.1 8080', 'tcp ::1 8080']);
    assert.deepEqual(places.familiesAt(undefined, 8080), { has4: true, has6: true });
    there = [];
    await timers.advance(SEEN_MS);
    assert.deepEqual(wanted(), []);
  });

  it('one that is replaced between two looks stays', async () => {
    there = [socket('127.0.0.1:8080')];
    await timers.advance(SEEN_MS);
    const { length } = changes;
    there = [...there, socket('127.0.0.1:8080')];
    await timers.advance(SEEN_MS);
    there = there.slice(1);
    await timers.advance(SEEN_MS);
    assert.ok(changes.slice(length).every((one) => one === 'tcp 127.0.0.1 8080'));
  });

  it('a port that comes and goes appears once a second at most', async () => {
    for (let i = 0; i < 30; i++) {
      there = [socket('127.0.0.1:8080')];
      await timers.advance(SEEN_MS);
      there = [];
      onEnd(8080);
      await timers.advance(10);
    }
    const ups = changes.filter((one, i) => one !== '' && (changes[i - 1] ?? '') === '').length;
    assert.ok(ups > 3 && ups <= timers.now / CALM_MS + 1, `${ups} in ${timers.now} ms`);
  });

  it('a port that is held back comes when its time has come', async () => {
    there = [socket('127.0.0.1:8080')];
    await timers.advance(SEEN_MS);
    there = [];
    onEnd(8080);
    await timers.advance(END_LOOK_MS);
    there = [socket('127.0.0.1:8080')];
    await timers.advance(SEEN_MS);
    assert.deepEqual(wanted(), []);
    await timers.advance(CALM_MS);
    assert.deepEqual(wanted(), ['tcp 127.0.0.1 8080']);
  });

  it("the agent's own are left out", async () => {
    there = [socket('0.0.0.0:4099')];
    await timers.advance(1_000);
    assert.deepEqual(wanted(), []);
  });

  it('so many appear, and the rest is counted', async () => {
    there = Array.from({ length: PLACES_MAX + 7 }, (_, i) => socket(`127.0.0.1:${1 + i}`));
    await timers.advance(SEEN_MS);
    assert.deepEqual([places.wanted.size, places.leftOut], [PLACES_MAX, 7]);
    there = there.slice(10);
    await timers.advance(SEEN_MS);
    assert.deepEqual([places.wanted.size, places.leftOut], [PLACES_MAX - 3, 0]);
  });

  it('while the sockets cannot be read, what appears stays', async () => {
    const one = socket('127.0.0.1:8080');
    there = [one];
    await timers.advance(SEEN_MS);
    there = undefined;
    await timers.advance(2_000);
    assert.deepEqual(wanted(), ['tcp 127.0.0.1 8080']);
    assert.equal(log.lines.length, 1);
    there = [];
    await timers.advance(SEEN_MS);
    assert.deepEqual(wanted(), []);
  });

  it('the last of many that end one after another is gone soon, however long a look takes', async () => {
    readMs = 400;
    const all = Array.from({ length: 20 }, (_, i) => socket(`127.0.0.1:${8000 + i}`));
    there = all;
    while (wanted().length < all.length) await timers.advance(10);
    for (let left = all.length - 1; left >= 0; left--) {
      there = all.slice(0, left);
      onEnd(8000 + left);
      await timers.advance(END_LOOK_MS);
    }
    await timers.advance(1_000);
    assert.deepEqual(wanted(), []);
  });

  it('one that appears is seen in time that is bounded, however long a look takes', async () => {
    readMs = 2_000;
    for (let i = 0; i < 20; i++) {
      there = Array.from({ length: i }, (_, j) => socket(`127.0.0.1:${7000 + j}`));
      await timers.advance(LOOK_MS_MAX);
    }
    there = [socket('127.0.0.1:8080')];
    await timers.advance(LOOK_MS_MAX + CONFIRM_MS + 2 * readMs);
    assert.deepEqual(wanted(), ['tcp 127.0.0.1 8080']);
  });

  it('where reading takes long, it is rarer', async () => {
    readMs = 10;
    await timers.advance(60_000);
    const before = watch.looks;
    await timers.advance(20_000);
    assert.ok(watch.looks - before <= 21, `${watch.looks - before}`);
  });

  it('an inode that is used again is another socket', async () => {
    there = [socket('127.0.0.1:8080', 7)];
    await timers.advance(SEEN_MS);
    there = [socket('127.0.0.1:8081', 7)];
    await timers.advance(SEEN_MS);
    assert.deepEqual(wanted(), ['tcp 127.0.0.1 8081']);
  });
});
