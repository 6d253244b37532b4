/**
 * What a network card does with a frame whose sum or segments its kernel left undone: the sum is
 * completed, and a large frame becomes several, each with the headers of the first.
 *
 * Nothing here depends on what carries the upper layer: VLAN tags and IP options are copied, IPv6
 * extension headers too. The headers of a frame to be cut are checked once, by `plan`; the frame
 * itself is not written to, for it may go to several links.
 */
import { copyBytes } from '../base/copy-bytes.ts';
import { seq } from '../base/seq.ts';
import type { Slab } from '../base/slab.ts';
import { fold16, sum16 } from '../wire/checksum.ts';
import {
  ETHERNET_HEADER_LEN,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  skipVlanTags,
} from '../wire/ethernet.ts';
import { IPV4_HEADER_LEN, ipv4HeaderLen, ipv4Identification, setIpv4Length } from '../wire/ipv4.ts';
import { IPV6_HEADER_LEN, setIpv6PayloadLength } from '../wire/ipv6.ts';
import { setPieceFlags, setTcpSeq, TCP_HEADER_LEN, tcpHeaderLen, tcpSeq } from '../wire/tcp.ts';
import { setUdpLength, UDP_HEADER_LEN } from '../wire/udp.ts';
import type { Frame } from './frame.ts';

/** What 64 KiB make with the smallest MSS that a kernel agrees to (Linux: 48 bytes). */
const MAX_PIECES = 1366;

const CHECKSUM_LEN = 2;

/** Whether the sum that a `partial` frame leaves to its receiver is one of its own bytes. */
export const hasSumInside = ({ csumStart, csumOffset, len }: Frame): boolean =>
  csumStart >= ETHERNET_HEADER_LEN && csumStart + csumOffset + CHECKSUM_LEN <= len;

/** The frame that `slab` holds at `at` was copied from `frame`, whose sum is `partial`: complete it. */
export function completeSum(frame: Frame, slab: Slab, at: number): void {
  const l4 = at + frame.csumStart;
  writeSum(slab.view, l4, frame.len - frame.csumStart, frame.csumOffset);
}

/** The field holds the pseudo-header's sum, and so takes part in the sum as it is. */
function writeSum(view: DataView, l4: number, len: number, csumOffset: number): void {
  const sum = ~sum16(view, l4, len) & 0xffff;
  // To UDP a zero means "no checksum" (RFC 768); to others both forms are the same number.
  view.setUint16(l4 + csumOffset, sum === 0 ? 0xffff : sum);
}

/** A large frame, and how it is cut. One record, reused for each frame. */
export class Segmentation {
  /** Frames to be made of it. */
  count = 0;
  /** Bytes of headers before each piece's payload. */
  headersLen = 0;
  private frame: Frame | undefined = undefined;
  private l3 = 0;
  private family: 4 | 6 = 4;
  private payloadLen = 0;

  /** @returns false when the headers are not what the link says: the frame cannot be cut */
  plan(frame: Frame): boolean {
    const { slab, off, len, csumStart, csumOffset, gsoSize } = frame;
    const { view } = slab;
    if (frame.checksum !== 'partial' || gsoSize === 0 || csumStart >= len) return false;
    const l3 = skipVlanTags(view, off, len);
    if (l3 < 0) return false;
    const l4 = off + csumStart;
    const type = view.getUint16(l3 - 2);
    if (type === ETHERTYPE_IPV4) {
      if (l4 < l3 + IPV4_HEADER_LEN || l4 !== l3 + ipv4HeaderLen(view, l3)) return false;
      this.family = 4;
    } else if (type === ETHERTYPE_IPV6) {
      if (l4 < l3 + IPV6_HEADER_LEN) return false;
      this.family = 6;
    } else return false;
    const l4HeaderLen = upperHeaderLen(frame, view, l4);
    const headersLen = csumStart + l4HeaderLen;
    if (l4HeaderLen < csumOffset + 2 || headersLen > len) return false;
    this.frame = frame;
    this.l3 = l3 - off;
    this.headersLen = headersLen;
    this.payloadLen = len - headersLen;
    this.count = Math.max(1, Math.ceil(this.payloadLen / gsoSize));
    return this.count <= MAX_PIECES;
  }

  /** Length of piece `index`, with headers. */
  pieceLen(index: number): number {
    const gsoSize = this.frame?.gsoSize ?? 0;
    return this.headersLen + Math.min(gsoSize, this.payloadLen - index * gsoSize);
  }

  /** Write piece `index` to `out` at `at`, its sum still `partial`. */
  emitPartial(index: number, out: Slab, at: number): void {
    const { frame, headersLen, l3, payloadLen } = this;
    if (frame === undefined) return;
    const { bytes, view } = frame.slab;
    const done = index * frame.gsoSize;
    const len = Math.min(frame.gsoSize, payloadLen - done);
    copyBytes(bytes, frame.off, out.bytes, at, headersLen);
    copyBytes(bytes, frame.off + headersLen + done, out.bytes, at + headersLen, len);
    const total = headersLen - l3 + len;
    if (this.family === 4) {
      const identification = ipv4Identification(view, frame.off + l3) + index;
      setIpv4Length(out.view, at + l3, total, identification & 0xffff);
    } else setIpv6PayloadLength(out.view, at + l3, total - IPV6_HEADER_LEN);
    const l4 = at + frame.csumStart;
    if (frame.gsoType === 'udp') setUdpLength(out.view, l4, UDP_HEADER_LEN + len);
    else {
      setTcpSeq(out.view, l4, seq(tcpSeq(view, frame.off + frame.csumStart) + done));
      setPieceFlags(out.view, l4, index === 0, done + len === payloadLen);
    }
    // The pseudo-header's sum is that of the whole frame, with its length.
    const whole = frame.len - frame.csumStart;
    const piece = headersLen - frame.csumStart + len;
    const field = l4 + frame.csumOffset;
    out.view.setUint16(field, fold16(out.view.getUint16(field) + (0xffff - whole) + piece));
  }

  /** Write piece `index` with its sum. */
  emit(index: number, out: Slab, at: number): void {
    const { frame } = this;
    if (frame === undefined) return;
    this.emitPartial(index, out, at);
    const l4Len = this.pieceLen(index) - frame.csumStart;
    writeSum(out.view, at + frame.csumStart, l4Len, frame.csumOffset);
  }
}

/** @returns -1 when it does not fit the frame */
function upperHeaderLen({ gsoType, off, len }: Frame, view: DataView, l4: number): number {
  if (gsoType === 'udp') return UDP_HEADER_LEN;
  if (l4 + TCP_HEADER_LEN > off + len) return -1;
  const headerLen = tcpHeaderLen(view, l4);
  return headerLen < TCP_HEADER_LEN ? -1 : headerLen;
}
