import assert from 'node:assert/strict';
import { fineMs, wholeMs } from '../../src/network/view-numbers.ts';

describe('network/view-numbers', () => {
  for (const [ms, whole, fine] of [
    [2088.052_074_999_998_7, 2088, 2088.052],
    [0.004_999, 0, 0.005],
    [-0.2, 0, 0],
  ] as const) {
    it(`${ms} ms is shown as ${whole}, of a round trip as ${fine}`, () => {
      assert.ok(Object.is(wholeMs(ms), whole));
      assert.ok(Object.is(fineMs(ms), fine));
    });
  }
});
