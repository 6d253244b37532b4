import assert from 'node:assert/strict';
import { WorkList } from '../../src/base/work-list.ts';

describe('base/work-list', () => {
  it('gives what was put in since it was emptied, also what is put in meanwhile', () => {
    const list = new WorkList<number>();
    for (const round of [3, 1, 2]) {
      for (let i = 0; i < round; i++) list.push(i);
      assert.equal(list.length, round);
      const seen: number[] = [];
      for (let item = list.take(); item !== undefined; item = list.take()) {
        seen.push(item);
        if (item === 0) list.push(100);
      }
      assert.deepEqual(seen, [...Array.from({ length: round }, (_, i) => i), 100]);
      assert.equal(list.length, 0);
    }
  });

  it('keeps its array small though it is never empty', () => {
    const list = new WorkList<number>();
    list.push(0);
    for (let i = 1; i <= 100_000; i++) {
      list.push(i);
      assert.equal(list.take(), i - 1);
    }
    const items: unknown = Reflect.get(list, 'items');
    assert.ok(Array.isArray(items) && items.length < 5000);
  });
});
