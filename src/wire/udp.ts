/** UDP header view (RFC 768). Offsets are from the first byte of the header. */

import { pseudoSum, sum16 } from './checksum.ts';

const SRC_PORT = 0;
const DST_PORT = 2;
const LENGTH = 4;
const CHECKSUM = 6;

export const UDP_HEADER_LEN = 8;
export const UDP_CHECKSUM_OFFSET: number = CHECKSUM;

export type UdpDrop = 'udp-truncated' | 'udp-bad-length' | 'udp-bad-checksum';

/**
 * Check a received datagram once. After `undefined`, every accessor below is in bounds.
 *
 * @param avail bytes of IP payload at `off`
 * @param addressSum of the pseudo-header; negative when the checksum is not to be verified
 * @returns why to drop the datagram, or `undefined` when it is valid
 */
export function checkUdp(
  view: DataView,
  off: number,
  avail: number,
  addressSum: number,
): UdpDrop | undefined {
  if (avail < UDP_HEADER_LEN) return 'udp-truncated';
  const len = udpLength(view, off);
  if (len < UDP_HEADER_LEN || len > avail) return 'udp-bad-length';
  // RFC 768: an all-zero checksum means that the sender computed none.
  if (addressSum < 0 || udpChecksum(view, off) === 0) return undefined;
  return sum16(view, off, len, pseudoSum(addressSum, len)) === 0xffff
    ? undefined
    : 'udp-bad-checksum';
}

/** Payload of a datagram of which `avail` bytes are quoted; -1 where that is less than all of it. */
export function udpQuotedLen(view: DataView, off: number, avail: number): number {
  const len = udpLength(view, off);
  return len < UDP_HEADER_LEN || len > avail ? -1 : len - UDP_HEADER_LEN;
}

export const udpSrcPort = (view: DataView, off: number): number => view.getUint16(off + SRC_PORT);
export const udpDstPort = (view: DataView, off: number): number => view.getUint16(off + DST_PORT);
/** Zero: there is none. */
export const udpChecksum = (view: DataView, off: number): number => view.getUint16(off + CHECKSUM);
/** Header and payload, in bytes. */
export const udpLength = (view: DataView, off: number): number => view.getUint16(off + LENGTH);

export const setUdpLength = (view: DataView, off: number, len: number): void =>
  view.setUint16(off + LENGTH, len);

/** Write the header at `off`; the `payloadLen` bytes after it must already be in place. */
export function emitUdp(
  view: DataView,
  off: number,
  srcPort: number,
  dstPort: number,
  payloadLen: number,
  addressSum: number,
): void {
  const len = UDP_HEADER_LEN + payloadLen;
  view.setUint16(off + SRC_PORT, srcPort);
  view.setUint16(off + DST_PORT, dstPort);
  view.setUint16(off + LENGTH, len);
  view.setUint16(off + CHECKSUM, 0);
  const sum = ~sum16(view, off, len, pseudoSum(addressSum, len)) & 0xffff;
  // RFC 768: a computed zero is sent as all ones, since zero means "no checksum".
  view.setUint16(off + CHECKSUM, sum === 0 ? 0xffff : sum);
}
