/**
 * The buffers of a receive queue that are taken for the next packet: one chain, or several that are
 * written as if they were one. Those that the packet did not need stay in the queue.
 */
import type { ByteRing } from '../../base/byte-ring.ts';
import type { SplitQueue } from './split-queue.ts';

/** Bounds the work for a guest that lends tiny buffers. */
const MAX_SEGMENTS = 1024;

export class ReceiveBuffers {
  readonly queue: SplitQueue;
  private readonly heads: number[] = [];
  /** Of each chain: bytes up to its end. */
  private readonly ends: number[] = [];
  private count = 0;

  constructor(queue: SplitQueue) {
    this.queue = queue;
    queue.suppressKicks();
  }

  /**
   * Take chains until there are `len` bytes, or `maxChains` chains, which may have less. Chains taken
   * before and not given are put back first.
   *
   * @returns bytes in the chains; -1 when the guest has lent too few: it was asked for a kick
   */
  take(len: number, maxChains: number): number {
    const { queue } = this;
    this.putBack();
    queue.chain.clear();
    while (queue.chain.writableLen < len && this.count < maxChains) {
      if (queue.chain.segments > MAX_SEGMENTS) break;
      if (!queue.takeMore()) {
        // None is left: the next one comes with a kick, unless it has arrived in the meantime.
        if (queue.wantKick()) continue;
        this.putBack();
        return -1;
      }
      this.heads[this.count] = queue.head;
      this.ends[this.count] = queue.chain.writableLen;
      this.count++;
    }
    return queue.chain.writableLen;
  }

  /** How many of the chains taken a packet of `len` bytes fills. */
  chainsFor(len: number): number {
    let n = 1;
    while (n < this.count && (this.ends[n - 1] ?? 0) < len) n++;
    return n;
  }

  write(to: number, src: Uint8Array, srcOff: number, len: number): void {
    this.queue.chain.write(to, src, srcOff, len);
  }

  writeFrom(ring: ByteRing, to: number, len: number): void {
    this.queue.chain.writeFrom(ring, to, len);
  }

  /** Give the guest the chains that hold the `len` bytes written, all at once; at least one chain. */
  give(len: number): void {
    const used = this.chainsFor(len);
    let start = 0;
    for (let i = 0; i < used; i++) {
      const end = this.ends[i] ?? 0;
      this.queue.put(this.heads[i] ?? 0, Math.min(len, end) - start);
      start = end;
    }
    this.queue.publish();
    this.queue.untake(this.count - used);
    this.count = 0;
  }

  putBack(): void {
    this.queue.untake(this.count);
    this.count = 0;
  }
}
