import assert from 'node:assert/strict';
import { WorkList } from '../../src/base/work-list.ts';

describe('base/work-list', () => {
  it('gives what was put in since it was cleared, also what is put in meanwhile', () => {
    const list = new WorkList<number>();
    for (const round of [3, 1, 2]) {
      for (let i = 0; i < round; i++) list.push(i);
      const seen: (number | undefined)[] = [];
      for (let i = 0; i < list.length; i++) {
        seen.push(list.at(i));
        if (i === 0) list.push(100);
      }
      assert.deepEqual(seen, [...Array.from({ length: round }, (_, i) => i), 100]);
      list.clear();
      assert.equal(list.length, 0);
      assert.equal(list.at(0), undefined);
    }
  });
});
