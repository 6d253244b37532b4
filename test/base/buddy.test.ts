/** The allocator of offsets against a map of what is held. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Buddy, CHUNK } from '../../src/base/buddy.ts';

const TOP = 18; // 256 KiB
const SIZE = 1 << TOP;

type Step =
  | { readonly what: 'take'; readonly shift: number }
  | { readonly what: 'give'; readonly at: number };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.integer({ min: 8, max: TOP }).map((shift) => ({ what: 'take' as const, shift })),
    fc.nat(100).map((at) => ({ what: 'give' as const, at })),
  ),
  { maxLength: 120 },
);

describe('base/buddy', () => {
  it('gives pieces that are aligned and do not overlap, and refuses only what cannot be', () => {
    fc.assert(
      fc.property(steps, (run) => {
        const buddy = new Buddy(TOP);
        const held: [number, number][] = [];
        const isFree = (offset: number, size: number): boolean =>
          held.every(([at, shift]) => at + 2 ** shift <= offset || offset + size <= at);
        for (const step of run) {
          if (step.what === 'give') {
            const [piece] = held.splice(step.at % Math.max(held.length, 1), 1);
            if (piece !== undefined) buddy.release(...piece);
            continue;
          }
          const size = 2 ** step.shift;
          const offset = buddy.allocate(step.shift);
          if (offset >= 0) {
            assert.equal(offset % size, 0);
            assert.ok(offset + size <= SIZE && isFree(offset, size));
            held.push([offset, step.shift]);
            continue;
          }
          for (let at = 0; at < SIZE; at += size) assert.ok(!isFree(at, size), 'there was room');
        }
        for (const piece of held) buddy.release(...piece);
        assert.equal(buddy.allocate(TOP), 0, 'all of it is one piece again');
      }),
      { numRuns: 300 },
    );
  });

  it('is one piece again after all of the smallest were given back in any order', () => {
    const buddy = new Buddy(TOP);
    const offsets: number[] = [];
    for (let at = buddy.allocate(8); at >= 0; at = buddy.allocate(8)) offsets.push(at);
    assert.equal(offsets.length, SIZE / 256);
    for (let i = 0; i < offsets.length; i += 2) buddy.release(offsets[i] ?? 0, 8);
    for (let i = offsets.length - 1; i > 0; i -= 2) buddy.release(offsets[i] ?? 0, 8);
    assert.equal(buddy.allocate(TOP), 0);
  });

  it('refuses more than the block', () => {
    assert.equal(new Buddy(TOP).allocate(TOP + 1), -1);
  });

  it('asserts on a piece given back twice', () => {
    const buddy = new Buddy(TOP);
    const at = buddy.allocate(TOP);
    buddy.release(at, TOP);
    assert.throws(() => buddy.release(at, TOP));
  });

  describe('stale chunks', () => {
    const staleOf = (buddy: Buddy, most = SIZE): [number, number][] => {
      const runs: [number, number][] = [];
      buddy.takeStale(most, (offset, len) => runs.push([offset / CHUNK, len / CHUNK]));
      return runs;
    };

    it('are those that were used, and free from one look to the next', () => {
      const buddy = new Buddy(TOP);
      buddy.age();
      buddy.age();
      assert.deepEqual(staleOf(buddy), [], 'nothing was used');
      const large = buddy.allocate(17);
      const small = buddy.allocate(8);
      buddy.release(large, 17);
      assert.deepEqual(staleOf(buddy), []);
      buddy.age();
      assert.deepEqual(staleOf(buddy), [[0, 2]]);
      assert.deepEqual(staleOf(buddy), [], 'once');
      buddy.release(small, 8);
      buddy.age();
      assert.deepEqual(staleOf(buddy), [[2, 1]]);
    });

    it('are not those in use again meanwhile', () => {
      const buddy = new Buddy(TOP);
      buddy.release(buddy.allocate(TOP), TOP);
      buddy.age();
      const taken = buddy.allocate(16);
      assert.deepEqual(staleOf(buddy), [[1, 3]]);
      buddy.release(taken, 16);
      assert.deepEqual(staleOf(buddy), []);
    });

    it('are taken in parts', () => {
      const buddy = new Buddy(TOP);
      buddy.release(buddy.allocate(TOP), TOP);
      buddy.age();
      assert.deepEqual(staleOf(buddy, CHUNK), [[0, 1]]);
      assert.deepEqual(staleOf(buddy, 2 * CHUNK), [[1, 2]]);
      assert.deepEqual(staleOf(buddy), [[3, 1]]);
    });
  });
});
