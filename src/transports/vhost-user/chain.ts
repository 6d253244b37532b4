/**
 * One chain of buffers that the guest lent to the device, as ranges of guest memory: first those to
 * be read, then those to be written. Several chains of buffers to be written may be joined into one. One
 * object is reused for every chain; nothing is allocated per packet.
 *
 * The guest can write to its memory at any time: copy what is to be checked first.
 */
import type { ByteRing } from '../../base/byte-ring.ts';
import { copyBytes } from '../../base/copy-bytes.ts';
import { makeSlab, type Slab } from '../../base/slab.ts';

const NO_SLAB = makeSlab(0);

export class Chain {
  /** Bytes that the device may read, and write. */
  readableLen = 0;
  writableLen = 0;
  private readonly slabs: Slab[] = [];
  private readonly offs: number[] = [];
  private readonly lens: number[] = [];
  private count = 0;
  /** The first segment to be written. */
  private firstWritable = 0;

  /** Buffers, of any length. */
  get segments(): number {
    return this.count;
  }

  clear(): void {
    this.count = 0;
    this.firstWritable = 0;
    this.readableLen = 0;
    this.writableLen = 0;
  }

  /** @returns false for a buffer to be read after one to be written (virtio 1.2 §2.7.4.2) */
  add(slab: Slab, off: number, len: number, writable: boolean): boolean {
    if (writable) this.writableLen += len;
    else {
      if (this.writableLen > 0) return false;
      this.firstWritable = this.count + 1;
      this.readableLen += len;
    }
    this.slabs[this.count] = slab;
    this.offs[this.count] = off;
    this.lens[this.count] = len;
    this.count++;
    return true;
  }

  /** Copy `len` bytes from `from` of what is to be read. */
  read(from: number, dst: Uint8Array, dstOff: number, len: number): void {
    let skip = from;
    let done = 0;
    for (let i = 0; i < this.firstWritable && done < len; i++) {
      const segment = this.lens[i] ?? 0;
      if (skip >= segment) {
        skip -= segment;
        continue;
      }
      const part = Math.min(segment - skip, len - done);
      const at = (this.offs[i] ?? 0) + skip;
      copyBytes((this.slabs[i] ?? NO_SLAB).bytes, at, dst, dstOff + done, part);
      done += part;
      skip = 0;
    }
  }

  /** Append the same to a ring. @returns false when there is no memory; nothing was written */
  readInto(ring: ByteRing, from: number, len: number): boolean {
    if (!ring.ensure(len)) return false;
    let skip = from;
    let done = 0;
    for (let i = 0; i < this.firstWritable && done < len; i++) {
      const segment = this.lens[i] ?? 0;
      if (skip >= segment) {
        skip -= segment;
        continue;
      }
      const part = Math.min(segment - skip, len - done);
      const at = (this.offs[i] ?? 0) + skip;
      ring.append((this.slabs[i] ?? NO_SLAB).bytes, at, part);
      done += part;
      skip = 0;
    }
    return true;
  }

  /** Copy `len` bytes to `to` of what is to be written. */
  write(to: number, src: Uint8Array, srcOff: number, len: number): void {
    let skip = to;
    let done = 0;
    for (let i = this.firstWritable; i < this.count && done < len; i++) {
      const segment = this.lens[i] ?? 0;
      if (skip >= segment) {
        skip -= segment;
        continue;
      }
      const part = Math.min(segment - skip, len - done);
      const at = (this.offs[i] ?? 0) + skip;
      copyBytes(src, srcOff + done, (this.slabs[i] ?? NO_SLAB).bytes, at, part);
      done += part;
      skip = 0;
    }
  }

  /** Copy the `len` oldest bytes of a ring there. */
  writeFrom(ring: ByteRing, to: number, len: number): void {
    let skip = to;
    let done = 0;
    for (let i = this.firstWritable; i < this.count && done < len; i++) {
      const segment = this.lens[i] ?? 0;
      if (skip >= segment) {
        skip -= segment;
        continue;
      }
      const part = Math.min(segment - skip, len - done);
      ring.copyOut(done, part, (this.slabs[i] ?? NO_SLAB).bytes, (this.offs[i] ?? 0) + skip);
      done += part;
      skip = 0;
    }
  }
}
