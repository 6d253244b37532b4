/** The ring against a naive model: an array of bytes. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { BufferPool, costOf, MIN_BUFFER, trimPools } from '../../src/base/buffer-pool.ts';
import { ByteRing } from '../../src/base/byte-ring.ts';
import { viewOf } from '../../src/base/run.ts';

class Model {
  bytes: number[] = [];
  lent: { view: Uint8Array; copy: Uint8Array } | undefined = undefined;
  reserved: Uint8Array | undefined = undefined;
}

interface Real {
  readonly pool: BufferPool;
  readonly ring: ByteRing;
}

type Step = (m: Model, r: Real) => void;

let counter = 0;
const fresh = (len: number): Uint8Array => Uint8Array.from({ length: len }, () => counter++ & 255);

const append =
  (len: number): Step =>
  (m, r) => {
    if (m.reserved !== undefined) return;
    const bytes = fresh(len);
    assert.ok(r.ring.append(bytes, 0, len));
    m.bytes.push(...bytes);
  };

const prepend =
  (len: number): Step =>
  (m, r) => {
    if (m.reserved !== undefined || m.lent !== undefined) return;
    const bytes = fresh(len);
    assert.ok(r.ring.prepend(bytes, 0, len));
    m.bytes.unshift(...bytes);
  };

/** Join a ring whose bytes wrap when `skip` is not 0. */
const join =
  (skip: number, len: number): Step =>
  (m, r) => {
    if (m.reserved !== undefined) return;
    const next = new ByteRing(r.pool);
    const bytes = fresh(skip + len);
    next.append(bytes, 0, skip);
    next.append(bytes, skip, Math.min(len, 1));
    next.release(skip);
    next.append(bytes, skip + Math.min(len, 1), len - Math.min(len, 1));
    assert.ok(r.ring.join(next));
    assert.deepEqual([next.length, next.capacity], [0, 0]);
    m.bytes.push(...bytes.subarray(skip));
  };

const release =
  (part: number): Step =>
  (m, r) => {
    const n = Math.floor(part * m.bytes.length);
    m.lent = undefined;
    r.ring.release(n);
    m.bytes = m.bytes.slice(n);
  };

const lend: Step = (m, r) => {
  if (m.lent !== undefined) return;
  const view = viewOf(r.ring.lend());
  assert.ok(view.length > 0 || m.bytes.length === 0);
  assert.deepEqual([...view], m.bytes.slice(0, view.length));
  if (view.length > 0) m.lent = { view, copy: view.slice() };
};

const reserve =
  (min: number, more: number): Step =>
  (m, r) => {
    if (m.reserved !== undefined) return;
    m.reserved = r.ring.reserve(min, min + more);
    const len = m.reserved?.length ?? min;
    assert.ok(min <= len && len <= min + more);
  };

const fill =
  (part: number): Step =>
  (m, r) => {
    if (m.reserved === undefined) return;
    const bytes = fresh(Math.floor(part * m.reserved.length));
    m.reserved.set(bytes);
    m.reserved = undefined;
    r.ring.fill(bytes.length);
    for (const byte of bytes) m.bytes.push(byte);
  };

const steps = fc.oneof(
  fc.integer({ min: 1, max: 6000 }).map(append),
  fc.integer({ min: 1, max: 6000 }).map(prepend),
  fc.tuple(fc.constantFrom(0, 200, 3000), fc.nat(9000)).map(([skip, len]) => join(skip, len)),
  fc.double({ min: 0, max: 1, noNaN: true }).map(release),
  fc.constant(release(1)),
  fc.constant(lend),
  fc
    .tuple(fc.integer({ min: 1, max: 6000 }), fc.nat(6000))
    .map(([min, more]) => reserve(min, more)),
  fc.double({ min: 0, max: 1, noNaN: true }).map(fill),
  fc.constantFrom(fill(0), fill(1)),
);

const heldBy = (ring: ByteRing): number => (ring.capacity === 0 ? 0 : costOf(ring.capacity));

