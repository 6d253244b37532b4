/** TCP header view (RFC 9293 §3.1). Offsets are from the first byte of the header. */
import { type Seq, seq } from '../base/seq.ts';
import { pseudoSum, sum16 } from './checksum.ts';

const SRC_PORT = 0;
const DST_PORT = 2;
const SEQUENCE = 4;
const ACKNOWLEDGMENT = 8;
const OFFSET_FLAGS = 12;
const WINDOW = 14;
const CHECKSUM = 16;
const URGENT = 18;

export const TCP_HEADER_LEN = 20;
/** The offset of the checksum, for links that complete it. */
export const TCP_CHECKSUM_OFFSET: number = CHECKSUM;

export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const PSH = 8;
export const ACK = 16;
const CWR = 128;

export type TcpDrop = 'tcp-truncated' | 'tcp-bad-offset' | 'tcp-bad-checksum' | 'tcp-bad-flags';

/**
 * Check a received segment once. After `undefined`, every accessor below is in bounds.
 *
 * @param len bytes of IP payload at `off`
 * @param addressSum of the pseudo-header; negative when the checksum is not to be verified
 */
export function checkTcp(
  view: DataView,
  off: number,
  len: number,
  addressSum: number,
): TcpDrop | undefined {
  if (len < TCP_HEADER_LEN) return 'tcp-truncated';
  const headerLen = tcpHeaderLen(view, off);
  if (headerLen < TCP_HEADER_LEN || headerLen > len) return 'tcp-bad-offset';
  if (addressSum >= 0 && sum16(view, off, len, pseudoSum(addressSum, len)) !== 0xffff) {
    return 'tcp-bad-checksum';
  }
  const flags = tcpFlags(view, off);
  // Combinations that only scanners send.
  if ((flags & (SYN | FIN | RST | ACK)) === 0) return 'tcp-bad-flags';
  if ((flags & SYN) !== 0 && (flags & (FIN | RST)) !== 0) return 'tcp-bad-flags';
  return undefined;
}

export const tcpSrcPort = (view: DataView, off: number): number => view.getUint16(off + SRC_PORT);
export const tcpDstPort = (view: DataView, off: number): number => view.getUint16(off + DST_PORT);
export const tcpSeq = (view: DataView, off: number): Seq => seq(view.getInt32(off + SEQUENCE));
export const tcpAck = (view: DataView, off: number): Seq =>
  seq(view.getInt32(off + ACKNOWLEDGMENT));
export const tcpHeaderLen = (view: DataView, off: number): number =>
  (view.getUint8(off + OFFSET_FLAGS) >>> 4) << 2;
export const tcpFlags = (view: DataView, off: number): number =>
  view.getUint8(off + OFFSET_FLAGS + 1) & 0x3f;
/** As sent: not scaled. */
export const tcpWindow = (view: DataView, off: number): number => view.getUint16(off + WINDOW);

/** The sequence number of a piece of a segment. */
export const setTcpSeq = (view: DataView, off: number, sequence: Seq): void =>
  view.setInt32(off + SEQUENCE, sequence);

/** Of a segment that is cut, only the first piece has CWR (RFC 3168 §6.1.2), only the last FIN and PSH. */
export function setPieceFlags(view: DataView, off: number, first: boolean, last: boolean): void {
  const kept = (first ? 0xff : ~CWR) & (last ? 0xff : ~(FIN | PSH));
  view.setUint8(off + OFFSET_FLAGS + 1, view.getUint8(off + OFFSET_FLAGS + 1) & kept);
}

/** What {@link emitTcp} writes; one record, filled anew for each segment. */
export class TcpFields {
  srcPort = 0;
  dstPort = 0;
  sequence: Seq = seq(0);
  acknowledgment: Seq = seq(0);
  /** With options, a multiple of four. */
  headerLen: number = TCP_HEADER_LEN;
  flags = 0;
  /** As sent: already scaled down. */
  window = 0;
  /** Header and payload in bytes. */
  len = 0;
  /** Of the pseudo-header, without its length. */
  addressSum = 0;
  /** Leave the pseudo-header's sum in the checksum field, for a link that completes it. */
  partial = false;
}

/**
 * Write the fixed header; options and payload after it must already be in place, as the checksum
 * covers them.
 */
export function emitTcp(view: DataView, off: number, fields: Readonly<TcpFields>): void {
  const { len } = fields;
  view.setUint16(off + SRC_PORT, fields.srcPort);
  view.setUint16(off + DST_PORT, fields.dstPort);
  view.setInt32(off + SEQUENCE, fields.sequence);
  view.setInt32(off + ACKNOWLEDGMENT, fields.acknowledgment);
  view.setUint16(off + OFFSET_FLAGS, (fields.headerLen << 10) | fields.flags);
  view.setUint16(off + WINDOW, fields.window);
  view.setUint16(off + URGENT, 0);
  const pseudo = pseudoSum(fields.addressSum, len);
  if (fields.partial) {
    view.setUint16(off + CHECKSUM, pseudo);
    return;
  }
  view.setUint16(off + CHECKSUM, 0);
  view.setUint16(off + CHECKSUM, ~sum16(view, off, len, pseudo) & 0xffff);
}
