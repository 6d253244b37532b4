/** Ranges against a set of bytes. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { seq, seqAdd, seqDiff } from '../../src/base/seq.ts';
import { Intervals } from '../../src/stack/tcp/intervals.ts';

const SPAN = 60;
const range = fc.tuple(fc.nat(SPAN - 1), fc.integer({ min: 1, max: 12 }));
const step = fc.oneof(
  range.map(([at, len]) => ({ what: 'add' as const, at, len })),
  fc.nat(SPAN).map((at) => ({ what: 'trim' as const, at, len: 0 })),
);

describe('stack/tcp intervals', () => {
  it('hold the bytes that a set holds, at any place of the sequence space', () => {
    const bases = fc.constantFrom(0, -30, 0x7fff_ffe0, -0x8000_0000);
    fc.assert(
      fc.property(bases, fc.array(step, { maxLength: 25 }), (base, steps) => {
        const at = (n: number): ReturnType<typeof seq> => seqAdd(seq(base), n);
        const set = new Set<number>();
        const intervals = new Intervals(128);
        for (const s of steps) {
          if (s.what === 'add') {
            const i = intervals.add(at(s.at), at(s.at + s.len));
            for (let n = s.at; n < s.at + s.len; n++) set.add(n);
            assert.ok(
              i >= 0 &&
                seqDiff(at(s.at), intervals.start(i)) >= 0 &&
                seqDiff(intervals.end(i), at(s.at + s.len)) >= 0,
            );
          } else {
            intervals.trim(at(s.at));
            for (const n of [...set]) if (n < s.at) set.delete(n);
          }
          const sorted = [...set].sort((x, y) => x - y);
          assert.equal(intervals.bytes, set.size);
          assert.equal(
            intervals.count,
            sorted.filter((n) => !set.has(n - 1)).length,
            'ranges are merged',
          );
          const last = sorted.at(-1);
          assert.equal(intervals.top, last === undefined ? undefined : at(last + 1));
          for (let n = 0; n < SPAN + 14; n += 3) {
            let covered = 0;
            for (let m = n; m < n + 9; m++) if (set.has(m)) covered++;
            assert.equal(intervals.uncovered(at(n), at(n + 9)), 9 - covered);
            let free = n;
            while (set.has(free)) free++;
            assert.equal(intervals.nextUncovered(at(n)), at(free));
            if (!set.has(n)) {
              const next = sorted.find((m) => m > n);
              assert.equal(intervals.nextCovered(at(n), at(999)), at(next ?? 999));
            }
          }
          for (const want of [1, 5, 20]) {
            const edge = intervals.edgeBelow(want, at(-1));
            const above = sorted.filter((n) => n >= seqDiff(edge, seq(base))).length;
            if (set.size < want) assert.equal(edge, at(-1));
            else assert.ok(above >= want);
          }
        }
        intervals.clear();
        assert.deepEqual([intervals.count, intervals.bytes, intervals.top], [0, 0, undefined]);
      }),
      { numRuns: 300 },
    );
  });

  it('refuse one range too many, but still widen those they have', () => {
    const intervals = new Intervals(2);
    assert.equal(intervals.add(seq(10), seq(12)), 0);
    assert.equal(intervals.add(seq(20), seq(22)), 1);
    assert.equal(intervals.add(seq(15), seq(16)), -1);
    assert.equal(intervals.add(seq(12), seq(20)), 0);
    assert.deepEqual([intervals.count, intervals.bytes], [1, 12]);
    assert.equal(intervals.start(7), 0);
    assert.equal(intervals.end(7), 0);
  });
});