describe('base/byte-ring', () => {
  it('holds what the model holds, whatever is done to it', () => {
    fc.assert(
      fc.property(fc.array(steps, { maxLength: 40 }), (run) => {
        const pool = new BufferPool(1 << 24);
        const real: Real = { pool, ring: new ByteRing(pool) };
        const model = new Model();
        for (const step of run) {
          step(model, real);
          const len = model.bytes.length;
          assert.equal(real.ring.length, len);
          const out = new Uint8Array(len);
          real.ring.copyOut(0, len, out, 0);
          assert.deepEqual(out, Uint8Array.from(model.bytes));
          for (let at = 0; at < len; at += real.ring.peek(at).len) {
            const run = real.ring.peek(at);
            assert.ok(run.len > 0);
            assert.deepEqual(viewOf(run), out.subarray(at, at + run.len));
          }
          assert.equal(real.ring.peek(len).len, 0);
          if (model.lent !== undefined)
            assert.deepEqual(model.lent.view, model.lent.copy, 'a lent run moved');
          if (model.lent === undefined) assert.equal(pool.inUse, heldBy(real.ring));
        }
        real.ring.clear();
        assert.equal(pool.inUse, 0);
      }),
      { numRuns: 300 },
    );
  });

  it('reads any part', () => {
    const ring = new ByteRing(new BufferPool(1 << 20));
    // Two turns around storage of 4096 bytes, so that the end wraps.
    for (let i = 0; i < 3; i++) {
      ring.append(fresh(3000), 0, 3000);
      if (i < 2) ring.release(3000 - 1);
    }
    const all = new Uint8Array(ring.length);
    ring.copyOut(0, ring.length, all, 0);
    for (const [off, len] of [
      [0, 0],
      [1, 20],
      [1000, 2000],
      [2999, 3],
    ] as const) {
      const part = new Uint8Array(len + 2);
      ring.copyOut(off, len, part, 1);
      assert.deepEqual(part.subarray(1, 1 + len), all.subarray(off, off + len));
    }
  });

  it('costs nothing when empty', () => {
    const pool = new BufferPool(1 << 20);
    const ring = new ByteRing(pool);
    assert.equal(ring.lend().len, 0);
    ring.append(fresh(10), 0, 10);
    assert.equal(pool.inUse, costOf(MIN_BUFFER));
    ring.release(10);
    assert.equal(pool.inUse, 0);
    ring.clear();
    assert.equal(pool.inUse, 0);
  });

  it('keeps space that is lent while it is empty, and costs nothing after that', () => {
    const pool = new BufferPool(1 << 20);
    const ring = new ByteRing(pool);
    ring.append(fresh(10), 0, 10);
    const space = ring.reserve(100, 200);
    assert.equal(space?.length, 200);
    ring.release(10);
    assert.equal(pool.inUse, costOf(MIN_BUFFER));
    space?.set([1, 2, 3]);
    ring.fill(3);
    assert.deepEqual([...viewOf(ring.lend())], [1, 2, 3]);
    ring.release(3);
    assert.equal(pool.inUse, 0);
    ring.reserve(1, 1);
    ring.fill(0);
    assert.equal(pool.inUse, 0);
  });

  it('lends no space across its end, nor more than the pool has', () => {
    const ring = new ByteRing(new BufferPool(4096));
    ring.append(fresh(3000), 0, 3000);
    ring.release(2000);
    assert.equal(ring.reserve(4096 - 3000 + 1, 4096), undefined);
    assert.equal(ring.reserve(4096, 4096), undefined);
    assert.equal(ring.reserve(1, 4096)?.length, 4096 - 3000);
  });

  it('refuses what the pool refuses, and keeps what it has', () => {
    const pool = new BufferPool(4096);
    const ring = new ByteRing(pool);
    const bytes = fresh(4096);
    assert.ok(ring.append(bytes, 0, 4096));
    assert.equal(ring.append(bytes, 0, 1), false);
    assert.deepEqual(viewOf(ring.lend()), bytes);
  });

  it('asserts on misuse', () => {
    const empty = (): ByteRing => new ByteRing(new BufferPool(1 << 20));
    assert.throws(() => empty().fill(0));
    const lent = empty();
    lent.reserve(1, 1);
    assert.throws(() => lent.reserve(1, 1));
    assert.throws(() => lent.append(fresh(1), 0, 1));
    assert.throws(() => empty().release(1));
    assert.throws(() => empty().copyOut(0, 1, fresh(1), 0));
  });
});

describe('base/buffer-pool', () => {
  it('hands out powers of two and never more than its budget', () => {
    const pool = new BufferPool(64 * 1024);
    const held: Uint8Array[] = [];
    for (const want of [4000, 4096, 4097, 10_000, 16_384, 4096]) {
      const buffer = pool.acquire(want);
      assert.ok(buffer !== undefined && buffer.length >= want);
      assert.equal(buffer.length & (buffer.length - 1), 0);
      held.push(buffer);
    }
    assert.equal(pool.tight, true);
    assert.equal(pool.acquire(32_768), undefined);
    assert.equal(pool.refused, 1);
    for (const buffer of held) pool.release(buffer);
    assert.equal(pool.inUse, 0);
    assert.equal(pool.tight, false);
  });

  it('counts the objects beside a small buffer, and not beside a large one', () => {
    const pool = new BufferPool(1 << 20);
    pool.acquire(1);
    assert.equal(pool.inUse, 2 * MIN_BUFFER);
    pool.acquire(2049);
    assert.equal(pool.inUse, 2 * MIN_BUFFER + 4096);
  });

  it('refuses more than the largest class', () => {
    const pool = new BufferPool(1 << 30);
    assert.equal(pool.acquire((1 << 23) + 1), undefined);
  });

  it('keeps what is needed again and again, and gives the rest back', () => {
    const pool = new BufferPool(1 << 24);
    const take = (): Uint8Array => pool.acquire(8192) ?? assert.fail();
    const [needed, ...rest] = [take(), take(), take()];
    for (const buffer of [...rest, needed]) pool.release(buffer ?? assert.fail());
    for (let turn = 0; turn < 3; turn++) {
      const again = take();
      assert.equal(again, needed);
      pool.release(again);
      assert.ok(pool.trim(), 'one is kept');
    }
    trimPools();
    assert.equal(pool.trim(), false, 'and given back when it is not needed any more');
    assert.equal(pool.inUse, 0);
  });

  it('says when the next taker may be refused', () => {
    const pool = new BufferPool(1 << 20);
    assert.equal(pool.spent, false);
    pool.acquire(1 << 19);
    pool.acquire(1 << 18);
    assert.equal(pool.spent, false);
    pool.acquire(1);
    assert.equal(pool.spent, true);
  });
});
