/**
 * Datagrams inside a channel: a byte stream of `u16 total | u16 iplen | ip | u16 port | u16 zonelen |
 * zone | u16 length | payload`, little-endian, where `total` counts everything including itself.
 *
 * Two dialects. VPNKit's Go half opens one channel for each external client and leaves the address
 * out (iplen 0, port 0); its OCaml half has one channel for each published port and puts the
 * client's address into every datagram. Both cut the stream into Data frames as they like (Go sends
 * three for each datagram), so it is parsed as a stream.
 */
import type { IpAddress } from '../base/ip-address.ts';
import { makeSlab, type Slab, slabOver } from '../base/slab.ts';
import type { Instant } from '../base/time.ts';
import { emitAddress, type IpEndpoint, readAddress } from './destination.ts';
import type { MuxChannel } from './mux-channel.ts';

const TOTAL_LEN = 2;
/** total, iplen, port, zonelen and length, without address and zone. */
const LEAST_LEN = 10;
export const MAX_DATAGRAM_HEADER_LEN: number = LEAST_LEN + 16;
const MAX_TOTAL = 0xffff;
/** What waits for the window or its turn: three datagrams of the largest size. */
const BACKLOG_BYTES = 3 * MAX_TOTAL;

/** Room to build datagrams in; one serves any number of channels. */
export const makeDatagramScratch = (): Slab => makeSlab(MAX_TOTAL);

/** One datagram, borrowed for the call. */
export interface MuxDatagram {
  /** The external client (OCaml's dialect); undefined where the channel stands for it (Go's). */
  readonly peer: IpEndpoint | undefined;
  readonly bytes: Uint8Array;
  readonly off: number;
  readonly len: number;
}

/** @returns header bytes written; the payload follows. -1 when `len` does not fit a datagram */
export function emitDatagramHeader(
  view: DataView,
  off: number,
  peer: IpEndpoint | undefined,
  len: number,
): number {
  const family = peer?.address.family;
  const ipLen = family === undefined ? 0 : family === 4 ? 4 : 16;
  const total = LEAST_LEN + ipLen + len;
  if (total > MAX_TOTAL) return -1;
  view.setUint16(off, total, true);
  view.setUint16(off + 2, ipLen, true);
  let at = off + 4;
  if (peer !== undefined) writeAddress(view, at, peer.address, ipLen);
  at += ipLen;
  view.setUint16(at, peer?.port ?? 0, true);
  view.setUint16(at + 2, 0, true);
  view.setUint16(at + 4, len, true);
  return LEAST_LEN + ipLen;
}

function writeAddress(view: DataView, at: number, address: IpAddress, ipLen: number): void {
  if (ipLen === 4) view.setInt32(at, address.d);
  else emitAddress(view, at, address);
}

/** @returns undefined when the lengths of the datagram of `total` bytes at `off` contradict it */
export function parseDatagram(
  { bytes, view }: Slab,
  off: number,
  total: number,
): MuxDatagram | undefined {
  const end = off + total;
  const ipLen = view.getUint16(off + 2, true);
  let at = off + 4 + ipLen;
  if (at + 6 > end) return undefined;
  const address = readAddress(view, off + 4, ipLen);
  if (address === undefined) return undefined;
  const port = view.getUint16(at, true);
  at += 4 + view.getUint16(at + 2, true);
  if (at + 2 > end) return undefined;
  const len = view.getUint16(at, true);
  if (at + 2 + len !== end) return undefined;
  const peer = ipLen === 0 ? undefined : { address, port };
  return { peer, bytes, off: at + 2, len };
}

/** A channel used for datagrams. */
export class DatagramChannel {
  /** Datagrams not sent for lack of room, and received ones that were malformed. */
  dropped = 0;
  malformed = 0;
  private readonly channel: MuxChannel;
  private readonly scratch: Slab;
  /** Encapsulated datagrams that found no room, in order, and their bytes. */
  private readonly backlog: Uint8Array[] = [];
  private backlogBytes = 0;
  /** The beginning of a datagram of which the rest has not come; as long as its total, once known. */
  private carry: Slab = NONE;
  private carried = 0;

