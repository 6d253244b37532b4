/**
 * One `struct msghdr` (recvmsg(2)) with its buffers, for calls that happen rarely. The kernel reads
 * addresses out of it, so its arrays are never replaced and stay referenced here.
 */
import { makeSlab, type Slab } from '../base/slab.ts';
import type { Libc } from './libc.ts';

const MSGHDR_LEN = 56;
const IOV_BASE = 0;
const NAME = 0;
const NAMELEN = 8;
const IOV = 16;
const IOVLEN = 24;
const CONTROL = 32;
const CONTROLLEN = 40;
const FLAGS = 48;

/** Lengths in bytes. All above 64: V8 may move smaller arrays. */
const NAME_LEN = 128;
const CONTROL_LEN = 512;
const DATA_LEN = 2048;

/** Bytes of a control message before its data (CMSG_LEN(0)). */
export const CMSG_HDR_LEN = 16;

export class Message {
  readonly name: Slab = makeSlab(NAME_LEN);
  readonly control: Slab = makeSlab(CONTROL_LEN);
  readonly data: Slab = makeSlab(DATA_LEN);
  private readonly header: Slab = makeSlab(MSGHDR_LEN + 64);
  private readonly iov: Slab = makeSlab(80);
  private readonly c: Libc;

  constructor(c: Libc) {
    this.c = c;
    this.iov.view.setBigUint64(IOV_BASE, c.address(this.data.bytes), true);
  }

  /** @returns bytes received into `data`, at most `maxLen`, or -errno */
  receive(
    fd: number,
    flags: number,
    maxLen: number = DATA_LEN,
    controlLen: number = CONTROL_LEN,
  ): number {
    this.prepare(NAME_LEN, controlLen, Math.min(maxLen, DATA_LEN));
    const len = this.c.recvmsg(fd, this.header.bytes, flags);
    return len < 0 ? -this.c.errno() : len;
  }

  /** Send the first bytes of `data` and `control`. @returns bytes of data sent, or -errno */
  send(fd: number, dataLen: number, controlLen: number, flags: number): number {
    this.prepare(0, controlLen, dataLen);
    const len = this.c.sendmsg(fd, this.header.bytes, flags);
    return len < 0 ? -this.c.errno() : len;
  }

  get nameLen(): number {
    return this.header.view.getUint32(NAMELEN, true);
  }

  get flags(): number {
    return this.header.view.getInt32(FLAGS, true);
  }

  /** @returns the offset in `control` of the first message of that kind, or -1 */
  findControl(level: number, type: number): number {
    const end = Number(this.header.view.getBigUint64(CONTROLLEN, true));
    const view = this.control.view;
    for (let off = 0; off + CMSG_HDR_LEN <= end; ) {
      const len = Number(view.getBigUint64(off, true));
      if (view.getInt32(off + 8, true) === level && view.getInt32(off + 12, true) === type) {
        return off;
      }
      if (len < CMSG_HDR_LEN) return -1;
      off += (len + 7) & ~7;
    }
    return -1;
  }

  private prepare(nameLen: number, controlLen: number, dataLen: number): void {
    const view = this.header.view;
    this.header.bytes.fill(0);
    if (nameLen > 0) view.setBigUint64(NAME, this.c.address(this.name.bytes), true);
    view.setUint32(NAMELEN, nameLen, true);
    this.iov.view.setBigUint64(8, BigInt(dataLen), true);
    view.setBigUint64(IOV, this.c.address(this.iov.bytes), true);
    view.setBigUint64(IOVLEN, 1n, true);
    if (controlLen > 0) view.setBigUint64(CONTROL, this.c.address(this.control.bytes), true);
    view.setBigUint64(CONTROLLEN, BigInt(controlLen), true);
  }
}
