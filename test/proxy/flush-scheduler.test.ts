import assert from 'node:assert/strict';
import { ImmediateFlush } from '../../src/proxy/flush-scheduler.ts';

describe('proxy/flush-scheduler', () => {
  it('flushes once for all that is scheduled in one turn, and again in the next', async () => {
    let flushes = 0;
    const scheduler = new ImmediateFlush(() => {
      flushes++;
    });
    for (let i = 0; i < 10; i++) scheduler.schedule();
    assert.equal(flushes, 0);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(flushes, 1);
    scheduler.schedule();
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(flushes, 2);
  });
});
