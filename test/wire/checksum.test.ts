import assert from 'node:assert/strict';
import fc from 'fast-check';
import { allocate, release } from '../../src/base/arena.ts';
import { fold16, pseudoAddressSum, pseudoSum, sum16 } from '../../src/wire/checksum.ts';

/** RFC 1071 §4.1, word by word. */
function naive(bytes: Uint8Array, initial = 0): number {
  let sum = initial;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return sum;
}

const same = (a: number, b: number): boolean =>
  a % 0xffff === b % 0xffff && (a === 0) === (b === 0);

describe('wire/checksum', () => {
  it('equals the naive sum for every length up to 2048', () => {
    const bytes = Uint8Array.from({ length: 2100 }, (_, i) => (i * 167 + (i >> 3)) & 255);
    for (let len = 0; len <= 2048; len++) {
      const off = len & 7;
      const view = new DataView(bytes.buffer, 0);
      const sum = sum16(view, off, len);
      assert.ok(same(sum, naive(bytes.subarray(off, off + len))), `length ${len}`);
      assert.ok(sum >= 0 && sum <= 0xffff);
    }
  });

  it('equals the naive sum at any offset, for any bytes, continued from any sum', () => {
    const any = fc.uint8Array({ maxLength: 200 });
    fc.assert(
      fc.property(any, fc.nat(7), fc.integer({ min: 0, max: 0xffff }), (body, off, initial) => {
        const bytes = new Uint8Array(off + body.length);
        bytes.set(body, off);
        const sum = sum16(new DataView(bytes.buffer), off, body.length, initial);
        assert.ok(same(sum, naive(body, initial)));
      }),
    );
  });

  it('holds for 64 KiB of ones', () => {
    const bytes = new Uint8Array(65_535).fill(255);
    assert.ok(same(sum16(new DataView(bytes.buffer), 0, bytes.length), naive(bytes)));
  });

  it('is the same over memory of the arena', () => {
    for (const len of [0, 1, 15, 64, 1447, 4096]) {
      const bytes = allocate(4096);
      for (let i = 0; i < 4096; i++) bytes[i] = (i * 31 + len) & 255;
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      const expected = naive(bytes.subarray(0, len), 0x1234);
      assert.ok(same(sum16(view, 0, len, 0x1234), expected), `length ${len}`);
      release(bytes);
    }
  });

  it('takes address words that are not there for zero', () => {
    assert.equal(pseudoAddressSum(new Int32Array(0), 0, 4, 6, 17), 17);
  });

  it('folds to 16 bits', () => {
    for (const n of [0, 0xffff, 0x1_0000, 0x1_ffff, 0xffff_ffff]) {
      assert.ok(fold16(n) <= 0xffff);
      assert.ok(same(fold16(n), n));
    }
  });

  it('sums the pseudo-header of both families', () => {
    const words = fc.array(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), {
      minLength: 8,
      maxLength: 8,
    });
    fc.assert(
      fc.property(words, fc.nat(255), fc.nat(65_535), (all, protocol, len) => {
        const key = Int32Array.from(all);
        const bytes = new Uint8Array(40);
        const view = new DataView(bytes.buffer);
        for (let i = 0; i < 8; i++) view.setInt32(4 * i, key[i] ?? 0);
        view.setUint32(32, len);
        view.setUint32(36, protocol);
        assert.ok(same(pseudoSum(pseudoAddressSum(key, 0, 4, 6, protocol), len), naive(bytes)));
        view.setInt32(0, 0);
        for (const at of [4, 8, 16, 20, 24]) view.setInt32(at, 0);
        assert.ok(same(pseudoSum(pseudoAddressSum(key, 0, 4, 4, protocol), len), naive(bytes)));
      }),
    );
  });
});
