/** A guest's side of a split virtqueue in plain memory, for tests; it may lie. */
import { makeSlab, type Slab } from '../../../src/base/slab.ts';
import { GuestMemory } from '../../../src/transports/vhost-user/guest-memory.ts';
import { SplitQueue } from '../../../src/transports/vhost-user/split-queue.ts';

/** Where the guest has its memory, and where the frontend has it. */
export const GUEST_BASE = 0x1_0000_0000;
export const USER_BASE = 0x7f00_0000_0000;
export const MEMORY_LEN: number = 1 << 20;

export const F_NEXT = 1;
export const F_WRITE = 2;
export const F_INDIRECT = 4;

export interface LentBuffer {
  readonly off: number;
  readonly len: number;
  readonly writable?: boolean;
}

export const makeMemory = (slab: Slab): GuestMemory => {
  const memory = new GuestMemory();
  const region = {
    guestAddr: GUEST_BASE,
    userAddr: USER_BASE,
    len: slab.bytes.length,
    fileOffset: 0,
  };
  memory.add(region, (off, len) => slab.bytes.subarray(off, off + len));
  memory.mapNext();
  return memory;
};

/** Offsets are from the start of the guest's memory. */
export class GuestDriver {
  readonly slab: Slab;
  readonly size: number;
  readonly desc: number;
  readonly avail: number;
  readonly used: number;
  private nextDesc = 0;
  private availIndex = 0;
  private usedSeen = 0;

  constructor(size: number, at = 0, slab: Slab = makeSlab(MEMORY_LEN)) {
    this.slab = slab;
    this.size = size;
    this.desc = at;
    this.avail = at + 16 * size;
    this.used = (this.avail + 6 + 2 * size + 3) & ~3;
  }

  queue(eventIdx = false, base = 0): SplitQueue {
    const { size, desc, avail, used } = this;
    return new SplitQueue(makeMemory(this.slab), {
      size,
      desc: USER_BASE + desc,
      avail: USER_BASE + avail,
      used: USER_BASE + used,
      base,
      eventIdx,
    });
  }

  descriptor(index: number, off: number, len: number, flags: number, next: number): void {
    this.rawDescriptor(this.desc + 16 * index, BigInt(GUEST_BASE + off), len, flags, next);
  }

  rawDescriptor(at: number, addr: bigint, len: number, flags: number, next: number): void {
    const { view } = this.slab;
    view.setBigUint64(at, addr, true);
    view.setUint32(at + 8, len, true);
    view.setUint16(at + 12, flags, true);
    view.setUint16(at + 14, next, true);
  }

  /** Lend a chain of buffers. @returns its head */
  lend(buffers: readonly LentBuffer[]): number {
    const head = this.nextDesc;
    buffers.forEach((buffer, i) => {
      const last = i === buffers.length - 1;
      const index = this.nextDesc;
      this.nextDesc = (index + 1) % this.size;
      const flags = (buffer.writable === true ? F_WRITE : 0) | (last ? 0 : F_NEXT);
      this.descriptor(index, buffer.off, buffer.len, flags, last ? 0 : this.nextDesc);
    });
    this.offer(head);
    return head;
  }

  /** Put a head, true or not, into the available ring. */
  offer(head: number): void {
    const { view } = this.slab;
    view.setUint16(this.avail + 4 + 2 * (this.availIndex % this.size), head, true);
    this.availIndex = (this.availIndex + 1) & 0xffff;
    this.setAvailIndex(this.availIndex);
  }

  setAvailIndex(index: number): void {
    this.slab.view.setUint16(this.avail + 2, index, true);
  }

  /** What was given back since the last call: heads and lengths. */
  reap(): { head: number; len: number }[] {
    const { view } = this.slab;
    const end = view.getUint16(this.used + 2, true);
    const given: { head: number; len: number }[] = [];
    for (; this.usedSeen !== end; this.usedSeen = (this.usedSeen + 1) & 0xffff) {
      const at = this.used + 4 + 8 * (this.usedSeen % this.size);
      given.push({ head: view.getUint32(at, true), len: view.getUint32(at + 4, true) });
    }
    return given;
  }
}
