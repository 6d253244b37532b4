/**
 * Frames towards one guest on a socket that keeps the boundaries of messages, one frame a message.
 *
 * Theory of operation
 * -------------------
 * Frames are built in place in a ring, and leave in order, as many at once as the kernel takes. What it does not take
 * stays. A connected socket reports when there is room again. Another does not, and is tried again: soon at first, because a
 * guest that is at work drains its socket in microseconds, then after a millisecond, and less and less often while nothing
 * moves. When the ring is full the guest is not draining: `reserve` returns -1, and `onRoom` follows.
 *
 * Frames may be written while the link is being attached. That the receiver is gone is reported once, in a later turn.
 */
import { assert } from '../../base/assert.ts';
import { makePacketSlab, releaseSlab, type Slab } from '../../base/slab.ts';
import * as errno from '../../native/constants.ts';
import type { FrameBatch } from '../../native/posix.ts';
import type { Watch } from '../../native/watch.ts';
import type { FrameWriter } from '../../stack/link.ts';
import { MAX_FRAME_LEN } from '../framing.ts';
import type { LinkStats } from '../link-stats.ts';

export const QUEUE_LEN: number = 256 << 10;
/** A power of two. */
export const QUEUE_FRAMES = 512;
/** Above this the room is for the stack's own frames; below it a guest that was not draining is again. */
const HALF = QUEUE_LEN / 2;
/** Tries without success in turns of the event loop, before those that wait. */
const SPINS = 4;
const MAX_DELAY_MS = 64;
/** What a frame takes of a socket's buffer, in bytes: at least what the kernel reckons for all but few lengths. */
const costOf = (len: number): number => len * 1.5 + 1024;

/** The kernel has no room now. */
const FULL: ReadonlySet<number> = new Set([errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM]);
/** Nobody receives any more. EPERM: it is connected to another socket now. */
const GONE: ReadonlySet<number> = new Set([
  ...[errno.ECONNREFUSED, errno.ENOENT, errno.ENOTCONN, errno.EPIPE, errno.ECONNRESET],
  ...[errno.EPROTOTYPE, errno.EPERM],
]);

export interface FrameQueueOptions {
  readonly batch: FrameBatch;
  readonly fd: number;
  /** Of the receiver, as a `struct sockaddr`; none on a connected socket. */
  readonly name?: Uint8Array | undefined;
  readonly stats: LinkStats;
  /**
   * How much more the receiver may leave unread, where the socket is shared: in bytes, as {@link FrameQueue.unread}.
   *
   * @param wanted for the next frame
   */
  readonly room?: (wanted: number) => number;
  /** See `Watch`; for a connected socket. */
  readonly sendLater?: Watch['sendLater'];
  /** `reserve` works again after it returned -1. */
  readonly onRoom: () => void;
  /** Nobody receives any more; no frame is sent from here on. */
  readonly onGone: () => void;
  /** The kernel refuses a frame for a reason that lasts, for the first time. */
  readonly onRefused: (errno: number) => void;
}

export class FrameQueue implements FrameWriter {
  readonly offload = false;
  readonly takesLarge = true;
  readonly slab: Slab = makePacketSlab(QUEUE_LEN);
  /** Bytes that the receiver may not have read, as its owner accounts for them, with the kernel's overhead. */
  unread = 0;
  private readonly options: FrameQueueOptions;
  private readonly offs = new Int32Array(QUEUE_FRAMES);
  private readonly lens = new Int32Array(QUEUE_FRAMES);
  private head = 0;
  private count = 0;
  private bytes = 0;
  /** Where the next frame goes. */
  private at = 0;
  private reserved = -1;
  private isWaiting = false;
  private isRefused = false;
  /** The first frame is being sent later. */
  private isSending = false;
  private isUp = true;
  private spins = 0;
  private delayMs = 1;
  private spin: NodeJS.Immediate | undefined = undefined;
  private timer: NodeJS.Timeout | undefined = undefined;

  constructor(options: FrameQueueOptions) {
    this.options = options;
  }

  get isCrowded(): boolean {
    return this.bytes > HALF;
  }

  reserve(maxLen: number): number {
    assert(maxLen <= MAX_FRAME_LEN, 'frame too long for the link');
    this.reserved = this.isUp ? this.roomFor(maxLen) : -1;
    if (this.reserved < 0 && this.isUp && !this.isRetrying) {
      this.pump();
      this.reserved = this.isUp ? this.roomFor(maxLen) : -1;
    }
    if (this.reserved < 0) {
      this.isWaiting = true;
      this.options.stats.stalls++;
    }
    return this.reserved;
  }

  commit(len: number): void {
    assert(this.reserved >= 0, 'commit without reserve');
    if (len > 0) {
      const i = (this.head + this.count++) & (QUEUE_FRAMES - 1);
      this.offs[i] = this.reserved;
      this.lens[i] = len;
      this.bytes += len;
      this.at = this.reserved + len;
    }
    this.reserved = -1;
  }

