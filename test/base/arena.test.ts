import assert from 'node:assert/strict';
import {
  ARENA_BUFFER,
  ageFree,
  allocate,
  arenaInUse,
  discardStale,
  release,
} from '../../src/base/arena.ts';
import { makePacketSlab, makeSlab } from '../../src/base/slab.ts';
import { sum16 } from '../../src/wire/checksum.ts';

describe('base/arena', () => {
  it('is there: this Node has WebAssembly with SIMD', () => {
    assert.ok(ARENA_BUFFER !== undefined);
    assert.equal(allocate(5000).buffer, ARENA_BUFFER);
  });

  it('gives pieces of a power of two, and the same place again after its release', () => {
    const before = arenaInUse();
    const piece = allocate(5000);
    assert.equal(piece.length, 8192);
    assert.equal(arenaInUse(), before + 8192);
    release(piece);
    assert.equal(arenaInUse(), before);
    const again = allocate(8000);
    assert.deepEqual([again.byteOffset, again.length], [piece.byteOffset, 8192]);
    release(again);
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

  it('goes on with ordinary arrays when it is used up, and begins again when they are given back', () => {
    const pieces: Uint8Array[] = [];
    for (let i = 0; i < 200; i++) pieces.push(allocate(8 << 20));
    const buffers = new Set(pieces.map(({ buffer }) => buffer));
    assert.ok(buffers.size > 20 && buffers.has(pieces[0]?.buffer ?? new ArrayBuffer(0)));
    assert.ok(pieces.every(({ length }) => length === 8 << 20));
    const places = new Set(pieces.map(({ buffer, byteOffset }) => placeOf(buffer, byteOffset)));
    assert.equal(places.size, 200, 'no two at one place');
    for (const piece of pieces) release(piece);
    assert.equal(allocate(8 << 20).buffer, ARENA_BUFFER);
  });

  it('discards what lay unused from one look to the next, in parts, and leaves the rest alone', () => {
    discardAll();
    const kept = allocate(1 << 20).fill(7);
    release(allocate(1 << 20).fill(9));
    ageFree();
    let bytes = 0;
    const wipe = (stale: Uint8Array): void => {
      bytes += stale.length;
      stale.fill(0);
    };
    assert.equal(discardStale(1 << 19, wipe), 1 << 19);
    assert.ok(discardStale(1 << 30, wipe) >= 1 << 19);
    assert.ok(bytes >= 1 << 20);
    assert.equal(discardStale(1 << 30, wipe), 0);
    assert.ok(kept.every((byte) => byte === 7));
    release(kept);
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

const ids = new Map<ArrayBufferLike, number>();
function placeOf(buffer: ArrayBufferLike, offset: number): string {
  if (!ids.has(buffer)) ids.set(buffer, ids.size);
  return `${ids.get(buffer)}:${offset}`;
}

function discardAll(): void {
  ageFree();
  discardStale(1 << 30, () => {});
}

function plainOnes(): ReturnType<typeof makeSlab> {
  const slab = makeSlab(65_536);
  slab.bytes.fill(0xff);
  return slab;
}
