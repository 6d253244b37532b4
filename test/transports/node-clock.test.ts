import assert from 'node:assert/strict';
import { NEVER } from '../../src/base/time.ts';
import { NodeClock } from '../../src/transports/node-clock.ts';

const wake = (clock: NodeClock, at: number): Promise<number> =>
  new Promise((done) => clock.wakeAt(at, () => done(clock.now())));

describe('transports/node-clock', () => {
  it('wakes at the moment asked for, not before', async () => {
    const clock = new NodeClock();
    const at = clock.now() + 3.5;
    assert.ok((await wake(clock, at)) >= at);
  });

  it('wakes for a moment that has passed', async () => {
    const clock = new NodeClock();
    await wake(clock, clock.now() - 100);
  });

  it('serves only the last request: an earlier one at once, a later one later', async () => {
    const clock = new NodeClock();
    const start = clock.now();
    clock.wakeAt(start + 60_000, () => assert.fail('replaced'));
    await wake(clock, start + 2);
    clock.wakeAt(clock.now() + 2, () => assert.fail('replaced'));
    const at = clock.now() + 8;
    assert.ok((await wake(clock, at)) >= at);
  });

  it('does not wake when cancelled, and can be asked again', async () => {
    const clock = new NodeClock();
    clock.wakeAt(clock.now() + 1, () => assert.fail('cancelled'));
    clock.wakeAt(NEVER, () => assert.fail('never'));
    await wake(new NodeClock(), clock.now() + 4);
    await wake(clock, clock.now() + 1);
  });

  it('wakes at a moment too far for one Node timer by not waking now', () => {
    const clock = new NodeClock();
    clock.wakeAt(clock.now() + 2 ** 40, () => assert.fail('too early'));
    clock.wakeAt(NEVER, () => undefined);
  });
});
