/**
 * A multiplexer's bytes towards its link, in large writes.
 *
 * Frames are built in place in a slab. Most writes are done when they return, and the slab starts again
 * while it is in the cache; while one waits for the kernel, what is flushed gathers behind it and goes with
 * the next. Few and small slabs on purpose: what waits here can be overtaken by nobody, so it decides how
 * long a small message waits behind a bulk transfer. All in use, the link is not draining: `reserve` says
 * so, and `onRoom` follows.
 */
import { assert } from '../../base/assert.ts';
import { type Slab, slabOver } from '../../base/slab.ts';
import type { MuxWriter } from '../../mux/writer.ts';

export const MUX_SLAB_LEN: number = 128 << 10;
export const MUX_SLABS = 3;

/** The part of a socket in use; see `HostStream`. */
export interface ByteSink {
  /** @returns whether all is written; else {@link MuxSlabWriter.onWritten} is to be called */
  write(bytes: Uint8Array): boolean;
}

class TxSlab {
  readonly buffer: Buffer = Buffer.allocUnsafeSlow(MUX_SLAB_LEN);
  readonly slab: Slab = slabOver(this.buffer);
  /** Written up to here. */
  sent = 0;
  /** Filled up to here. */
  filled = 0;
}

export class MuxSlabWriter implements MuxWriter {
  slab: Slab;
  room = 0;
  private readonly sink: ByteSink;
  private readonly onRoom: () => void;
  private readonly free: TxSlab[] = [];
  private readonly full: TxSlab[] = [];
  private current: TxSlab = new TxSlab();
  private allocated = 1;
  /** What the write under way covers; `undefined` when there is none. */
  private writing: TxSlab | undefined = undefined;
  private writingTo = 0;
  private waiting = false;
  private closed = false;

  /** @param onRoom `reserve` works again after it returned -1 */
  constructor(sink: ByteSink, onRoom: () => void) {
    this.sink = sink;
    this.onRoom = onRoom;
    this.slab = this.current.slab;
  }

  /** Nothing is waiting to be written, or being written. */
  get drained(): boolean {
    return this.writing === undefined && this.current.sent === this.current.filled;
  }

  reserve(minLen: number): number {
    assert(minLen <= MUX_SLAB_LEN, 'reservation too long');
    if (this.closed || !this.makeRoom(minLen)) {
      this.waiting = true;
      return -1;
    }
    this.room = MUX_SLAB_LEN - this.current.filled;
    return this.current.filled;
  }

  commit(len: number): void {
    assert(len <= this.room, 'committed more than was reserved');
    this.current.filled += len;
    this.room = 0;
  }

  flush(): void {
    if (this.writing === undefined) this.pump();
  }

  /** Write no more; forget what is queued. */
  close(): void {
    this.closed = true;
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
    return this.free.length > 0 || this.allocated < MUX_SLABS || this.current.filled === 0;
  }

  private makeRoom(minLen: number): boolean {
    if (this.current.filled + minLen <= MUX_SLAB_LEN) return true;
    this.flush();
    return !this.closed && (this.current.filled === 0 || this.nextSlab());
  }

  private nextSlab(): boolean {
    let next = this.free.pop();
    if (next === undefined) {
      if (this.allocated === MUX_SLABS) return false;
      next = new TxSlab();
      this.allocated++;
    }
    this.full.push(this.current);
    this.current = next;
    this.slab = next.slab;
    return true;
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
    done.sent = 0;
    done.filled = 0;
    if (done === this.current) return;
    this.full.shift();
    this.free.push(done);
  }
}
