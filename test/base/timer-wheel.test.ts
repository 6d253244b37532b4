/** The wheel against a plain set of deadlines. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { type Instant, NEVER } from '../../src/base/time.ts';
import { Timer, TimerWheel } from '../../src/base/timer-wheel.ts';

const TICK_MS = 4;

class Probe extends Timer {
  wanted: Instant = NEVER;
  fired = 0;
  lateMs = 0;
  onFire: (() => void) | undefined = undefined;

  override onDeadline(now: Instant): void {
    assert.ok(now >= this.wanted, `fired at ${now}, ${this.wanted - now} ms early`);
    this.lateMs = Math.max(this.lateMs, now - this.wanted);
    this.wanted = NEVER;
    this.fired++;
    this.onFire?.();
  }
}

describe('base/timer-wheel', () => {
  it('serves every deadline, never early, at most a tick late when driven by next()', () => {
    const action = fc.record({
      timer: fc.nat(7),
      delay: fc.oneof(
        fc.integer({ min: -5, max: 40 }),
        fc.integer({ min: 0, max: 9000 }),
        fc.constant(NEVER),
      ),
      wait: fc.oneof(fc.integer({ min: 0, max: 30 }), fc.integer({ min: 0, max: 5000 })),
      cancel: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(action, { maxLength: 40 }), fc.nat(100_000), (actions, start) => {
        let now = start + 0.5;
        const wheel = new TimerWheel(now);
        const probes = Array.from({ length: 8 }, () => new Probe());
        const runTo = (end: Instant): void => {
          for (let steps = 0; ; steps++) {
            assert.ok(steps < 20_000, 'busy loop');
            const next = wheel.next();
            for (const probe of probes) {
              if (probe.wanted !== NEVER)
                assert.ok(next <= Math.max(probe.wanted, now) + 2 * TICK_MS, 'next() too late');
            }
            if (next > end) break;
            assert.ok(next > now, 'next() does not move on');
            now = next;
            wheel.advance(now);
          }
          now = end;
          wheel.advance(now);
        };
        for (const { timer, delay, wait, cancel } of actions) {
          const probe = probes[timer];
          assert.ok(probe);
          probe.wanted = cancel ? NEVER : now + delay;
          if (cancel) wheel.cancel(probe);
          else wheel.set(probe, probe.wanted);
          runTo(now + wait);
        }
        runTo(now + 20_000);
        for (const probe of probes) {
          assert.equal(probe.wanted, NEVER, 'forgotten');
          assert.ok(probe.lateMs <= 2 * TICK_MS + 5, `${probe.lateMs} ms late`);
        }
        assert.equal(wheel.next(), NEVER);
      }),
      { numRuns: 200 },
    );
  });

  it('a jump of the clock serves everything once', () => {
    const wheel = new TimerWheel(0);
    const probes = Array.from({ length: 100 }, (_, i) => {
      const probe = new Probe();
      probe.wanted = i * 37;
      wheel.set(probe, probe.wanted);
      return probe;
    });
    wheel.advance(1e9);
    assert.ok(probes.every((probe) => probe.fired === 1));
  });

  it('a timer may set itself and others from its deadline', () => {
    const wheel = new TimerWheel(0);
    const [a, b, c] = [new Probe(), new Probe(), new Probe()];
    for (const probe of [a, b, c]) {
      probe.wanted = 10;
      wheel.set(probe, 10);
    }
    // Whichever is served first moves the two others: one away, one out.
    const order: Probe[] = [];
    for (const probe of [a, b, c]) {
      probe.onFire = () => {
        order.push(probe);
        const [later, never] = [a, b, c].filter((other) => other !== probe);
        if (order.length > 1 || later === undefined || never === undefined) return;
        later.wanted = 1000;
        wheel.set(later, 1000);
        never.wanted = NEVER;
        wheel.cancel(never);
      };
    }
    wheel.advance(100);
    assert.equal(order.length, 1);
    wheel.advance(2000);
    assert.equal(order.length, 2);
  });

  it('filing and taking out of one slot keeps its chain whole', () => {
    const wheel = new TimerWheel(0);
    const probes = Array.from({ length: 5 }, () => new Probe());
    for (const probe of probes) wheel.set(probe, 10);
    for (const i of [2, 4, 0]) wheel.cancel(probes[i] ?? new Probe());
    for (const i of [1, 3]) {
      const probe = probes[i];
      assert.ok(probe);
      probe.wanted = 5;
      wheel.set(probe, 5);
    }
    wheel.advance(50);
    assert.deepEqual(
      probes.map((probe) => probe.fired),
      [0, 1, 0, 1, 0],
    );
    assert.equal(wheel.next(), NEVER);
  });

  it('leaves the rest for the next call when there is no time for more, and forgets none', () => {
    const wheel = new TimerWheel(0);
    const probes = Array.from({ length: 1000 }, () => new Probe());
    for (const [i, probe] of probes.entries()) {
      probe.wanted = 100 + (i % 50);
      wheel.set(probe, probe.wanted);
    }
    const fired = (): number => probes.filter((probe) => probe.fired === 1).length;
    const limit = { hasTime: () => false };
    let calls = 0;
    for (let before = 0; before < 1000; before = fired(), calls++) {
      wheel.advance(200, limit);
      const served = fired() - before;
      assert.ok(served > 0 && served <= 16, `${served} in one call`);
      if (fired() < 1000) assert.ok(wheel.next() <= 200, 'the rest is due at once');
    }
    assert.ok(calls >= 60);
    wheel.advance(400);
    assert.equal(fired(), 1000);
    assert.equal(wheel.next(), NEVER);
  });
});
