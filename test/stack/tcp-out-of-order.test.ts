/** What arrived out of order, against a map of bytes; and what it costs. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { BufferPool, costOf, MIN_BUFFER } from '../../src/base/buffer-pool.ts';
import { ByteRing } from '../../src/base/byte-ring.ts';
import { type Seq, seq, seqAdd, seqDiff } from '../../src/base/seq.ts';
import { OutOfOrder } from '../../src/stack/tcp/out-of-order.ts';

const BASE = seq(0x7fff_f000); // the numbers wrap in every run
const RANGES = 128;

/** A pool that counts the storage it hands out, of which no more than half is ever copied when rings grow. */
class CountingPool extends BufferPool {
  acquired = 0;

  override acquire(atLeast: number): Uint8Array | undefined {
    const buffer = super.acquire(atLeast);
    this.acquired += buffer?.length ?? 0;
    return buffer;
  }
}

interface Bench {
  readonly pool: CountingPool;
  readonly store: OutOfOrder;
  readonly received: ByteRing;
}

function open(budget = 1 << 24, limit = RANGES): Bench {
  const pool = new CountingPool(budget);
  return { pool, store: new OutOfOrder(pool, limit), received: new ByteRing(pool) };
}

const at = (n: number): Seq => seqAdd(BASE, n);
/** The stream's byte at `n`. */
const byteAt = (n: number): number => (n * 167 + (n >> 8)) & 255;
const bytesAt = (n: number, len: number): Uint8Array =>
  Uint8Array.from({ length: len }, (_, i) => byteAt(n + i));
const add = (store: OutOfOrder, n: number, len: number): number =>
  store.add(at(n), bytesAt(n, len), 0, len);

const rangesOf = (store: OutOfOrder): [number, number][] =>
  Array.from({ length: store.count }, (_, i) => [
    seqDiff(store.start(i), BASE),
    seqDiff(store.end(i), BASE),
  ]);

function assertHolds(ring: ByteRing, from: number, to: number): void {
  const out = new Uint8Array(ring.length);
  ring.copyOut(0, ring.length, out, 0);
  assert.deepEqual(out, bytesAt(from, to - from));
}

const pieceFor = (len: number): number =>
  costOf(Math.max(MIN_BUFFER, 2 ** Math.ceil(Math.log2(len))));

