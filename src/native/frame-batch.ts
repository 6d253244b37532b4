/**
 * Frames for one sendmmsg(2), each a message of its own.
 *
 * The headers are made once, in memory whose address is passed to the kernel. Frames lie in one slab, and are given by
 * their offsets: nothing is allocated, and no view is made, for each.
 */
import { ARENA_BUFFER } from '../base/arena.ts';
import { makeSlab, type Slab } from '../base/slab.ts';
import * as n from './constants.ts';
import type { Libc } from './libc.ts';
import { setLong } from './long.ts';
import type { FrameBatch } from './posix.ts';
import { SOCKADDR_UN_LEN } from './sockaddr.ts';

const CAPACITY = 64;
/** struct mmsghdr and struct iovec, in 32-bit words. Addresses and sizes are two words, the low one first. */
const MMSGHDR_WORDS = 16;
const NAME = 0;
const NAMELEN = 2;
const IOV = 4;
const IOVLEN = 6;
const IOVEC_WORDS = 4;
const IOV_LEN = 2;

export class LinuxFrameBatch implements FrameBatch {
  readonly capacity: number = CAPACITY;
  private readonly c: Libc;
  private readonly headers: Slab = makeSlab(CAPACITY * MMSGHDR_WORDS * 4);
  private readonly iovecs: Slab = makeSlab(CAPACITY * IOVEC_WORDS * 4);
  private readonly nameRoom: Slab = makeSlab(SOCKADDR_UN_LEN);
  private readonly headerWords = new Uint32Array(this.headers.bytes.buffer);
  private readonly iovecWords = new Uint32Array(this.iovecs.bytes.buffer);
  private readonly arenaAt: number;
  private name: Uint8Array | undefined = undefined;
  /** Held, because an address does not protect it from garbage collection. */
  private bytes: Uint8Array = this.nameRoom.bytes;
  private bytesAt = 0;
  private length = 0;

  constructor(c: Libc) {
    this.c = c;
    this.arenaAt = ARENA_BUFFER === undefined ? 0 : Number(c.address(new Uint8Array(ARENA_BUFFER)));
    const iovecsAt = Number(c.address(this.iovecs.bytes));
    for (let i = 0; i < CAPACITY; i++) {
      const header = i * MMSGHDR_WORDS;
      setLong(this.headerWords, header + IOV, iovecsAt + i * IOVEC_WORDS * 4);
      this.headerWords[header + IOVLEN] = 1;
    }
  }

  begin(bytes: Uint8Array, name: Uint8Array | undefined): void {
    if (bytes !== this.bytes) {
      this.bytes = bytes;
      this.bytesAt =
        bytes.buffer === ARENA_BUFFER
          ? this.arenaAt + bytes.byteOffset
          : Number(this.c.address(bytes));
    }
    if (name !== this.name) this.setName(name);
    this.length = 0;
  }

  add(off: number, len: number): void {
    const at = this.length++ * IOVEC_WORDS;
    setLong(this.iovecWords, at, this.bytesAt + off);
    this.iovecWords[at + IOV_LEN] = len;
  }

  send(fd: number): number {
    const flags = n.MSG_DONTWAIT | n.MSG_NOSIGNAL;
    const sent = this.c.sendmmsg(fd, this.headers.bytes, this.length, flags);
    return sent < 0 ? -this.c.errno() : sent;
  }

  private setName(name: Uint8Array | undefined): void {
    this.name = name;
    if (name !== undefined) this.nameRoom.bytes.set(name);
    const at = name === undefined ? 0 : Number(this.c.address(this.nameRoom.bytes));
    for (let i = 0; i < CAPACITY; i++) {
      const header = i * MMSGHDR_WORDS;
      setLong(this.headerWords, header + NAME, at);
      this.headerWords[header + NAMELEN] = name?.length ?? 0;
    }
  }
}
