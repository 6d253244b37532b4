/** The chain against a `Set`, which keeps the order of arrival too. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Chain, type Chained } from '../../src/base/chain.ts';

class Item implements Chained<Item> {
  chainNext: Item | undefined = undefined;
  chainPrev: Item | undefined = undefined;
}

describe('base/chain', () => {
  it('holds what a set holds, in the same order', () => {
    const change = fc.record({ at: fc.nat(9), isAdd: fc.boolean() });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 100 }), (changes) => {
        const items = Array.from({ length: 10 }, () => new Item());
        const chain = new Chain<Item>();
        const model = new Set<Item>();
        for (const { at, isAdd } of changes) {
          const item = items[at];
          assert.ok(item !== undefined);
          if (!isAdd) {
            chain.delete(item);
            model.delete(item);
          } else if (!model.has(item)) {
            chain.add(item);
            model.add(item);
          }
          assert.deepEqual(
            [...chain].map((each) => items.indexOf(each)),
            [...model].map((each) => items.indexOf(each)),
          );
          assert.equal(chain.size, model.size);
          assert.equal(chain.first, [...model][0]);
        }
        for (const item of items) {
          if (!model.has(item))
            assert.ok(item.chainNext === undefined && item.chainPrev === undefined);
        }
      }),
    );
  });

  it('may lose the member just given', () => {
    const chain = new Chain<Item>();
    const items = Array.from({ length: 5 }, () => new Item());
    for (const item of items) chain.add(item);
    let seen = 0;
    for (const item of chain) {
      chain.delete(item);
      seen++;
    }
    assert.equal(seen, 5);
    assert.equal(chain.size, 0);
  });

  it('refuses a member twice', () => {
    const chain = new Chain<Item>();
    const item = new Item();
    chain.add(item);
    assert.throws(() => chain.add(item));
  });
});
