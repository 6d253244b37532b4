import assert from 'node:assert/strict';
import { Allowance } from '../../../src/base/shares/allowance.ts';

describe('base/shares/allowance', () => {
  it('gives so many at once, then so many a second, and never more at once', () => {
    const allowance = new Allowance(2, 4);
    const taken = (now: number): number => {
      for (let n = 0; ; n++) if (allowance.take(now) > 0) return n;
    };
    assert.equal(taken(1_000), 2);
    assert.equal(taken(1_249), 0);
    assert.equal(taken(1_250), 1);
    assert.equal(taken(60_000), 2);
  });

  it('says how long to wait', () => {
    const allowance = new Allowance(1, 4);
    assert.equal(allowance.take(500), 0);
    assert.equal(allowance.take(500), 250);
    assert.equal(allowance.take(700), 50);
    assert.equal(allowance.take(750), 0);
  });

  it('gives several together, or none', () => {
    const allowance = new Allowance(8, 4);
    assert.equal(allowance.take(1_000, 6), 0);
    assert.equal(allowance.take(1_000, 6), 1_000);
    assert.equal(allowance.take(1_000, 2), 0);
  });

  it('a clock that stands, or goes back, gives nothing', () => {
    const allowance = new Allowance(1, 1);
    assert.equal(allowance.take(1_000), 0);
    assert.equal(allowance.take(0), 1_000);
  });
});
