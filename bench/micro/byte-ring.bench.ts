/** A segment through the ring of a connection: written, committed, read out, released. */
import { BufferPool } from '../../src/base/buffer-pool.ts';
import { ByteRing } from '../../src/base/byte-ring.ts';
import { makePacketSlab } from '../../src/base/slab.ts';
import { runSuite } from './suite.ts';

const slab = makePacketSlab(131_072);
const ring = new ByteRing(new BufferPool(16 << 20));
for (const len of [64, 1460, 65_000]) {
  runSuite(
    `ring, ${len} bytes in and out`,
    {
      ByteRing: () => {
        ring.append(slab.bytes, 54, len);
        ring.copyOut(0, len, slab.bytes, 54);
        ring.release(len);
      },
    },
    len,
  );
}
