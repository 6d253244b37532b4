/**
 * Datagrams of one recvmmsg(2), each with the host's address that it was sent to (ip(7), IP_PKTINFO;
 * ipv6(7), IPV6_RECVPKTINFO).
 *
 * The headers are made once, in memory whose address is passed to the kernel. Received datagrams are valid until the
 * next call; nothing is allocated per datagram.
 */
import { makeSlab, type Slab } from '../base/slab.ts';
import * as n from './constants.ts';
import type { Libc } from './libc.ts';
import type { DatagramReader } from './posix.ts';

const CAPACITY = 16;
const DATA_ROOM = 65_536;
const NAME_ROOM = 32;
const CONTROL_ROOM = 64;
const MMSGHDR_LEN = 64;
const IOVEC_LEN = 16;
/** Offsets in struct mmsghdr. */
const NAME = 0;
const NAMELEN = 8;
const IOV = 16;
const IOVLEN = 24;
const CONTROL = 32;
const CONTROLLEN = 40;
const MSG_LEN = 56;
/** In a control message: level, type, and its data. */
const LEVEL = 8;
const TYPE = 12;
const DATA = 16;
/** In struct in_pktinfo: the address to answer from. */
const IPI_SPEC_DST = 4;
/** ::ffff:0:0/96 as it is in memory. */
const MAPPED = 0xffff;

export class LinuxDatagramReader implements DatagramReader {
  readonly capacity: number = CAPACITY;
  readonly bytes: Uint8Array;
  readonly names: Slab = makeSlab(CAPACITY * NAME_ROOM);
  private readonly c: Libc;
  private readonly data: Slab = makeSlab(CAPACITY * DATA_ROOM);
  private readonly headers: Slab = makeSlab(CAPACITY * MMSGHDR_LEN);
  private readonly iovecs: Slab = makeSlab(CAPACITY * IOVEC_LEN);
  private readonly controls: Slab = makeSlab(CAPACITY * CONTROL_ROOM);

  constructor(c: Libc) {
    this.c = c;
    this.bytes = this.data.bytes;
    const [data, names, controls, iovecs] = [
      c.address(this.data.bytes),
      c.address(this.names.bytes),
      c.address(this.controls.bytes),
      c.address(this.iovecs.bytes),
    ];
    for (let i = 0; i < CAPACITY; i++) {
      const at = i * MMSGHDR_LEN;
      const { view } = this.headers;
      view.setBigUint64(at + NAME, names + BigInt(i * NAME_ROOM), true);
      view.setBigUint64(at + IOV, iovecs + BigInt(i * IOVEC_LEN), true);
      view.setBigUint64(at + IOVLEN, 1n, true);
      view.setBigUint64(at + CONTROL, controls + BigInt(i * CONTROL_ROOM), true);
      this.iovecs.view.setBigUint64(i * IOVEC_LEN, data + BigInt(i * DATA_ROOM), true);
      this.iovecs.view.setBigUint64(i * IOVEC_LEN + 8, BigInt(DATA_ROOM), true);
    }
  }

  receive(fd: number): number {
    const { view } = this.headers;
    for (let i = 0; i < CAPACITY; i++) {
      view.setUint32(i * MMSGHDR_LEN + NAMELEN, NAME_ROOM, true);
      view.setUint32(i * MMSGHDR_LEN + CONTROLLEN, CONTROL_ROOM, true);
    }
    const got = this.c.recvmmsg(fd, this.headers.bytes, CAPACITY, n.MSG_DONTWAIT, 0);
    return got < 0 ? -this.c.errno() : got;
  }

  off(i: number): number {
    return i * DATA_ROOM;
  }

  len(i: number): number {
    return this.headers.view.getUint32(i * MMSGHDR_LEN + MSG_LEN, true);
  }

  nameOff(i: number): number {
    return i * NAME_ROOM;
  }

  nameLen(i: number): number {
    return this.headers.view.getUint32(i * MMSGHDR_LEN + NAMELEN, true);
  }

  local(i: number, words: Int32Array): boolean {
    const { view } = this.controls;
    const at = i * CONTROL_ROOM;
    words.fill(0);
    if (this.headers.view.getUint32(i * MMSGHDR_LEN + CONTROLLEN, true) < DATA) return false;
    const level = view.getInt32(at + LEVEL, true);
    const type = view.getInt32(at + TYPE, true);
    if (level === n.SOL_IP && type === n.IP_PKTINFO) {
      words[2] = MAPPED;
      words[3] = view.getInt32(at + DATA + IPI_SPEC_DST);
      return true;
    }
    if (level !== n.SOL_IPV6 || type !== n.IPV6_PKTINFO) return false;
    for (let word = 0; word < 4; word++) words[word] = view.getInt32(at + DATA + word * 4);
    return true;
  }
}

/**
 * The control message for sending a datagram from the address `words`, as of {@link DatagramReader.local}.
 *
 * @param family of the socket
 * @returns undefined for an address that cannot be a source
 */
export function sourceControl(words: Int32Array, family: 4 | 6): Uint8Array | undefined {
  const [a = 0, b = 0, c = 0, d = 0] = words;
  const isMapped = a === 0 && b === 0 && c === MAPPED;
  const isMulticast = isMapped ? d >>> 28 >= 14 : a >>> 24 === 0xff;
  if (isMulticast || (d === 0 && (isMapped || (a | b | c) === 0))) return undefined;
  const control = new Uint8Array(family === 4 ? 32 : 40);
  const view = new DataView(control.buffer);
  view.setBigUint64(0, BigInt(family === 4 ? 28 : 36), true);
  view.setInt32(LEVEL, family === 4 ? n.SOL_IP : n.SOL_IPV6, true);
  view.setInt32(TYPE, family === 4 ? n.IP_PKTINFO : n.IPV6_PKTINFO, true);
  if (family === 4) view.setInt32(DATA + IPI_SPEC_DST, d);
  else for (let word = 0; word < 4; word++) view.setInt32(DATA + word * 4, words[word] ?? 0);
  return control;
}
