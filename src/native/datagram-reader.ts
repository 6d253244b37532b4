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
import type { DatagramReader, DatagramRoom } from './posix.ts';

/** For UDP. */
const CAPACITY = 16;
const DATA_LEN = 65_536;
const NAME_LEN = 32;
const CONTROL_ROOM = 64;
/** Of data and names. */
const ALIGNMENT = 16;
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
  readonly capacity: number;
  readonly bytes: Uint8Array;
  readonly names: Slab;
  private readonly c: Libc;
  private readonly dataRoom: number;
  private readonly nameRoom: number;
  private readonly headers: Slab;
  private readonly iovecs: Slab;
  private readonly controls: Slab;

  constructor(c: Libc, room?: DatagramRoom) {
    this.c = c;
    const { data, messages, nameLen } = room ?? {
      data: makeSlab(CAPACITY * DATA_LEN),
      messages: CAPACITY,
      nameLen: NAME_LEN,
    };
    this.capacity = messages;
    this.bytes = data.bytes;
    this.dataRoom = Math.floor(data.bytes.length / messages) & ~(ALIGNMENT - 1);
    this.nameRoom = (nameLen + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    this.names = makeSlab(messages * this.nameRoom);
    this.headers = makeSlab(messages * MMSGHDR_LEN);
    this.iovecs = makeSlab(messages * IOVEC_LEN);
    this.controls = makeSlab(messages * CONTROL_ROOM);
    const [dataAt, names, controls, iovecs] = [
      c.address(data.bytes),
      c.address(this.names.bytes),
      c.address(this.controls.bytes),
      c.address(this.iovecs.bytes),
    ];
    for (let i = 0; i < messages; i++) {
      const at = i * MMSGHDR_LEN;
      const { view } = this.headers;
      view.setBigUint64(at + NAME, names + BigInt(this.nameOff(i)), true);
      view.setBigUint64(at + IOV, iovecs + BigInt(i * IOVEC_LEN), true);
      view.setBigUint64(at + IOVLEN, 1n, true);
      view.setBigUint64(at + CONTROL, controls + BigInt(i * CONTROL_ROOM), true);
      this.iovecs.view.setBigUint64(i * IOVEC_LEN, dataAt + BigInt(this.off(i)), true);
      this.iovecs.view.setBigUint64(i * IOVEC_LEN + 8, BigInt(this.dataRoom), true);
    }
  }

  receive(fd: number): number {
    const { view } = this.headers;
    const { capacity, nameRoom } = this;
    for (let i = 0; i < capacity; i++) {
      view.setUint32(i * MMSGHDR_LEN + NAMELEN, nameRoom, true);
      view.setUint32(i * MMSGHDR_LEN + CONTROLLEN, CONTROL_ROOM, true);
    }
    const got = this.c.recvmmsg(fd, this.headers.bytes, capacity, n.MSG_DONTWAIT, 0);
    return got < 0 ? -this.c.errno() : got;
  }

  off(i: number): number {
    return i * this.dataRoom;
  }

  len(i: number): number {
    return this.headers.view.getUint32(i * MMSGHDR_LEN + MSG_LEN, true);
  }

  nameOff(i: number): number {
    return i * this.nameRoom;
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
