/**
 * A multiplexer's bytes towards its link, in large writes.
 *
 * Few and small slabs on purpose: nothing can overtake what waits here, so it decides how long a small
 * message waits behind a bulk transfer.
 */
import { assert } from '../../base/assert.ts';
import { makeSlab, type Slab } from '../../base/slab.ts';
import type { MuxWriter } from '../../mux/writer.ts';
import { type ByteSink, SlabQueue } from '../../native/stream/slab-queue.ts';

export const MUX_SLAB_LEN: number = 128 << 10;
export const MUX_SLABS = 3;

export class MuxSlabWriter implements MuxWriter {
  room = 0;
  private readonly queue: SlabQueue;

  /** @param onRoom `reserve` works again after it returned -1 */
  constructor(sink: ByteSink, onRoom: () => void) {
    const options = { slabs: MUX_SLABS, slabLen: MUX_SLAB_LEN, makeSlab };
    this.queue = new SlabQueue(sink, options, onRoom);
  }

  get slab(): Slab {
    return this.queue.slab;
  }

  /** Nothing is waiting or being written. */
  get drained(): boolean {
    return this.queue.drained;
  }

  reserve(minLen: number): number {
    assert(minLen <= MUX_SLAB_LEN, 'reservation too long');
    if (!this.queue.makeRoom(minLen)) return -1;
    this.room = MUX_SLAB_LEN - this.queue.filled;
    return this.queue.filled;
  }

  commit(len: number): void {
    assert(len <= this.room, 'committed more than was reserved');
    this.queue.fill(len);
    this.room = 0;
  }

  flush(): void {
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
}
