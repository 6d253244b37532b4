import assert from 'node:assert/strict';
import {
  EventedSockets,
  READS_PER_SECOND,
  REFRESH_MS,
  RIPE_MS,
  withEvents,
} from '../../../../src/cli/agent/listening/evented-sockets.ts';
import { parseListeningRules } from '../../../../src/cli/agent/listening/listening-rules.ts';
import {
  END_LOOK_MS,
  ListeningWatch,
} from '../../../../src/cli/agent/listening/listening-watch.ts';
import { CALM_MS, Places } from '../../../../src/cli/agent/listening/places.ts';
import { CONFIRM_MS } from '../../../../src/cli/agent/listening/sightings.ts';
import type { BoundSocket, ListenEvent } from '../../../../src/native/posix.ts';
import { RecordingLog } from '../../../support/recording-log.ts';
import { VirtualTimers } from '../../../support/virtual-timers.ts';
import { socket } from './socket.ts';

describe('agent: sockets that listen, by events of the kernel', () => {
  let timers: VirtualTimers;
  let there: BoundSocket[];
  let events: (Omit<ListenEvent, 'ageMs'> & { readonly at: number })[];
  let isWhole: boolean;
  /** While they are read. */
  let meanwhile: () => void;
  let reads: number;
  /** As of the last read. */
  let isKnownToHaveEnded: (socket: BoundSocket) => boolean;
  let wake: () => void;
  let isArmed: boolean;
  let wakes: number;
  let places: Places;
  let watch: ListeningWatch;

  const say = (kind: ListenEvent['kind'], { inode, port }: BoundSocket): void => {
    events.push({ kind, socket: inode, port, at: timers.now });
    if (!isArmed) return;
    isArmed = false;
    wakes++;
    wake();
  };
  const begin = (text: string): BoundSocket => {
    const one = socket(text);
    there = [...there, one];
    say('begun', one);
    return one;
  };
  const end = (one: BoundSocket): void => {
    there = there.filter((other) => other !== one);
    say('ended', one);
  };
  const wanted = (): string[] => [...places.wanted.keys()];

  beforeEach(async () => {
    timers = new VirtualTimers();
    [there, events, isWhole, reads] = [[socket('127.0.0.1:80')], [], true, 0];
    wake = () => {};
    [isArmed, wakes] = [true, 0];
    meanwhile = () => {};
    const rules = parseListeningRules('*');
    assert.ok(typeof rules !== 'string');
    places = new Places({ rules, isLeftOut: () => false });
    const clock = { now: () => timers.now };
    let last: BoundSocket[] | undefined;
    const sockets = new EventedSockets({
      clock,
      sockets: {
        read: (hasEnded) => {
          reads++;
          isKnownToHaveEnded = hasEnded ?? assert.fail('it is not told');
          const isSame = last === there;
          last = there;
          meanwhile();
          return isSame ? 'same' : last;
        },
        close: () => {},
      },
      events: {
        drain: () => {
          const aged = events.map(({ at, ...event }) => ({ ...event, ageMs: timers.now - at }));
          const drained = { events: aged, isWhole };
          [events, isWhole] = [[], true];
          return drained;
        },
      },
      watch: (onWake) => {
        wake = onWake;
        const resume = (): void => {
          isArmed = true;
          if (events.length === 0) return;
          isArmed = false;
          wake();
        };
        return { resume, close: () => {} };
      },
    });
    const log = new RecordingLog();
    watch = new ListeningWatch({ clock, timers, log, sockets, places, onPlaces: () => {} });
    watch.start();
    await timers.advance(CONFIRM_MS);
    assert.deepEqual(wanted(), ['tcp 127.0.0.1 80']);
    reads = 0;
  });
  afterEach(() => watch.close());

  it('a read is told of as many on a port as have ended there', async () => {
    const [one] = [begin('127.0.0.1:8080'), begin('127.0.0.2:8080')];
    await timers.advance(500);
    end(one);
    await timers.advance(END_LOOK_MS);
    const asked = [one, one, socket('127.0.0.1:80')].map((each) => isKnownToHaveEnded(each));
    assert.deepEqual(asked, [true, false, false]);
    await timers.advance(REFRESH_MS);
    assert.ok(!isKnownToHaveEnded(one), 'it was told already');
  });

  it('one appears as soon as it is old enough, and is read once', async () => {
    await timers.advance(777);
    begin('127.0.0.1:8080');
    await timers.advance(CONFIRM_MS - 1);
    assert.equal(wanted().length, 1);
    await timers.advance(1 + END_LOOK_MS);
    assert.equal(wanted().length, 2);
    assert.equal(reads, 1);
  });

  it('a hundred a second that live for 10 ms are not read at all', async () => {
    for (let i = 0; i < 300; i++) {
      const one = begin(`127.0.0.1:${3000 + i}`);
      await timers.advance(10);
      end(one);
    }
    assert.equal(wanted().length, 1);
    assert.ok(reads <= 1 + 3_000 / REFRESH_MS, `${reads} reads`);
    assert.ok(wakes <= 10 && watch.looks < 20, `${wakes} wakes, ${watch.looks} looks`);
  });

  it('a hundred a second that stay appear within their time, and are read a few times', async () => {
    const born = new Map<string, number>();
    let most = 0;
    for (let i = 0; i < 500; i++) {
      const { port } = begin(`127.0.0.1:${3000 + i}`);
      born.set(`tcp 127.0.0.1 ${port}`, timers.now);
      await timers.advance(10);
      for (const [key, at] of born) {
        if (!places.wanted.has(key)) continue;
        most = Math.max(most, timers.now - at);
        born.delete(key);
      }
    }
    assert.ok(born.size < 50, `${born.size}`);
    assert.ok(most <= 1_000 / READS_PER_SECOND + RIPE_MS, `${most} ms`);
    assert.ok(reads <= 4 + 5 * READS_PER_SECOND, `${reads} reads`);
  });

  it('one that has ended is gone at once', async () => {
    const one = begin('127.0.0.1:8080');
    await timers.advance(1_000);
    end(one);
    await timers.advance(END_LOOK_MS);
    assert.equal(wanted().length, 1);
  });

  it('one that listens again keeps its place', async () => {
    let one = begin('127.0.0.1:8080');
    await timers.advance(1_000);
    for (let i = 0; i < 3; i++) {
      end(one);
      one = begin('127.0.0.1:8080');
      for (let ms = 0; ms < 700; ms++) {
        await timers.advance(1);
        assert.equal(wanted().length, 2);
      }
    }
  });

  it('one that is held back comes when its time has come', async () => {
    end(begin('127.0.0.1:8080'));
    const one = begin('127.0.0.1:8080');
    await timers.advance(100);
    end(one);
    await timers.advance(END_LOOK_MS);
    begin('127.0.0.1:8080');
    await timers.advance(100);
    assert.equal(wanted().length, 1);
    await timers.advance(CALM_MS);
    assert.equal(wanted().length, 2);
  });

  it('one that begins or ends while they are read is not forgotten', async () => {
    const kept = begin('127.0.0.1:8080');
    let late: BoundSocket | undefined;
    meanwhile = () => {
      late ??= begin('127.0.0.1:8081');
    };
    await timers.advance(CONFIRM_MS + END_LOOK_MS);
    await timers.advance(2 * CONFIRM_MS + END_LOOK_MS);
    assert.deepEqual(wanted().slice(1), ['tcp 127.0.0.1 8080', 'tcp 127.0.0.1 8081']);
    end(kept);
    if (late !== undefined) end(late);
    await timers.advance(REFRESH_MS / 4);
    assert.equal(wanted().length, 1);
  });

  it('what was lost is made up for by reading', async () => {
    const gone = begin('127.0.0.1:8080');
    await timers.advance(1_000);
    end(gone);
    begin('127.0.0.1:8081');
    [events, isWhole] = [[], false];
    await timers.advance(2 * CONFIRM_MS + END_LOOK_MS);
    assert.deepEqual(wanted().slice(1), ['tcp 127.0.0.1 8081']);
  });

  it('without a word of the kernel they are read all the same', async () => {
    there = [...there, socket('127.0.0.1:8080')];
    await timers.advance(REFRESH_MS + CONFIRM_MS);
    assert.equal(wanted().length, 2);
  });

  it('where the kernel has no events, or we may not see them, they are read as ever', () => {
    const log = new RecordingLog();
    const sockets = { read: () => undefined, close: () => {} };
    const openListenEvents = (): never => {
      throw new Error('EACCES');
    };
    const clock = { now: () => 0 };
    assert.equal(withEvents(sockets, { openListenEvents }, { clock, log }), sockets);
  });
});
