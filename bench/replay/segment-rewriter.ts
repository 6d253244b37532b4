/** Moves a captured segment to where its flow is now; its checksum is updated incrementally. */
import type { Slab } from '../../src/base/slab.ts';
import { fold16 } from '../../src/wire/checksum.ts';
import { TCP_CHECKSUM_OFFSET, TCP_HEADER_LEN } from '../../src/wire/tcp.ts';

const SEQUENCE = 4;
const ACKNOWLEDGMENT = 8;
const TS_VALUE = TCP_HEADER_LEN + 4;
const TS_ECHO = TCP_HEADER_LEN + 8;
/** NOP, NOP, timestamps: how nearly every segment begins its options. */
const TIMESTAMPS = 0x0101_080a;

export const hasTimestamps = (view: DataView, tcpOff: number, headerLen: number): boolean =>
  headerLen >= TCP_HEADER_LEN + 12 && view.getUint32(tcpOff + TCP_HEADER_LEN) === TIMESTAMPS;

export const timestampValue = (view: DataView, tcpOff: number): number =>
  view.getInt32(tcpOff + TS_VALUE);

export class SegmentRewriter {
  private readonly view: DataView;

  constructor(slab: Slab) {
    this.view = slab.view;
  }

  shiftSequence(tcpOff: number, by: number): void {
    const at = tcpOff + SEQUENCE;
    this.set(tcpOff, at, (this.view.getInt32(at) + by) | 0);
  }

  setAcknowledgment(tcpOff: number, ack: number): void {
    this.set(tcpOff, tcpOff + ACKNOWLEDGMENT, ack);
  }

  /** Of a segment for which {@link hasTimestamps} holds. */
  setTimestamps(tcpOff: number, shift: number, echo: number): void {
    const at = tcpOff + TS_VALUE;
    this.set(tcpOff, at, (this.view.getInt32(at) + shift) | 0);
    this.set(tcpOff, tcpOff + TS_ECHO, echo);
  }

  /** RFC 1624 §3, equation 3. `at` is even as seen from the header. */
  private set(tcpOff: number, at: number, value: number): void {
    const { view } = this;
    const ck = tcpOff + TCP_CHECKSUM_OFFSET;
    let sum = ~view.getUint16(ck) & 0xffff;
    sum += (~view.getUint16(at) & 0xffff) + (~view.getUint16(at + 2) & 0xffff);
    view.setInt32(at, value);
    sum += view.getUint16(at) + view.getUint16(at + 2);
    view.setUint16(ck, ~fold16(sum) & 0xffff);
  }
}
