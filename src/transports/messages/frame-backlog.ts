/**
 * Frames that senders have no way to keep, taken from the kernel's queue before they can be processed: in order, so many
 * bytes of all and half of what is free of one sender, so that none takes the others' room. What is beyond is dropped.
 *
 * Filled from its start until all of it was taken, then from its start again: frames stay in one piece.
 */
import { makePacketSlab, releaseSlab, type Slab } from '../../base/slab.ts';

export const BACKLOG_LEN: number = 1 << 20;
export const BACKLOG_FRAMES = 2048;

/** Who sends. Only the backlog writes the field. */
export interface BacklogSender {
  /** Bytes of it that wait. */
  backlogLen: number;
}

export class FrameBacklog<S extends BacklogSender> {
  private slab: Slab | undefined = undefined;
  private readonly senders: (S | undefined)[] = [];
  private readonly offs = new Int32Array(BACKLOG_FRAMES);
  private readonly lens = new Int32Array(BACKLOG_FRAMES);
  private first = 0;
  private end = 0;
  private filled = 0;

  get isEmpty(): boolean {
    return this.first === this.end;
  }

  /** @param off in `bytes`, of which `len` are copied. @returns false when there is no room for a frame of `sender` */
  add(sender: S, bytes: Uint8Array, off: number, len: number): boolean {
    const free = BACKLOG_LEN - this.filled;
    if (this.end === BACKLOG_FRAMES || len > free || sender.backlogLen + len > free) return false;
    this.slab ??= makePacketSlab(BACKLOG_LEN);
    this.slab.bytes.set(bytes.subarray(off, off + len), this.filled);
    this.senders[this.end] = sender;
    this.offs[this.end] = this.filled;
    this.lens[this.end] = len;
    this.end++;
    this.filled += len;
    sender.backlogLen += len;
    return true;
  }

  /** Take the oldest frame out. @param onFrame called with it; the slab is borrowed for the call */
  take(onFrame: (sender: S, slab: Slab, off: number, len: number) => void): void {
    const { slab, senders, offs, lens, first } = this;
    const sender = senders[first];
    if (slab === undefined || sender === undefined) return;
    senders[first] = undefined;
    const len = lens[first] ?? 0;
    sender.backlogLen -= len;
    this.first++;
    onFrame(sender, slab, offs[first] ?? 0, len);
    if (!this.isEmpty) return;
    this.first = 0;
    this.end = 0;
    this.filled = 0;
  }

  /** What waits is discarded. */
  release(): void {
    this.end = 0;
    this.first = 0;
    this.senders.length = 0;
    if (this.slab !== undefined) releaseSlab(this.slab);
    this.slab = undefined;
  }
}
