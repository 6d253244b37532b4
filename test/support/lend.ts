import { slabOver } from '../../src/base/slab.ts';
import type { FrameReader } from '../../src/stack/link.ts';

/**
 * Hand a frame to a reader as a link does: it is only lent. The bytes are spoilt once the reader returns, so that
 * whoever kept a view of them, not a copy, reads nonsense.
 */
export function lend(reader: FrameReader, now: number, frame: Uint8Array): void {
  reader.onFrame(now, slabOver(frame), 0, frame.length, false);
  frame.fill(0x5a);
}