  commitOffload(): void {
    assert(false, 'a message socket offloads nothing');
  }

  flush(): void {
    assert(this.reserved < 0, 'flushed while a frame is being built');
    if (!this.isRetrying) this.pump();
  }

  /** Send no more; discard what is queued. */
  close(): void {
    this.isUp = false;
    clearImmediate(this.spin);
    clearTimeout(this.timer);
  }

  /** Give the slab back, once nobody writes to it any more. */
  release(): void {
    releaseSlab(this.slab);
  }

  private get isRetrying(): boolean {
    return this.isSending || this.spin !== undefined || this.timer !== undefined;
  }

  /** @returns where `len` bytes are free, in one piece; -1 where they are not */
  private roomFor(len: number): number {
    if (this.count === QUEUE_FRAMES) return -1;
    if (this.count === 0) return 0;
    const { at } = this;
    const first = this.offs[this.head] ?? 0;
    if (at <= first) return first - at >= len ? at : -1; // what is free lies between the last and the first
    if (QUEUE_LEN - at >= len) return at;
    return first >= len ? 0 : -1;
  }

  private pump(): void {
    const { batch, fd, name } = this.options;
    while (this.isUp && this.count > 0) {
      const frames = this.allowed();
      if (frames === 0) {
        this.retry();
        return;
      }
      batch.begin(this.slab.bytes, name);
      for (let i = 0; i < frames; i++) {
        const at = (this.head + i) & (QUEUE_FRAMES - 1);
        batch.add(this.offs[at] ?? 0, this.lens[at] ?? 0);
      }
      const sent = batch.send(fd);
      if (sent > 0) this.onSent(sent);
      else if (!this.onRefused(-sent)) return;
    }
  }

  /** How many frames may be sent now: one at least to who has nothing unread. */
  private allowed(): number {
    const { batch, room } = this.options;
    const most = Math.min(this.count, batch.capacity);
    if (room === undefined) return most;
    let left = room(this.costAt(0));
    let frames = 0;
    while (frames < most) {
      left -= this.costAt(frames);
      if (left < 0 && (frames > 0 || this.unread > 0)) break;
      frames++;
    }
    return frames;
  }

  private costAt(place: number): number {
    return costOf(this.lens[(this.head + place) & (QUEUE_FRAMES - 1)] ?? 0);
  }

  private onSent(frames: number): void {
    const { stats } = this.options;
    this.spins = 0;
    this.delayMs = 1;
    const before = this.bytes;
    for (let i = 0; i < frames; i++) {
      this.unread += costOf(this.lens[this.head] ?? 0);
      this.takeFirst();
    }
    const sentBytes = before - this.bytes;
    stats.bytesToGuest += sentBytes;
    stats.framesToGuest += frames;
  }

  private takeFirst(): void {
    this.bytes -= this.lens[this.head] ?? 0;
    this.head = (this.head + 1) & (QUEUE_FRAMES - 1);
    this.count--;
  }

  /** @returns whether the next frame may be tried */
  private onRefused(code: number): boolean {
    if (FULL.has(code)) {
      this.wait();
      return false;
    }
    if (GONE.has(code)) {
      this.close();
      setImmediate(this.options.onGone);
      return false;
    }
    const { stats, onRefused } = this.options;
    stats.drops.add('write-failed');
    this.takeFirst();
    if (!this.isRefused) onRefused(code);
    this.isRefused = true;
    return true;
  }

  private wait(): void {
    const { sendLater } = this.options;
    const off = this.offs[this.head] ?? 0;
    const first = this.slab.bytes.subarray(off, off + (this.lens[this.head] ?? 0));
    this.isSending = true; // it may be sent at once
    const outcome = sendLater?.(first, this.onSentLater) ?? 'cannot';
    if (outcome === 'waits') return;
    this.isSending = false;
    if (outcome === 'sent') this.onSent(1);
    this.retry();
  }

  private readonly onSentLater = (status: number): void => {
    this.isSending = false;
    if (!this.isUp) return;
    if (status === 0) this.onSent(1);
    else if (!this.onRefused(-status)) return;
    this.onRetry();
  };

  private retry(): void {
    if (this.spins < SPINS) {
      this.spins++;
      this.spin = setImmediate(this.onRetry);
      return;
    }
    this.timer = setTimeout(this.onRetry, this.delayMs);
    this.delayMs = Math.min(this.delayMs * 2, MAX_DELAY_MS);
  }

  private readonly onRetry = (): void => {
    this.spin = undefined;
    this.timer = undefined;
    this.pump();
    if (!this.isWaiting || !this.isUp || this.bytes > HALF) return;
    this.isWaiting = false;
    this.options.onRoom();
  };
}
