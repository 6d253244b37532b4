/**
 * Cuts a byte stream into frames, in place.
 *
 * Reads land at a fixed offset of one slab ({@link StreamFrameSplitter.target}), so that the socket
 * always uses one buffer. When the last frame of a read is incomplete, its bytes are moved to
 * just before that offset, where the next read completes them. An impossible length means that
 * the stream is out of sync for good: the link must be closed.
 */
import { makePacketSlab, releaseSlab, type Slab } from '../base/slab.ts';
import type { Instant } from '../base/time.ts';
import { Frame } from '../stack/frame.ts';
import type { FrameReader } from '../stack/link.ts';
import { type Framing, MAX_FRAME_LEN, MAX_FRAMING_HEADER_LEN } from './framing.ts';
import type { LinkStats } from './link-stats.ts';

/** Bytes per read; larger ones gain nothing (the kernel's socket buffers are about as large). */
export const READ_LEN: number = 256 << 10;
/** Room for an incomplete frame, rounded up to a cache line. */
const CARRY_LEN = (MAX_FRAME_LEN + MAX_FRAMING_HEADER_LEN + 63) & ~63;

export class StreamFrameSplitter {
  /** The destination of reads. */
  readonly target: Uint8Array;
  private readonly framing: Framing;
  private readonly stats: LinkStats;
  private readonly slab: Slab = makePacketSlab(CARRY_LEN + READ_LEN);
  private readonly frame = new Frame();
  /** Bytes of an incomplete frame, ending at `CARRY_LEN`. */
  private carried = 0;
  private stopped = false;

  constructor(framing: Framing, stats: LinkStats) {
    this.framing = framing;
    this.stats = stats;
    this.target = this.slab.bytes.subarray(CARRY_LEN, CARRY_LEN + READ_LEN);
  }

  /**
   * `len` bytes were read to `target`.
   *
   * @returns false when the stream is broken
   */
  onRead(now: Instant, len: number, reader: FrameReader): boolean {
    const { bytes, view } = this.slab;
    const { frame, framing, stats } = this;
    const headerLen = framing.headerLen;
    const end = CARRY_LEN + len;
    let at = CARRY_LEN - this.carried;
    while (end - at >= headerLen && !this.stopped) {
      const frameLen = framing.readLength(view, at);
      if (frameLen < 0) {
        stats.drops.add('bad-frame-length');
        this.stopped = true;
        break;
      }
      const next = at + headerLen + frameLen;
      if (next > end) break;
      stats.framesToHost++;
      stats.bytesToHost += frameLen;
      reader.onFrame(now, frame.set(this.slab, at + headerLen, frameLen));
      at = next;
    }
    if (this.stopped) return false;
    this.carried = end - at;
    if (this.carried > 0) bytes.copyWithin(CARRY_LEN - this.carried, at, end);
    reader.onBatchEnd(now);
    return true;
  }

  /** Deliver no more frames, not even of the read in progress. */
  stop(): void {
    this.stopped = true;
  }

  /** Give the slab back, once the socket can no longer read into it. */
  release(): void {
    releaseSlab(this.slab);
  }
}
