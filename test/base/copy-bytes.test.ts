import assert from 'node:assert/strict';
import fc from 'fast-check';
import { allocate } from '../../src/base/arena.ts';
import { copyBytes } from '../../src/base/copy-bytes.ts';

const LEN = 4096;

describe('base/copy-bytes', () => {
  for (const [what, from, to] of [
    ['within the arena', allocate(LEN), allocate(LEN)],
    ['into the arena', new Uint8Array(LEN), allocate(LEN)],
    ['out of the arena', allocate(LEN), new Uint8Array(LEN)],
    ['between ordinary arrays', new Uint8Array(LEN), new Uint8Array(LEN)],
  ] as const) {
    it(`copies those bytes and no others, ${what}`, () => {
      const place = fc.record({
        fromOff: fc.nat(LEN),
        toOff: fc.nat(LEN),
        wanted: fc.oneof(fc.nat(64), fc.nat(LEN)),
      });
      for (let i = 0; i < LEN; i++) from[i] = i * 7 + 1;
      fc.assert(
        fc.property(place, ({ fromOff, toOff, wanted }) => {
          const len = Math.min(wanted, LEN - fromOff, LEN - toOff);
          to.fill(0);
          copyBytes(from, fromOff, to, toOff, len);
          const expected = new Uint8Array(LEN);
          for (let i = 0; i < len; i++) expected[toOff + i] = from[fromOff + i] ?? 0;
          assert.deepEqual(to.slice(0, LEN), expected);
        }),
      );
    });

    it(`refuses to go beyond either end, ${what}`, () => {
      assert.throws(() => copyBytes(from, LEN - 1, to, 0, 2));
      assert.throws(() => copyBytes(from, 0, to, LEN - 1, 2));
    });
  }

  it('bytes of one slab may overlap', () => {
    const slab = allocate(LEN);
    for (let i = 0; i < 100; i++) slab[i] = i;
    copyBytes(slab, 0, slab, 10, 90);
    assert.deepEqual([...slab.subarray(10, 100)], [...Array(90).keys()]);
  });
});
