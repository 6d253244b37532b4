import { strict as assert } from 'node:assert';
import { seededRandom } from '../../../src/base/random.ts';
import { Heaviest, type Weighed } from '../../../src/base/shares/heaviest.ts';

class Item implements Weighed<Item> {
  weighedNext: Item | undefined = undefined;
  weighedPrev: Item | undefined = undefined;
  weightClass = -1;
  weight = 0;
}

const makeItems = (n: number): Item[] => Array.from({ length: n }, () => new Item());

describe('base/shares/heaviest', () => {
  it('knows the heaviest within an eighth, whatever the order of changes', () => {
    const random = seededRandom(7);
    const items = makeItems(50);
    const set = new Heaviest<Item>();
    for (let round = 0; round < 20_000; round++) {
      const item = items[(random.next32() >>> 0) % items.length];
      assert.ok(item);
      item.weight = (random.next32() >>> 0) >>> (random.next32() & 31);
      set.set(item, item.weight);
      const most = Math.max(...items.map(({ weight }) => weight));
      const found = set.get();
      if (most === 0) assert.equal(found, undefined);
      else assert.ok(found !== undefined && found.weight >= Math.min(most, 2 ** 31) * 0.875);
    }
  });

  it('is exact below 16', () => {
    const set = new Heaviest<Item>();
    const items = makeItems(15);
    for (const [i, item] of items.entries()) set.set(item, i + 1);
    for (let i = 14; i >= 0; i--) {
      const item = set.get();
      assert.equal(item, items[i]);
      if (item !== undefined) set.set(item, 0);
    }
    assert.equal(set.get(), undefined);
  });
});
