import assert from 'node:assert/strict';
import { ARENA_BUFFER, allocate, release } from '../../src/base/arena.ts';
import { makePacketSlab, makeSlab } from '../../src/base/slab.ts';
import { sum16 } from '../../src/wire/checksum.ts';

describe('base/arena', () => {
  it('is there: this Node has WebAssembly with SIMD', () => {
    assert.ok(ARENA_BUFFER !== undefined);
    assert.equal(allocate(5000).buffer, ARENA_BUFFER);
  });

  it('gives pieces of a power of two, and the same piece again after its release', () => {
    const piece = allocate(5000);
    assert.equal(piece.length, 8192);
    release(piece);
    assert.equal(allocate(8000), piece);
  });

  it('gives pieces that do not overlap', () => {
    const pieces = Array.from({ length: 40 }, (_, i) => allocate(4096 + i * 100));
    pieces.forEach((piece, i) => {
      piece.fill(i);
    });
    pieces.forEach((piece, i) => {
      assert.ok(piece.every((byte) => byte === i));
      release(piece);
    });
  });

  it('goes on with ordinary arrays when it is used up', () => {
    const pieces: Uint8Array[] = [];
    while (pieces.at(-1)?.buffer === ARENA_BUFFER || pieces.length === 0) {
      pieces.push(allocate(8 << 20));
    }
    assert.equal(pieces.at(-1)?.length, 8 << 20);
    for (const piece of pieces) release(piece);
  });

  it('sums in place what the plain loop sums, at every length and alignment', () => {
    const arena = makePacketSlab(4096);
    const plain = makeSlab(4096);
    for (let i = 0; i < 4096; i++) {
      plain.bytes[i] = (i * 7919) >>> 3;
      arena.bytes[i] = plain.bytes[i] ?? 0;
    }
    const zeroIsOnes = (sum: number): number => (sum === 0xffff ? 0 : sum);
    for (let off = 0; off < 8; off++) {
      for (let len = 0; len < 2100; len++) {
        const expected = sum16(plain.view, off, len, 0x1234);
        const actual = sum16(arena.view, off, len, 0x1234);
        assert.equal(zeroIsOnes(actual), zeroIsOnes(expected), `off ${off}, len ${len}`);
      }
    }
  });

  it('sums the largest packet of all ones without overflow', () => {
    const arena = makePacketSlab(65_536);
    arena.bytes.fill(0xff);
    assert.equal(sum16(arena.view, 0, 65_535, 0xffff), sum16(plainOnes().view, 0, 65_535, 0xffff));
  });
});

function plainOnes(): ReturnType<typeof makeSlab> {
  const slab = makeSlab(65_536);
  slab.bytes.fill(0xff);
  return slab;
}
