import assert from 'node:assert/strict';
import { ExpiringSet } from '../../src/base/expiring-set.ts';

describe('base/expiring-set', () => {
  it('remembers for a while, and longer what is added again', () => {
    const set = new ExpiringSet(4, 100);
    assert.ok(set.isEmpty);
    set.add(1000, 'a');
    assert.ok(!set.isEmpty);
    assert.deepEqual(
      [set.has(1099, 'a'), set.has(1100, 'a'), set.has(1000, 'b')],
      [true, false, false],
    );
    set.add(1090, 'a');
    assert.ok(set.has(1189, 'a'));
  });

  it('is bounded: the oldest is forgotten', () => {
    const set = new ExpiringSet(3, 100);
    for (const member of ['a', 'b', 'c', 'a', 'd']) set.add(0, member);
    assert.deepEqual(
      ['a', 'b', 'c', 'd'].map((member) => set.has(0, member)),
      [true, false, true, true],
    );
  });
});
