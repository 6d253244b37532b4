/** A few frames for a guest that is to speak first: kept until it has, and then sent behind what answers it. */
import { makePacketSlab, releaseSlab, type Slab } from '../../base/slab.ts';
import type { FrameWriter } from '../../stack/link.ts';

/** A router advertisement, and questions for a neighbour or two. */
const HELD_LEN = 8_192;
const LEN_LEN = 2;

export class HeldFrames {
  readonly slab: Slab = makePacketSlab(HELD_LEN);
  private filled = 0;

  /** @returns where `maxLen` bytes may be written in `slab`; -1 when there is no room */
  reserve(maxLen: number): number {
    return this.filled + LEN_LEN + maxLen > HELD_LEN ? -1 : this.filled + LEN_LEN;
  }

  /** @param len of the frame that was reserved last */
  commit(len: number): void {
    if (len === 0) return;
    this.slab.view.setUint16(this.filled, len);
    this.filled += LEN_LEN + len;
  }

  /** Send them, as far as there is room. */
  sendBy(writer: FrameWriter): void {
    const { view, bytes } = this.slab;
    for (let at = 0; at < this.filled; ) {
      const len = view.getUint16(at);
      const to = writer.reserve(len);
      if (to >= 0) {
        writer.slab.bytes.set(bytes.subarray(at + LEN_LEN, at + LEN_LEN + len), to);
        writer.commit(len);
      }
      at += LEN_LEN + len;
    }
    this.filled = 0;
    writer.flush();
  }

  release(): void {
    releaseSlab(this.slab);
  }
}