describe('stack/tcp out-of-order', () => {
  const segment = fc
    .tuple(fc.integer({ min: 1, max: 30_000 }), fc.integer({ min: 1, max: 3000 }))
    .map(([n, len]) => ({ what: 'add' as const, n, len }));
  const nearby = fc
    .tuple(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 60 }))
    .map(([n, len]) => ({ what: 'add' as const, n, len }));
  const fill = fc
    .integer({ min: 1, max: 4000 })
    .map((len) => ({ what: 'fill' as const, n: 0, len }));
  const drop = fc.constant({ what: 'drop' as const, n: 0, len: 0 });

  it('holds the bytes that a set holds, and moves them when the edge reaches them', () => {
    const steps = fc.array(
      fc.oneof({ weight: 6, arbitrary: segment }, { weight: 6, arbitrary: nearby }, fill, drop),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(steps, (run) => {
        const { pool, store, received } = open();
        const held = new Set<number>();
        let edge = 0;
        for (const { what, n, len } of run) {
          if (what === 'add') {
            const start = edge + n;
            const i = add(store, start, len);
            assert.ok(i >= 0 && store.indexOf(at(start)) === i);
            assert.ok(store.covers(at(start), at(start + len)));
            for (let k = 0; k < len; k++) held.add(start + k);
          } else if (what === 'fill') {
            received.append(bytesAt(edge, len), 0, len);
            edge += len;
            const moved = store.moveTo(received, at(edge));
            let expected = 0;
            while (held.has(edge + expected)) expected++;
            assert.equal(moved, expected);
            edge += moved;
            for (const k of held) if (k < edge) held.delete(k);
          } else if (store.count > 0) {
            const [from = 0, to = 0] = rangesOf(store).at(-1) ?? [];
            store.dropLast();
            for (let k = from; k < to; k++) held.delete(k);
          }
          const sorted = [...held].sort((x, y) => x - y);
          const starts = sorted.filter((k) => !held.has(k - 1));
          const ends = sorted.filter((k) => !held.has(k + 1)).map((k) => k + 1);
          assert.deepEqual(
            rangesOf(store),
            starts.map((start, i) => [start, ends[i]]),
          );
          assert.equal(store.indexOf(at(edge)), -1);
          assertHolds(received, 0, edge);
        }
        received.clear();
        store.clear();
        assert.equal(pool.inUse, 0);
      }),
      { numRuns: 200 },
    );
  });

  it('costs what arrived, and not the gap before it', () => {
    const { pool, store } = open();
    add(store, 2_000_000, 1);
    assert.equal(pool.inUse, pieceFor(1));
    add(store, 1_000_000, 5000);
    assert.equal(pool.inUse, pieceFor(1) + pieceFor(5000));
  });

  it('costs at most twice the bytes of each range, or the smallest piece', () => {
    fc.assert(
      fc.property(fc.array(segment, { minLength: 1, maxLength: 60 }), (run) => {
        const { pool, store } = open();
        for (const { n, len } of run) add(store, n * 3, len);
        const bound = rangesOf(store).reduce((sum, [from, to]) => sum + pieceFor(to - from), 0);
        assert.equal(pool.inUse, bound);
      }),
    );
  });

  it('refuses one range too many, and goes on extending those it has', () => {
    const { pool, store } = open();
    for (let i = 0; i < RANGES; i++) assert.ok(add(store, 10 + i * 2, 1) >= 0);
    assert.ok(store.isFull);
    assert.equal(add(store, 10_000, 1), -1);
    assert.equal(pool.inUse, RANGES * pieceFor(1));
    assert.equal(add(store, 10 + 2 * RANGES - 1, 1), RANGES - 1);
    assert.equal(add(store, 9, 1), 0);
    assert.ok(add(store, 11, 1) >= 0);
    assert.equal(store.count, RANGES - 1);
  });

  it('refuses what the pool refuses, and keeps what it has', () => {
    const { store, received } = open(2 * costOf(MIN_BUFFER));
    add(store, 10, 1);
    add(store, 30_000, 1);
    assert.equal(add(store, 20_000, 1), -1);
    assert.equal(add(store, 30_001, MIN_BUFFER), -1);
    assert.deepEqual(rangesOf(store), [
      [10, 11],
      [30_000, 30_001],
    ]);
    assert.equal(received.append(bytesAt(0, 10), 0, 10), false);
    store.dropLast();
    assert.ok(received.append(bytesAt(0, 10), 0, 10));
    assert.equal(store.moveTo(received, at(10)), 1);
    assertHolds(received, 0, 11);
  });

  it('leaves a range at the edge that there is no memory to join', () => {
    const half = MIN_BUFFER / 2 + 1;
    const { pool, store, received } = open(3 * costOf(MIN_BUFFER));
    add(store, half, half);
    received.append(bytesAt(0, half), 0, half);
    const taken = pool.acquire(MIN_BUFFER);
    assert.equal(store.moveTo(received, at(half)), 0);
    assert.deepEqual(rangesOf(store), [[half, 2 * half]]);
    assert.ok(taken !== undefined);
    pool.release(taken);
    received.release(half);
    assert.equal(store.moveTo(received, at(half)), half);
    assertHolds(received, half, 2 * half);
  });

  describe('the storage taken for a window of 2 MiB is a small multiple of it', () => {
    const WINDOW = 2 << 20;
    const MSS = 1448;
    const count = Math.floor(WINDOW / MSS);
    const order = (of: (i: number) => number): number[] =>
      Array.from({ length: count }, (_, i) => of(i));
    const shapes: Record<string, number[]> = {
      'one loss, then all in order': order((i) => i),
      'from the last segment down': order((i) => count - 1 - i),
      'from the ends to the middle': order((i) => (i % 2 === 0 ? i >> 1 : count - 1 - (i >> 1))),
      'blocks of 100 swapped': order((i) =>
        Math.min(count - 1, (Math.floor(i / 100) ^ 1) * 100 + (i % 100)),
      ),
    };
    for (const [name, segments] of Object.entries(shapes)) {
      it(name, () => {
        const { pool, store, received } = open();
        for (const i of segments) assert.ok(add(store, MSS + i * MSS, MSS) >= 0);
        received.append(bytesAt(0, MSS), 0, MSS);
        let edge = MSS;
        edge += store.moveTo(received, at(edge));
        assertHolds(received, 0, edge);
        assert.ok(edge > WINDOW - 200 * MSS);
        assert.ok(pool.acquired <= 6 * WINDOW, `${pool.acquired}`);
        assert.ok(pool.inUse <= 2 * WINDOW);
      });
    }
  });

  it('bytes from the end down, one a segment, take storage in proportion', () => {
    const { pool, store } = open();
    const len = 100_000;
    for (let n = len; n > 0; n--) assert.equal(add(store, n, 1), 0);
    assert.ok(pool.acquired <= 4 * len, `${pool.acquired}`);
  });

  it('every other byte, again and again, holds its limit of ranges and takes no more storage', () => {
    const { pool, store } = open();
    for (let turn = 0; turn < 50; turn++) {
      for (let n = 2; n < 4000; n += 2) add(store, n, 1);
    }
    assert.equal(store.count, RANGES);
    assert.equal(pool.acquired, RANGES * MIN_BUFFER);
  });
});
