/**
 * Cuts the byte stream of a link into a handshake, frame headers and payload, in place.
 *
 * A header that straddles two reads is gathered in a buffer of its own (at most 64 KiB, which is
 * what a u16 length allows); payload is handed on in whatever pieces it arrives. Two things are
 * fatal, because nothing that follows can be trusted: a wrong handshake, and a header shorter than
 * its command needs.
 */
import { makeSlab, type Slab } from '../base/slab.ts';
import type { Instant } from '../base/time.ts';
import { FRAME_HEADER_LEN, frameCommand, frameHeaderLen, leastHeaderLen } from './frame.ts';
import { HANDSHAKE_LEN, handshakePayloadLen, isHandshake } from './handshake.ts';

export type StreamFault = 'bad-handshake' | 'bad-header-length';

/** What a decoder feeds. Views are borrowed for the call. */
export interface FrameSink {
  onHandshake(now: Instant, view: DataView, payloadOff: number, payloadLen: number): void;
  /** @returns payload bytes that follow the header: all of them reach {@link onPayload} */
  onHeader(now: Instant, view: DataView, off: number, headerLen: number): number;
  onPayload(now: Instant, bytes: Uint8Array, off: number, len: number): void;
}

const FIRST_CARRY_LEN = 256;

export class Decoder {
  private readonly sink: FrameSink;
  private greeted = false;
  private fault: StreamFault | undefined = undefined;
  private payloadLeft = 0;
  private carry: Slab = makeSlab(FIRST_CARRY_LEN);
  private carried = 0;

  constructor(sink: FrameSink) {
    this.sink = sink;
  }

  /** @returns what broke the stream, now or earlier; undefined while it is sound */
  onBytes(now: Instant, slab: Slab, off: number, len: number): StreamFault | undefined {
    const end = off + len;
    let at = off;
    while (at < end && this.fault === undefined) {
      if (this.payloadLeft > 0) {
        const n = Math.min(this.payloadLeft, end - at);
        this.payloadLeft -= n;
        this.sink.onPayload(now, slab.bytes, at, n);
        at += n;
      } else if (this.carried > 0) {
        at += this.gather(now, slab.bytes, at, end);
      } else {
        const need = this.need(slab, at, end - at);
        if (need > end - at || this.fault !== undefined)
          at += this.gather(now, slab.bytes, at, end);
        else {
          this.hand(now, slab.view, at, need);
          at += need;
        }
      }
    }
    return this.fault;
  }

  /** Bytes that must be there before the next step, given that `avail` are. */
  private need({ bytes, view }: Slab, at: number, avail: number): number {
    if (!this.greeted) {
      if (!isHandshake(bytes, at, avail)) this.fault = 'bad-handshake';
      return avail < HANDSHAKE_LEN ? HANDSHAKE_LEN : HANDSHAKE_LEN + handshakePayloadLen(view, at);
    }
    if (avail < FRAME_HEADER_LEN) return FRAME_HEADER_LEN;
    const len = frameHeaderLen(view, at);
    if (len < leastHeaderLen(frameCommand(view, at))) this.fault = 'bad-header-length';
    return len;
  }

  /** Move bytes to the carry, only as many as the item in it lacks. @returns how many */
  private gather(now: Instant, bytes: Uint8Array, at: number, end: number): number {
    let taken = 0;
    while (this.fault === undefined) {
      const need = this.need(this.carry, 0, this.carried);
      if (this.fault !== undefined) break;
      if (need <= this.carried) {
        this.carried = 0;
        this.hand(now, this.carry.view, 0, need);
        break;
      }
      const n = Math.min(need - this.carried, end - at - taken);
      if (n === 0) break;
      if (need > this.carry.bytes.length) this.widen(need);
      this.carry.bytes.set(bytes.subarray(at + taken, at + taken + n), this.carried);
      this.carried += n;
      taken += n;
    }
    return taken;
  }

  private widen(need: number): void {
    const wider = makeSlab(need);
    wider.bytes.set(this.carry.bytes.subarray(0, this.carried));
    this.carry = wider;
  }

  private hand(now: Instant, view: DataView, at: number, len: number): void {
    if (this.greeted) {
      this.payloadLeft = this.sink.onHeader(now, view, at, len);
      return;
    }
    this.greeted = true;
    this.sink.onHandshake(now, view, at + HANDSHAKE_LEN, len - HANDSHAKE_LEN);
  }
}
