/** IPv4 header view (RFC 791). Offsets are from the first byte of the header. */
import { fold16, sum16 } from './checksum.ts';

const VERSION_IHL = 0;
const TOTAL_LENGTH = 2;
const IDENTIFICATION = 4;
const FRAGMENT = 6;
const TTL = 8;
const PROTOCOL = 9;
const CHECKSUM = 10;
const SRC = 12;
const DST = 16;

export const IPV4_HEADER_LEN = 20;
export const IPV4_MAX_LEN = 65535;
/** In the 16-bit word of flags and fragment offset. */
export const IPV4_DF = 0x4000;
export const IPV4_MF = 0x2000;
/** Of the word that {@link ipv4Fragment} reads: in units of 8 bytes. */
export const IPV4_OFFSET_MASK = 0x1fff;

export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;

export type Ipv4Drop =
  | 'ipv4-truncated'
  | 'ipv4-bad-version'
  | 'ipv4-bad-header-length'
  | 'ipv4-bad-total-length'
  | 'ipv4-bad-checksum';

/**
 * Check a received header once. After `undefined` every accessor below is in bounds.
 *
 * @param avail bytes of the frame from `off`; Ethernet padding after the total length is normal
 */
export function checkIpv4(view: DataView, off: number, avail: number): Ipv4Drop | undefined {
  if (avail < IPV4_HEADER_LEN) return 'ipv4-truncated';
  const first = view.getUint8(off + VERSION_IHL);
  if (first >>> 4 !== 4) return 'ipv4-bad-version';
  const headerLen = (first & 15) << 2;
  if (headerLen < IPV4_HEADER_LEN || headerLen > avail) return 'ipv4-bad-header-length';
  const total = ipv4TotalLength(view, off);
  if (total < headerLen || total > avail) return 'ipv4-bad-total-length';
  const sum = headerLen === IPV4_HEADER_LEN ? headerSum(view, off) : sum16(view, off, headerLen);
  // VPNKit's Go DHCP client sends zero: accepted, as its checksum was never computed.
  return sum === 0xffff || view.getUint16(off + CHECKSUM) === 0 ? undefined : 'ipv4-bad-checksum';
}

/** The 20 bytes in five loads, unrolled (a loop costs three times as much). */
function headerSum(view: DataView, off: number): number {
  const sum =
    view.getUint32(off) +
    view.getUint32(off + 4) +
    view.getUint32(off + 8) +
    view.getUint32(off + 12) +
    view.getUint32(off + 16);
  const high = Math.floor(sum / 0x1_0000_0000);
  const low = sum - high * 0x1_0000_0000;
  return fold16((low >>> 16) + (low & 0xffff) + high);
}

export const ipv4HeaderLen = (view: DataView, off: number): number =>
  (view.getUint8(off + VERSION_IHL) & 15) << 2;
export const ipv4TotalLength = (view: DataView, off: number): number =>
  view.getUint16(off + TOTAL_LENGTH);
export const ipv4Identification = (view: DataView, off: number): number =>
  view.getUint16(off + IDENTIFICATION);
/** Flags and fragment offset (in units of 8 bytes), as they stand in the header. */
export const ipv4Fragment = (view: DataView, off: number): number => view.getUint16(off + FRAGMENT);
export const ipv4Ttl = (view: DataView, off: number): number => view.getUint8(off + TTL);
export const ipv4Protocol = (view: DataView, off: number): number => view.getUint8(off + PROTOCOL);
export const ipv4Src = (view: DataView, off: number): number => view.getInt32(off + SRC);
export const ipv4Dst = (view: DataView, off: number): number => view.getInt32(off + DST);

/** What {@link emitIpv4} writes; one record, filled anew for each packet. */
export class Ipv4Fields {
  totalLength: number = IPV4_HEADER_LEN;
  identification = 0;
  /** As {@link ipv4Fragment}. */
  fragment = 0;
  ttl = 64;
  protocol = 0;
  /** IPv4 words. */
  src = 0;
  dst = 0;
}

/** Write a header without options, checksum included. */
export function emitIpv4(view: DataView, off: number, fields: Readonly<Ipv4Fields>): void {
  view.setUint16(off + VERSION_IHL, 0x4500);
  view.setUint16(off + TOTAL_LENGTH, fields.totalLength);
  view.setUint16(off + IDENTIFICATION, fields.identification);
  view.setUint16(off + FRAGMENT, fields.fragment);
  view.setUint8(off + TTL, fields.ttl);
  view.setUint8(off + PROTOCOL, fields.protocol);
  view.setUint16(off + CHECKSUM, 0);
  view.setInt32(off + SRC, fields.src);
  view.setInt32(off + DST, fields.dst);
  view.setUint16(off + CHECKSUM, ~headerSum(view, off) & 0xffff);
}

/** Add four bytes of options to a header whose total length counts them already. */
export function setIpv4Options(view: DataView, off: number, options: number): void {
  view.setUint8(off + VERSION_IHL, 0x46);
  view.setInt32(off + IPV4_HEADER_LEN, options);
  view.setUint16(off + CHECKSUM, 0);
  view.setUint16(off + CHECKSUM, ~sum16(view, off, IPV4_HEADER_LEN + 4) & 0xffff);
}

/** Rewrite the total length and identification of a header, and its checksum. */
export function setIpv4Length(
  view: DataView,
  off: number,
  totalLength: number,
  identification: number,
): void {
  view.setUint16(off + TOTAL_LENGTH, totalLength);
  view.setUint16(off + IDENTIFICATION, identification);
  view.setUint16(off + CHECKSUM, 0);
  view.setUint16(off + CHECKSUM, ~sum16(view, off, ipv4HeaderLen(view, off)) & 0xffff);
}

/** Make the header of a first fragment that of the whole packet, without options. Its checksum is void. */
export function setIpv4Whole(view: DataView, off: number, totalLength: number): void {
  view.setUint8(off + VERSION_IHL, 0x45);
  view.setUint16(off + TOTAL_LENGTH, totalLength);
  view.setUint16(off + FRAGMENT, 0);
}
