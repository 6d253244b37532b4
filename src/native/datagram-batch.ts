/**
 * Datagrams for one sendmmsg(2). Consecutive datagrams of one length to one address become one message, which
 * the kernel segments on output (udp(7), UDP_SEGMENT): the cost of a datagram
 * falls from 2.3 to 0.5 us.
 *
 * The headers are made once, in memory whose address is passed to the kernel; a datagram's bytes are not
 * copied, and must neither move nor change until they are sent. They are referenced until then, because an
 * address does not protect them from garbage collection. Nothing is allocated per datagram.
 */
import { ARENA_BUFFER } from '../base/arena.ts';
import { makeSlab, type Slab } from '../base/slab.ts';
import * as n from './constants.ts';
import type { Libc } from './libc.ts';
import { setLong } from './long.ts';
import type { DatagramBatch } from './posix.ts';
import { SOCKADDR_IN6_LEN } from './sockaddr.ts';

/** As many segments as every kernel accepts (UDP_MAX_SEGMENTS was 64 before it was 128). */
const CAPACITY = 64;
/** Of one message: an IP packet's limit less its headers. */
const MAX_SEGMENTED_LEN = 65_000;

/** struct mmsghdr, in 32-bit words. Addresses and sizes are two words, the low one first. */
const MMSGHDR_WORDS = 16;
const NAME = 0;
const NAMELEN = 2;
const IOV = 4;
const IOVLEN = 6;
const CONTROL = 8;
const CONTROLLEN = 10;
const IOVEC_WORDS = 4;
const IOV_LEN = 2;
/** Room for a `sockaddr_in6`, and for the control messages: a segment's length, and the source. */
const NAME_ROOM = 32;
const SEGMENT_ROOM = 24;
const SEGMENT_LEN = 18;
const CONTROL_ROOM = 64;

export class LinuxDatagramBatch implements DatagramBatch {
  readonly capacity: number = CAPACITY;
  length = 0;
  private readonly c: Libc;
  private readonly headers: Slab = makeSlab(CAPACITY * MMSGHDR_WORDS * 4);
  private readonly iovecs: Slab = makeSlab(CAPACITY * IOVEC_WORDS * 4);
  private readonly names: Slab = makeSlab(CAPACITY * NAME_ROOM);
  private readonly controls: Slab = makeSlab(CAPACITY * CONTROL_ROOM);
  private readonly headerWords = new Uint32Array(this.headers.bytes.buffer);
  private readonly iovecWords = new Uint32Array(this.iovecs.bytes.buffer);
  private readonly iovecsAt: number;
  private readonly controlsAt: number;
  private readonly arenaAt: number;
  private readonly kernelSegments: boolean;
  /** Datagrams outside the arena, which lives as long as the process. */
  private readonly held: (Uint8Array | undefined)[] = new Array(CAPACITY).fill(undefined);
  private segments = false;
  /** Messages started, and of the last one: destination, datagrams, bytes, and the length of each but the last. */
  private messages = 0;
  private name: Uint8Array | undefined = undefined;
  private count = 0;
  private total = 0;
  private segmentLen = 0;
  /** Of the last message's source. */
  private sourceLen = 0;

  constructor(c: Libc) {
    this.c = c;
    this.iovecsAt = Number(c.address(this.iovecs.bytes));
    this.arenaAt = ARENA_BUFFER === undefined ? 0 : Number(c.address(new Uint8Array(ARENA_BUFFER)));
    this.kernelSegments = knowsSegments(c);
    const namesAt = Number(c.address(this.names.bytes));
    this.controlsAt = Number(c.address(this.controls.bytes));
    for (let i = 0; i < CAPACITY; i++) {
      const header = i * MMSGHDR_WORDS;
      setLong(this.headerWords, header + NAME, namesAt + i * NAME_ROOM);
      const { view } = this.controls;
      view.setBigUint64(i * CONTROL_ROOM, BigInt(SEGMENT_LEN), true);
      view.setInt32(i * CONTROL_ROOM + 8, n.SOL_UDP, true);
      view.setInt32(i * CONTROL_ROOM + 12, n.UDP_SEGMENT, true);
    }
  }

