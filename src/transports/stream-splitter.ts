/**
 * Cuts a byte stream into frames, in place.
 *
 * Reads land at a fixed offset of one slab ({@link StreamFrameSplitter.target}), so that the socket
 * always uses one buffer. When the last frame of a read is incomplete, its bytes are moved to
 * just before that offset, where the next read completes them. An impossible length means that
 * the stream is out of sync for good: the link must be closed.
 *
 * Delivery may stop between two frames; the rest stays where it is, and nothing may be read until it is delivered.
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

/**
 * `done`: every frame was delivered, read on. `left`: call `deliver` again before the next read. `broken`: the stream is
 * out of sync, or was stopped.
 */
export type Delivery = 'done' | 'left' | 'broken';

/** Whether a delivery may go on: asked before each frame but the first. */
export interface DeliveryLimit {
  more(): boolean;
}

export class StreamFrameSplitter {
  /** The destination of reads. */
  readonly target: Uint8Array;
  private readonly framing: Framing;
  private readonly stats: LinkStats;
  private readonly slab: Slab = makePacketSlab(CARRY_LEN + READ_LEN);
  private readonly frame = new Frame();
  /** What was read and not delivered; between reads, of an incomplete frame. */
  private at = CARRY_LEN;
  private end = CARRY_LEN;
  private stopped = false;

  constructor(framing: Framing, stats: LinkStats) {
    this.framing = framing;
    this.stats = stats;
    this.target = this.slab.bytes.subarray(CARRY_LEN, CARRY_LEN + READ_LEN);
  }

  /** `len` bytes were read to `target`; {@link deliver} follows. */
  onRead(len: number): void {
    this.end = CARRY_LEN + len;
  }

  /** Deliver what was read, as one batch. */
  deliver(now: Instant, reader: FrameReader, limit: DeliveryLimit): Delivery {
    const { view } = this.slab;
    const { frame, framing, stats, end } = this;
    const headerLen = framing.headerLen;
    let { at } = this;
    let isFirst = true;
    while (end - at >= headerLen && !this.stopped) {
      const frameLen = framing.readLength(view, at);
      if (frameLen < 0) {
        stats.drops.add('bad-frame-length');
        this.stopped = true;
        break;
      }
      const next = at + headerLen + frameLen;
      if (next > end) break;
      if (!isFirst && !limit.more()) {
        this.at = at;
        reader.onBatchEnd(now);
        return this.stopped ? 'broken' : 'left';
      }
      isFirst = false;
      stats.framesToHost++;
      stats.bytesToHost += frameLen;
      reader.onFrame(now, frame.set(this.slab, at + headerLen, frameLen));
      at = next;
    }
    if (this.stopped) return 'broken';
    this.carry(at);
    reader.onBatchEnd(now);
    return this.stopped ? 'broken' : 'done';
  }

  /** Move an incomplete frame, which begins at `at`, to where the next read completes it. */
  private carry(at: number): void {
    const carried = this.end - at;
    if (carried > 0) this.slab.bytes.copyWithin(CARRY_LEN - carried, at, this.end);
    this.at = CARRY_LEN - carried;
    this.end = CARRY_LEN;
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
