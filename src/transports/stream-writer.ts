/**
 * Frames towards one guest over a stream socket, framing included, in large writes.
 *
 * Frames are built in place in a slab. Most writes are done when they return; while one waits for the
 * guest, what is flushed gathers behind it and goes with the next, so that a slow guest costs few and
 * large writes. Slabs pass from `current` (being filled) to `full` (waiting, in order) and, once written,
 * to `free`; one that is written out while current starts again from its beginning and stays in the cache. When
 * eight are in use the guest is not draining: `reserve` says so, and `onRoom` follows later.
 */
import { assert } from '../base/assert.ts';
import { makePacketSlab, releaseSlab, type Slab } from '../base/slab.ts';
import type { FrameWriter } from '../stack/link.ts';
import { type Framing, MAX_FRAME_LEN } from './framing.ts';
import type { LinkStats } from './link-stats.ts';

export const TX_SLAB_LEN: number = 256 << 10;
export const TX_SLABS = 8;

/** The part of a socket in use; see `HostStream`. */
export interface ByteSink {
  /** @returns whether all is written; else {@link StreamWriter.onWritten} is to be called */
  write(bytes: Uint8Array): boolean;
}

class TxSlab {
  readonly slab: Slab = makePacketSlab(TX_SLAB_LEN);
  readonly buffer: Buffer = Buffer.from(
    this.slab.bytes.buffer,
    this.slab.bytes.byteOffset,
    TX_SLAB_LEN,
  );
  /** Written up to here. */
  sent = 0;
  /** Filled with whole frames up to here. */
  filled = 0;
}

export class StreamWriter implements FrameWriter {
  readonly offload = false;
  slab: Slab;
  private readonly sink: ByteSink;
  private readonly framing: Framing;
  private readonly stats: LinkStats;
  private readonly onRoom: () => void;
  private readonly free: TxSlab[] = [];
  private readonly full: TxSlab[] = [];
  private current: TxSlab;
  private allocated = 1;
  /** What the write under way covers; `undefined` when there is none. */
  private writing: TxSlab | undefined = undefined;
  private writingTo = 0;
  /** Offset of the reservation in `current`; -1 without one. */
  private reserved = -1;
  private waiting = false;
  private closed = false;

  /** @param onRoom `reserve` works again after it returned -1 */
  constructor(sink: ByteSink, framing: Framing, stats: LinkStats, onRoom: () => void) {
    this.sink = sink;
    this.framing = framing;
    this.stats = stats;
    this.onRoom = onRoom;
    this.current = new TxSlab();
    this.slab = this.current.slab;
  }

  reserve(maxLen: number): number {
    assert(maxLen <= MAX_FRAME_LEN, 'frame too long for the link');
    const need = this.framing.headerLen + maxLen;
    if (this.closed || (this.current.filled + need > TX_SLAB_LEN && !this.nextSlab())) {
      this.stats.stalls++;
      this.waiting = true;
      return -1;
    }
    this.reserved = this.current.filled + this.framing.headerLen;
    return this.reserved;
  }

  commit(len: number): void {
    assert(this.reserved >= 0, 'commit without reserve');
    if (len > 0) {
      this.framing.writeLength(this.slab.view, this.current.filled, len);
      this.current.filled = this.reserved + len;
      this.stats.framesToGuest++;
      this.stats.bytesToGuest += len;
    }
    this.reserved = -1;
  }

  commitOffload(): void {
    assert(false, 'a stream link offloads nothing');
  }

  flush(): void {
    if (this.writing === undefined) this.pump();
  }

  /** Write no more; forget what is queued. */
  close(): void {
    this.closed = true;
  }

  /** Give the slabs back, once the socket no longer reads them. */
  release(): void {
    for (const tx of new Set([this.current, ...this.full, ...this.free])) releaseSlab(tx.slab);
  }

  /** Make another slab current. @returns false when all are in use */
  private nextSlab(): boolean {
    let next = this.free.pop();
    if (next === undefined) {
      if (this.allocated === TX_SLABS) return false;
      next = new TxSlab();
      this.allocated++;
    }
    // Filled to the end, and if nothing was left to send it would have started anew.
    this.full.push(this.current);
    this.current = next;
    this.slab = next.slab;
    if (this.writing === undefined) this.pump();
    return true;
  }

  /** The write that had to wait is done. */
  onWritten(): void {
    if (this.writing === undefined || this.closed) return;
    this.finishWrite(this.writing);
    this.pump();
    if (!this.waiting || !this.hasRoom) return;
    this.waiting = false;
    this.onRoom();
  }

  private get hasRoom(): boolean {
    return this.free.length > 0 || this.allocated < TX_SLABS || this.current.filled === 0;
  }

  private pump(): void {
    for (;;) {
      const next = this.full[0] ?? this.current;
      if (this.closed || next.sent === next.filled) return;
      this.writing = next;
      this.writingTo = next.filled;
      if (!this.sink.write(next.buffer.subarray(next.sent, next.filled))) return;
      this.finishWrite(next);
    }
  }

  private finishWrite(done: TxSlab): void {
    this.writing = undefined;
    done.sent = this.writingTo;
    if (done.sent < done.filled) return;
    assert(this.reserved < 0 || done !== this.current, 'written while a frame is being built');
    done.sent = 0;
    done.filled = 0;
    if (done === this.current) return;
    this.full.shift();
    this.free.push(done);
  }
}
