/**
 * The device's side of a split virtqueue (virtio 1.2 §2.7), over guest memory.
 *
 * Theory of operation
 * -------------------
 * The guest writes descriptors, puts the heads of chains into the `avail` ring and moves its index;
 * the device takes them in order, and gives each back in the `used` ring. Indices are 16 bits and
 * wrap; they are read and written atomically, which also keeps the rings' other words in order.
 * Notifications are suppressed by event indices where negotiated, else by flags.
 *
 * The guest is hostile: everything it writes is read once and checked then. A queue with a fault
 * is `broken` and yields no more chains until it is set up again; nothing here throws.
 *
 * Both sides are little-endian (virtio 1.x, on the processors supported).
 */
import { makeSlab, type Slab } from '../../base/slab.ts';
import { Chain } from './chain.ts';
import type { GuestMemory } from './guest-memory.ts';
import { u64 } from './message.ts';

export type QueueFault =
  | 'bad-size'
  | 'bad-ring-address'
  | 'avail-index-jumped'
  | 'bad-head'
  | 'bad-next'
  | 'descriptor-loop'
  | 'chain-too-long'
  | 'bad-buffer-address'
  | 'bad-indirect-table'
  | 'readable-after-writable'
  /** Taken out of service: the memory may be gone. */
  | 'retired';

export interface QueueLayout {
  /** Descriptors; a power of two. */
  readonly size: number;
  /** Addresses of the frontend. */
  readonly desc: number;
  readonly avail: number;
  readonly used: number;
  /** Index of the next chain, from SET_VRING_BASE. */
  readonly base: number;
  readonly eventIdx: boolean;
}

const MAX_SIZE = 32_768;
/** Descriptors of a chain, as in QEMU; drivers use a few dozen. Bounds the work for one chain. */
const MAX_CHAIN = 1024;
const DESC_LEN = 16;
const DESC_F_NEXT = 1;
const DESC_F_WRITE = 2;
const DESC_F_INDIRECT = 4;
/** In `avail` and `used`: flags, index, then the ring. */
const RING = 4;
const NO_INTERRUPT = 1;
const NO_NOTIFY = 1;

/** A range of guest memory. */
interface Range {
  readonly slab: Slab;
  readonly off: number;
  /** The same in 16-bit words, for atomic access. */
  readonly words: Uint16Array;
}

const NO_RANGE: Range = { slab: makeSlab(0), off: 0, words: new Uint16Array(0) };

export class SplitQueue {
  /** The chain taken by the last `take` that returned true, and those taken with it. */
  chain: Chain = new Chain();
  /** The head of the chain taken last, for `give`. */
  head = 0;
  /** Index of the next chain to take. */
  nextAvail: number;
  broken: QueueFault | undefined = undefined;
  private readonly memory: GuestMemory;
  private readonly size: number;
  private readonly eventIdx: boolean;
  private desc: Range;
  private avail: Range;
  private used: Range;
  private nextUsed: number;
  /** `nextUsed` when the guest was last notified. */
  private notifiedUsed: number;

  constructor(memory: GuestMemory, layout: QueueLayout) {
    const { size } = layout;
    this.memory = memory;
    this.size = size;
    this.eventIdx = layout.eventIdx;
    this.nextAvail = layout.base & 0xffff;
    // Both indices, unlike ours, survive in guest memory when the frontend stops and resumes.
    if (size < 1 || size > MAX_SIZE || (size & (size - 1)) !== 0) this.broken = 'bad-size';
    this.desc = this.range(layout.desc, DESC_LEN * size, DESC_LEN);
    this.avail = this.range(layout.avail, RING + 2 * size + 2, 2);
    this.used = this.range(layout.used, RING + 8 * size + 2, 4);
    this.nextUsed = this.broken === undefined ? Atomics.load(this.used.words, 1) : 0;
    this.notifiedUsed = this.nextUsed;
  }

  /** Less than a quarter of the chains that fit waits to be taken. */
  get isShort(): boolean {
    if (this.broken !== undefined) return true;
    const waiting = (Atomics.load(this.avail.words, 1) - this.nextAvail) & 0xffff;
    return waiting < this.size >> 2;
  }

  /** Take the next chain of the guest. @returns false when there is none, or the queue is broken */
  take(): boolean {
    this.chain.clear();
    return this.takeMore();
  }

  /** Take another chain: its buffers follow those that are in `chain`. */
  takeMore(): boolean {
    if (this.broken !== undefined) return false;
    const waiting = (Atomics.load(this.avail.words, 1) - this.nextAvail) & 0xffff;
    if (waiting === 0) return false;
    if (waiting > this.size) return this.fault('avail-index-jumped');
    const slot = this.nextAvail & (this.size - 1);
    const head = this.avail.slab.view.getUint16(this.avail.off + RING + 2 * slot, true);
    if (head >= this.size) return this.fault('bad-head');
    this.head = head;
    if (!this.follow(this.desc.slab.view, this.desc.off, this.size, head, true)) return false;
    this.nextAvail = (this.nextAvail + 1) & 0xffff;
    return true;
  }

