/**
 * The queue of bytes to be written to a stream: built in place in a few slabs, and written in large writes.
 *
 * Most writes are complete when they return, and the slab is reused while it is in the cache. While one waits
 * for the peer, flushed bytes gather behind it and are part of the next write, so that a slow peer causes few and
 * large writes. Slabs pass from `current` (being filled) to `full` (waiting, in order) and, once written, to
 * `free`. When all are in use the peer is not draining: there is no room, and `onRoom` follows.
 */
import { assert } from '../../base/assert.ts';
import type { Slab } from '../../base/slab.ts';

/** The part of a stream in use; see `HostStream`. */
export interface ByteSink {
  /** @returns whether all is written; else {@link SlabQueue.onWritten} is to be called */
  write(bytes: Uint8Array, off: number, len: number): boolean;
}

export interface SlabQueueOptions {
  /** Slabs are made when they are first needed, this many at most. */
  readonly slabs: number;
  readonly slabLen: number;
  makeSlab(lenBytes: number): Slab;
}

class QueuedSlab {
  readonly slab: Slab;
  /** Written up to here. */
  sent = 0;
  /** Filled up to here. */
  filled = 0;

  constructor(slab: Slab) {
    this.slab = slab;
  }
}

export class SlabQueue {
  private readonly sink: ByteSink;
  private readonly options: SlabQueueOptions;
  private readonly onRoom: () => void;
  private readonly free: QueuedSlab[] = [];
  private readonly full: QueuedSlab[] = [];
  private current: QueuedSlab;
  private allocated = 1;
  /** The slab of the pending write; `undefined` when there is none. */
  private writing: QueuedSlab | undefined = undefined;
  private writingTo = 0;
  private waiting = false;
  private closed = false;

  /** @param onRoom `makeRoom` works again after it returned false */
  constructor(sink: ByteSink, options: SlabQueueOptions, onRoom: () => void) {
    this.sink = sink;
    this.options = options;
    this.onRoom = onRoom;
    this.current = new QueuedSlab(options.makeSlab(options.slabLen));
  }

  /** The slab being filled; another one after a {@link makeRoom}. */
  get slab(): Slab {
    return this.current.slab;
  }

  /** Where the next bytes go. */
  get filled(): number {
    return this.current.filled;
  }

  /** Full slabs that wait, or are being written. */
  get backlog(): number {
    return this.full.length;
  }

  /** Nothing is waiting or being written. */
  get drained(): boolean {
    return this.writing === undefined && this.current.sent === this.current.filled;
  }

  /**
   * Have `len` bytes free at `filled` of `slab`.
   *
   * @returns false when the peer is not draining; `onRoom` follows when it is again
   */
  makeRoom(len: number): boolean {
    const { slabLen } = this.options;
    assert(len <= slabLen, 'more than a slab holds');
    if (!this.closed && this.current.filled + len > slabLen) this.flush();
    const fits = this.current.filled + len <= slabLen;
    if (!this.closed && (fits || this.nextSlab())) return true;
    this.waiting = true;
    return false;
  }

  /** `len` bytes more are in place. */
  fill(len: number): void {
    this.current.filled += len;
    assert(this.current.filled <= this.options.slabLen, 'filled beyond the slab');
  }

  flush(): void {
    if (this.writing === undefined) this.pump();
  }

  /** Write no more; discard what is queued. */
  close(): void {
    this.closed = true;
  }

  /** Every slab, to be released once the stream no longer reads them. */
  *slabs(): Iterable<Slab> {
    for (const queued of new Set([this.current, ...this.full, ...this.free])) yield queued.slab;
  }

  /** The pending write is complete. */
  onWritten(): void {
    if (this.writing === undefined || this.closed) return;
    this.finishWrite(this.writing);
    this.pump();
    if (!this.waiting || !this.hasRoom) return;
    this.waiting = false;
    this.onRoom();
  }

  private get hasRoom(): boolean {
    const { free, allocated, current, options } = this;
    return free.length > 0 || allocated < options.slabs || current.filled === 0;
  }

  private nextSlab(): boolean {
    let next = this.free.pop();
    if (next === undefined) {
      const { slabs, slabLen, makeSlab } = this.options;
      if (this.allocated === slabs) return false;
      next = new QueuedSlab(makeSlab(slabLen));
      this.allocated++;
    }
    this.full.push(this.current);
    this.current = next;
    return true;
  }

  private pump(): void {
    for (;;) {
      const next = this.full[0] ?? this.current;
      if (this.closed || next.sent === next.filled) return;
      this.writing = next;
      this.writingTo = next.filled;
      if (!this.sink.write(next.slab.bytes, next.sent, next.filled - next.sent)) return;
      this.finishWrite(next);
    }
  }

  private finishWrite(done: QueuedSlab): void {
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
