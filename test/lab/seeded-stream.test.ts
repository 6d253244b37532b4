import assert from 'node:assert/strict';
import { SeededStream } from '../../src/lab/seeded-stream.ts';

describe('seeded stream', () => {
  const read = (seed: number, size: number): Uint8Array => {
    const stream = new SeededStream(seed, size);
    const parts: Uint8Array[] = [];
    for (let part = stream.next(); part !== undefined; part = stream.next()) parts.push(part);
    return Buffer.concat(parts);
  };

  it('is as long as asked, and the same for the same seed', () => {
    for (const size of [0, 1, 4096, (1 << 20) + 1]) {
      assert.equal(read(3, size).length, size);
      assert.deepEqual(read(3, size), read(3, size));
    }
    assert.notDeepEqual(read(3, 64), read(4, 64));
  });

  it('no two pages are alike', () => {
    const bytes = read(5, 2 << 20);
    const pages = new Set<string>();
    for (let off = 0; off < bytes.length; off += 4096) {
      pages.add(Buffer.from(bytes.subarray(off, off + 4096)).toString('latin1'));
    }
    assert.equal(pages.size, 512);
  });
});
