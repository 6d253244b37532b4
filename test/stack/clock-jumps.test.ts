/** The machine sleeps, and time is found to have passed: what is due is done once, and nothing spins. */
import assert from 'node:assert/strict';
import { PLAIN, Script } from '../support/script.ts';

const HOUR_MS = 3_600_000;
const CONNECTIONS = 100;

describe('stack/clock jumps', () => {
  /** Connections with data in flight, a request held, fragments and neighbours waited for. */
  function busy(): Script {
    const s = new Script().announce();
    for (let sport = 1; sport <= CONNECTIONS; sport++) {
      s.in({ flags: 'S', ...PLAIN, sport });
      s.records();
      s.in({ seq: 1, ack: 1, sport });
      s.send(3000);
    }
    s.policy = 'keep';
    s.in({ flags: 'S', ...PLAIN, sport: 500 });
    s.writer.take();
    return s;
  }

  for (const hours of [1, 24, 24 * 60]) {
    it(`${hours} hours asleep: one wake, a frame or so a connection, and then a later deadline`, () => {
      const s = busy();
      s.now += hours * HOUR_MS;
      s.stack.onTimeout(s.now);
      assert.ok(s.stack.nextTimeout() > s.now, 'due again at once');
      assert.ok(s.writer.take().length <= 2 * CONNECTIONS);
      let wakes = 0;
      const end = s.now + 10_000;
      for (; s.stack.nextTimeout() < end; wakes++) {
        s.now = s.stack.nextTimeout();
        s.stack.onTimeout(s.now);
      }
      assert.ok(wakes < 10 * CONNECTIONS, `${wakes} wakes in ten seconds`);
    });
  }

  it('a connection goes on after the sleep', () => {
    const s = busy();
    s.now += 8 * HOUR_MS;
    s.stack.onTimeout(s.now);
    s.in({ seq: 1, ack: 3001, sport: CONNECTIONS, data: 'awake', flags: 'PA' });
    assert.equal(s.app.text, 'awake');
    assert.equal(s.app.closed, undefined);
  });

  it('a wake that comes early, or again, does nothing', () => {
    const s = busy();
    for (let i = 0; i < 1000; i++) s.stack.onTimeout(s.now);
    assert.deepEqual(s.writer.take(), []);
    assert.ok(s.stack.nextTimeout() > s.now);
  });
});
