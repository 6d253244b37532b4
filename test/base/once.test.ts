import assert from 'node:assert/strict';
import { once } from '../../src/base/once.ts';

describe('base/once', () => {
  for (const value of ['something', undefined]) {
    it(`makes ${value} at the first call, and not again`, () => {
      let calls = 0;
      const get = once(() => {
        calls++;
        return value;
      });
      assert.equal(calls, 0);
      assert.equal(get(), value);
      assert.equal(get(), value);
      assert.equal(calls, 1);
    });
  }
});