  get segmented(): boolean {
    return this.messages > 0 && this.headerWords[IOVLEN] !== 1;
  }

  clear(segments: boolean): void {
    for (let i = 0; i < this.length; i++) this.held[i] = undefined;
    this.segments = segments && this.kernelSegments;
    this.length = 0;
    this.messages = 0;
    this.name = undefined;
  }

  add(
    bytes: Uint8Array,
    len: number,
    name: Uint8Array,
    source?: Uint8Array,
    joins: boolean = true,
  ): boolean {
    const i = this.length;
    if (i === CAPACITY) return false;
    setLong(this.iovecWords, i * IOVEC_WORDS, this.addressOf(bytes, i));
    this.iovecWords[i * IOVEC_WORDS + IOV_LEN] = len;
    this.length++;
    if (joins && this.joins(len, name)) this.extend(len);
    else this.begin(i, len, name, source);
    return true;
  }

  send(fd: number): number {
    const sent = this.c.sendmmsg(fd, this.headers.bytes, this.messages, n.MSG_DONTWAIT);
    if (sent < 0) return -this.c.errno();
    let datagrams = 0;
    for (let i = 0; i < sent; i++) datagrams += this.headerWords[i * MMSGHDR_WORDS + IOVLEN] ?? 0;
    return datagrams;
  }

  private addressOf(bytes: Uint8Array, i: number): number {
    if (bytes.buffer === ARENA_BUFFER) return this.arenaAt + bytes.byteOffset;
    this.held[i] = bytes;
    return Number(this.c.address(bytes));
  }

  /** A shorter datagram may be the last segment, an empty one may not. */
  private joins(len: number, name: Uint8Array): boolean {
    return (
      this.segments &&
      name === this.name &&
      len > 0 &&
      len <= this.segmentLen &&
      this.total === this.count * this.segmentLen &&
      this.total + len <= MAX_SEGMENTED_LEN
    );
  }

  private begin(first: number, len: number, name: Uint8Array, source?: Uint8Array): void {
    const message = this.messages++;
    const header = message * MMSGHDR_WORDS;
    const words = this.headerWords;
    this.names.bytes.set(name, message * NAME_ROOM);
    words[header + NAMELEN] = Math.min(name.length, SOCKADDR_IN6_LEN);
    setLong(words, header + IOV, this.iovecsAt + first * IOVEC_WORDS * 4);
    words[header + IOVLEN] = 1;
    const sourceLen = source?.length ?? 0;
    // Without segments the source is the only control message.
    const controls = this.controlsAt + message * CONTROL_ROOM;
    setLong(words, header + CONTROL, controls + (sourceLen > 0 ? SEGMENT_ROOM : 0));
    words[header + CONTROLLEN] = sourceLen;
    if (source !== undefined) {
      this.controls.bytes.set(source, message * CONTROL_ROOM + SEGMENT_ROOM);
    }
    this.sourceLen = sourceLen;
    this.name = name;
    this.count = 1;
    this.total = len;
    this.segmentLen = len;
  }

  private extend(len: number): void {
    const message = this.messages - 1;
    const header = message * MMSGHDR_WORDS;
    this.headerWords[header + IOVLEN] = ++this.count;
    this.total += len;
    if (this.count > 2) return;
    setLong(this.headerWords, header + CONTROL, this.controlsAt + message * CONTROL_ROOM);
    this.headerWords[header + CONTROLLEN] = SEGMENT_ROOM + this.sourceLen;
    this.controls.view.setUint16(message * CONTROL_ROOM + 16, this.segmentLen, true);
  }
}

/** A kernel before 4.18 would send the segments as one datagram. */
function knowsSegments(c: Libc): boolean {
  const fd = c.socket(n.AF_INET, n.SOCK_DGRAM | n.SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const known = c.setsockopt(fd, n.SOL_UDP, n.UDP_SEGMENT, new Uint8Array(4), 4) === 0;
  c.close(fd);
  return known;
}
