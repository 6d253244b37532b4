/**
 * Frames towards one guest over a stream socket, framing included, in large writes; see `SlabQueue`. When
 * all of its slabs are in use the guest is not draining: `reserve` returns -1, and `onRoom` follows later.
 */
import { assert } from '../base/assert.ts';
import { makePacketSlab, releaseSlab, type Slab } from '../base/slab.ts';
import { type ByteSink, SlabQueue } from '../native/stream/slab-queue.ts';
import type { FrameWriter } from '../stack/link.ts';
import { type Framing, MAX_FRAME_LEN } from './framing.ts';
import type { LinkStats } from './link-stats.ts';

export const TX_SLAB_LEN: number = 256 << 10;
export const TX_SLABS = 8;
/** As many full slabs suffice to keep a guest busy that drains; the others are the stack's. */
const CROWDED_SLABS = 2;

export class StreamWriter implements FrameWriter {
  readonly offload = false;
  readonly takesLarge = true;
  readonly longestFrame: number;
  slab: Slab;
  private readonly queue: SlabQueue;
  private readonly framing: Framing;
  private readonly stats: LinkStats;
  private readonly onBroken: () => void;
  private isBroken = false;
  /** Offset of the reservation in `slab`; -1 without one. */
  private reserved = -1;

  /**
   * @param onRoom `reserve` works again after it returned -1
   * @param onBroken the framing has failed, in the middle of a batch: nothing is written any more
   */
  constructor(
    sink: ByteSink,
    framing: Framing,
    stats: LinkStats,
    onRoom: () => void,
    onBroken: () => void = () => {},
  ) {
    const options = { slabs: TX_SLABS, slabLen: TX_SLAB_LEN, makeSlab: makePacketSlab };
    this.queue = new SlabQueue(sink, options, onRoom);
    this.framing = framing;
    this.longestFrame = framing.longestFrame ?? MAX_FRAME_LEN;
    this.stats = stats;
    this.onBroken = onBroken;
    this.slab = this.queue.slab;
  }

  /** Send bytes that are no frame, before all frames. */
  greet(bytes: Uint8Array): void {
    const { queue } = this;
    assert(queue.makeRoom(bytes.length), 'a greeting comes first');
    queue.slab.bytes.set(bytes, queue.filled);
    queue.fill(bytes.length);
  }

  get isCrowded(): boolean {
    return this.queue.backlog >= CROWDED_SLABS;
  }

  reserve(maxLen: number): number {
    assert(maxLen <= MAX_FRAME_LEN, 'frame too long for the link');
    const { queue, framing } = this;
    if (this.isBroken || !queue.makeRoom(framing.headerLen + maxLen)) {
      this.stats.stalls++;
      return -1;
    }
    this.slab = queue.slab;
    this.reserved = queue.filled + framing.headerLen;
    return this.reserved;
  }

  commit(len: number): void {
    assert(this.reserved >= 0, 'commit without reserve');
    if (len > 0) {
      if (this.framing.writeLength(this.slab.view, this.queue.filled, len) === false) {
        this.isBroken = true;
        this.reserved = -1;
        this.onBroken();
        return;
      }
      this.queue.fill(this.framing.headerLen + len);
      this.stats.framesToGuest++;
      this.stats.bytesToGuest += len;
    }
    this.reserved = -1;
  }

  commitOffload(): void {
    assert(false, 'a stream link offloads nothing');
  }

  flush(): void {
    assert(this.reserved < 0, 'flushed while a frame is being built');
    this.queue.flush();
  }

  /** Write no more; discard what is queued. */
  close(): void {
    this.queue.close();
  }

  /** The pending write is complete. */
  onWritten(): void {
    this.queue.onWritten();
  }

  /** Give the slabs back, once the socket no longer reads them. */
  release(): void {
    for (const slab of this.queue.slabs()) releaseSlab(slab);
  }
}
