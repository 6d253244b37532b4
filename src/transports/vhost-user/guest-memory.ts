/**
 * The memory of a virtual machine, mapped here: its regions, found by the guest's addresses or by
 * the frontend's.
 *
 * Theory of operation
 * -------------------
 * A region is accessed through windows of 1 GiB, because an index beyond 2^31 is slow; they overlap by
 * 64 MiB, so that a range of up to that length lies within one of them. Three windows share a buffer, which holds no
 * more than 4 GiB. For each buffer V8 collects garbage, because it counts its bytes as memory in need: so they are made
 * one by one, by `mapNext`, with other work in between. A range found stays valid until the memory is replaced, which only
 * the frontend does; then every queue is stopped first. A range must lie in one region: guests have holes between
 * regions, not buffers.
 */
import { type Slab, slabOver } from '../../base/slab.ts';
import type { MemoryRegion } from './message.ts';

const WINDOW_LEN = 2 ** 30;
export const MAX_RANGE_LEN: number = 2 ** 26;
const WINDOWS_PER_BUFFER = 3;

/** Makes an array over `len` bytes from `off` of a region's mapping. */
export type ViewMaker = (off: number, len: number) => Uint8Array;

class Region {
  readonly guestAddr: number;
  readonly userAddr: number;
  readonly len: number;
  readonly windows: Slab[] = [];
  private readonly view: ViewMaker;

  constructor({ guestAddr, userAddr, len }: MemoryRegion, view: ViewMaker) {
    this.guestAddr = guestAddr;
    this.userAddr = userAddr;
    this.len = len;
    this.view = view;
  }

  get isMapped(): boolean {
    return this.windows.length * WINDOW_LEN >= this.len;
  }

  mapNext(): void {
    const at = this.windows.length * WINDOW_LEN;
    const len = Math.min(WINDOWS_PER_BUFFER * WINDOW_LEN + MAX_RANGE_LEN, this.len - at);
    const { buffer, byteOffset } = this.view(at, len);
    for (let i = 0; i < WINDOWS_PER_BUFFER && i * WINDOW_LEN < len; i++) {
      const off = i * WINDOW_LEN;
      const windowLen = Math.min(WINDOW_LEN + MAX_RANGE_LEN, len - off);
      this.windows.push(slabOver(new Uint8Array(buffer, byteOffset + off, windowLen)));
    }
  }
}

export class GuestMemory {
  /** Where the last range that was found begins: an offset in the slab returned. */
  foundAt = 0;
  private readonly regions: Region[] = [];
  /** The region of the last range: most ranges are in the same one. */
  private last: Region | undefined = undefined;

  /** @param view of the region's memory, from its first byte on */
  add(region: MemoryRegion, view: ViewMaker): void {
    this.regions.push(new Region(region, view));
  }

  /** Map some more. @returns false when all is mapped, before which nothing may be looked for */
  mapNext(): boolean {
    this.regions.find(({ isMapped }) => !isMapped)?.mapNext();
    return this.regions.some(({ isMapped }) => !isMapped);
  }

  /** @returns the slab with that range of the guest's memory, from `foundAt`; or undefined */
  findGuest(addr: number, len: number): Slab | undefined {
    const { last } = this;
    if (last !== undefined && addr >= last.guestAddr && addr + len <= last.guestAddr + last.len) {
      return this.range(last, addr - last.guestAddr, len);
    }
    for (const region of this.regions) {
      const off = addr - region.guestAddr;
      if (off < 0 || !(off + len <= region.len)) continue;
      this.last = region;
      return this.range(region, off, len);
    }
    return undefined;
  }

  /** The same for an address of the frontend. */
  findUser(addr: number, len: number): Slab | undefined {
    for (const region of this.regions) {
      const off = addr - region.userAddr;
      if (off >= 0 && off + len <= region.len) return this.range(region, off, len);
    }
    return undefined;
  }

  private range(region: Region, off: number, len: number): Slab | undefined {
    if (len > MAX_RANGE_LEN) return undefined;
    this.foundAt = off % WINDOW_LEN;
    return region.windows[Math.floor(off / WINDOW_LEN)];
  }
}
