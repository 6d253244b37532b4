import { slabOver } from '../../src/base/slab.ts';
import { Frame } from '../../src/stack/frame.ts';
import type { FrameReader } from '../../src/stack/link.ts';

/** A record of `bytes`, of which nothing is known. */
export const frameOver = (bytes: Uint8Array): Frame =>
  new Frame().set(slabOver(bytes), 0, bytes.length);

/**
 * Hand a frame to a reader as a link does: it is only lent. The bytes are spoilt once the reader returns, so that
 * whoever kept a view of them, not a copy, reads nonsense.
 */
export function lend(reader: FrameReader, now: number, frame: Uint8Array): void {
  reader.onFrame(now, frameOver(frame));
  frame.fill(0x5a);
}