  constructor(channel: MuxChannel, scratch: Slab) {
    this.channel = channel;
    this.scratch = scratch;
  }

  /**
   * Send, or keep for {@link onWritable} what finds no room.
   *
   * @returns false when it was dropped: too long, or no room to keep it
   */
  send(
    now: Instant,
    peer: IpEndpoint | undefined,
    bytes: Uint8Array,
    off: number,
    len: number,
  ): boolean {
    const { scratch } = this;
    const headerLen = emitDatagramHeader(scratch.view, 0, peer, len);
    const total = headerLen + len;
    const isDirect = this.backlog.length === 0 && total <= this.channel.sendSpace;
    if (headerLen < 0 || (!isDirect && this.backlogBytes + total > BACKLOG_BYTES)) {
      this.dropped++;
      return false;
    }
    scratch.bytes.set(bytes.subarray(off, off + len), headerLen);
    if (isDirect) this.channel.send(now, scratch.bytes, 0, total);
    else this.keep(scratch.bytes.slice(0, total));
    return true;
  }

  /** There is room in the channel: send what waits for it. */
  onWritable(now: Instant): void {
    const { backlog, channel } = this;
    for (let next = backlog[0]; next !== undefined; next = backlog[0]) {
      if (next.length > channel.sendSpace) {
        channel.wantSpace(next.length);
        return;
      }
      channel.send(now, next, 0, next.length);
      this.backlogBytes -= next.length;
      backlog.shift();
    }
  }

  private keep(datagram: Uint8Array): void {
    this.backlog.push(datagram);
    this.backlogBytes += datagram.length;
    if (this.backlog.length === 1) this.channel.wantSpace(datagram.length);
  }

  /**
   * Take everything received; call it from `onReadable`.
   *
   * @returns false when the stream is out of sync: abort the channel
   */
  receive(now: Instant, onDatagram: (datagram: MuxDatagram) => void): boolean {
    const { channel } = this;
    while (channel.receivedLen > 0) {
      const run = channel.readable();
      const slab = slabOver(run);
      const used = this.carried > 0 ? this.complete(run, onDatagram) : this.parse(slab, onDatagram);
      if (used < 0) return false;
      channel.release(now, used);
    }
    return true;
  }

  private parse(slab: Slab, onDatagram: (datagram: MuxDatagram) => void): number {
    const end = slab.bytes.length;
    let at = 0;
    while (end - at >= TOTAL_LEN) {
      const total = slab.view.getUint16(at, true);
      if (total < LEAST_LEN) return -1;
      if (total > end - at) break;
      this.hand(slab, at, total, onDatagram);
      at += total;
    }
    if (at === end) return at;
    const whole = end - at >= TOTAL_LEN ? slab.view.getUint16(at, true) : TOTAL_LEN;
    this.carry = makeSlab(whole);
    this.carry.bytes.set(slab.bytes.subarray(at, end));
    this.carried = end - at;
    return end;
  }

  /** Complete the datagram in the carry. @returns bytes of `run` used, -1 when out of sync */
  private complete(run: Uint8Array, onDatagram: (datagram: MuxDatagram) => void): number {
    const n = Math.min(this.carry.bytes.length - this.carried, run.length);
    this.carry.bytes.set(run.subarray(0, n), this.carried);
    this.carried += n;
    if (this.carried < this.carry.bytes.length) return n;
    if (this.carried === TOTAL_LEN) {
      // Only the length had come.
      const total = this.carry.view.getUint16(0, true);
      if (total < LEAST_LEN) return -1;
      const whole = makeSlab(total);
      whole.bytes.set(this.carry.bytes);
      this.carry = whole;
      return n;
    }
    const { carry } = this;
    this.carry = NONE;
    this.carried = 0;
    this.hand(carry, 0, carry.bytes.length, onDatagram);
    return n;
  }

  private hand(slab: Slab, off: number, total: number, onDatagram: (d: MuxDatagram) => void): void {
    const datagram = parseDatagram(slab, off, total);
    if (datagram === undefined) this.malformed++;
    else onDatagram(datagram);
  }
}

const NONE: Slab = makeSlab(0);
