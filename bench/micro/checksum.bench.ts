/** The Internet checksum: over the arena (WebAssembly), and over ordinary bytes (TypeScript). */
import { makePacketSlab, makeSlab } from '../../src/base/slab.ts';
import { sum16 } from '../../src/wire/checksum.ts';
import { runSuite } from './suite.ts';

const LEN = 65_536;
const arena = makePacketSlab(LEN);
const plain = makeSlab(LEN);
for (let i = 0; i < LEN; i++) arena.bytes[i] = plain.bytes[i] = (i * 31) & 0xff;

for (const len of [20, 66, 1480, 65_495]) {
  runSuite(
    `checksum of ${len} bytes`,
    {
      arena: () => {
        sum16(arena.view, 14, len, 17);
      },
      plain: () => {
        sum16(plain.view, 14, len, 17);
      },
    },
    len,
  );
}