  /** Put the `count` chains taken last back: they will be taken again. */
  untake(count = 1): void {
    this.nextAvail = (this.nextAvail - count) & 0xffff;
  }

  /** Give a chain back, with `written` bytes in its writable part. */
  give(head: number, written: number): void {
    this.put(head, written);
    this.publish();
  }

  /** The same, but unseen by the guest until {@link publish}: chains that belong together. */
  put(head: number, written: number): void {
    if (this.broken !== undefined) return; // taken out of service while the chain was in use
    const at = this.used.off + RING + 8 * (this.nextUsed & (this.size - 1));
    const { view } = this.used.slab;
    view.setUint32(at, head, true);
    view.setUint32(at + 4, written, true);
    this.nextUsed = (this.nextUsed + 1) & 0xffff;
  }

  publish(): void {
    if (this.broken === undefined) Atomics.store(this.used.words, 1, this.nextUsed);
  }

  /** Whether the guest wants a notification of the chains used since the last one (§2.7.7.2). */
  shouldNotify(): boolean {
    const notified = this.notifiedUsed;
    if (notified === this.nextUsed || this.broken !== undefined) return false;
    this.notifiedUsed = this.nextUsed;
    if (!this.eventIdx) return (Atomics.load(this.avail.words, 0) & NO_INTERRUPT) === 0;
    const event = Atomics.load(this.avail.words, 2 + this.size);
    return ((this.nextUsed - event - 1) & 0xffff) < ((this.nextUsed - notified) & 0xffff);
  }

  /** Ask the guest for no kicks while its chains are being taken anyway. */
  suppressKicks(): void {
    if (!this.eventIdx && this.broken === undefined) Atomics.store(this.used.words, 0, NO_NOTIFY);
  }

  /**
   * Ask for a kick with the next chain.
   *
   * @returns whether a chain has arrived in the meantime, for which there may be no kick
   */
  wantKick(): boolean {
    if (this.broken !== undefined) return false;
    if (this.eventIdx) Atomics.store(this.used.words, 2 + 4 * this.size, this.nextAvail);
    else Atomics.store(this.used.words, 0, 0);
    return Atomics.load(this.avail.words, 1) !== this.nextAvail;
  }

  /** The memory is about to be unmapped: drop every reference to it. */
  retire(): void {
    this.broken = 'retired';
    this.desc = NO_RANGE;
    this.avail = NO_RANGE;
    this.used = NO_RANGE;
    this.chain = new Chain();
  }

  private follow(
    table: DataView,
    off: number,
    count: number,
    head: number,
    direct: boolean,
  ): boolean {
    let index = head;
    const maxSteps = Math.min(count, MAX_CHAIN);
    for (let steps = 0; steps < maxSteps; steps++) {
      const at = off + DESC_LEN * index;
      const addr = u64(table, at);
      const len = table.getUint32(at + 8, true);
      const flags = table.getUint16(at + 12, true);
      const next = table.getUint16(at + 14, true);
      if ((flags & DESC_F_INDIRECT) !== 0) {
        // §2.7.5.3.1: neither nested, nor followed by another.
        if (!direct || (flags & DESC_F_NEXT) !== 0) return this.fault('bad-indirect-table');
        return this.followIndirect(addr, len);
      }
      const slab = this.memory.findGuest(addr, len);
      if (slab === undefined) return this.fault('bad-buffer-address');
      if (!this.chain.add(slab, this.memory.foundAt, len, (flags & DESC_F_WRITE) !== 0)) {
        return this.fault('readable-after-writable');
      }
      if ((flags & DESC_F_NEXT) === 0) return true;
      if (next >= count) return this.fault('bad-next');
      index = next;
    }
    return this.fault(count > MAX_CHAIN ? 'chain-too-long' : 'descriptor-loop');
  }

  private followIndirect(addr: number, len: number): boolean {
    const count = len / DESC_LEN;
    // A chain is never longer than the queue (§2.7.5.3.1).
    if (!Number.isInteger(count) || count < 1 || count > this.size) {
      return this.fault('bad-indirect-table');
    }
    const table = this.memory.findGuest(addr, len);
    if (table === undefined) return this.fault('bad-indirect-table');
    return this.follow(table.view, this.memory.foundAt, count, 0, false);
  }

  private range(addr: number, len: number, align: number): Range {
    if (this.broken !== undefined) return NO_RANGE;
    const slab = this.memory.findUser(addr, len);
    const off = this.memory.foundAt;
    if (slab === undefined || (slab.bytes.byteOffset + off) % align !== 0) {
      this.broken = 'bad-ring-address';
      return NO_RANGE;
    }
    const { buffer, byteOffset } = slab.bytes;
    return { slab, off, words: new Uint16Array(buffer, byteOffset + off, len >> 1) };
  }

  private fault(fault: QueueFault): false {
    this.broken = fault;
    return false;
  }
}
