/** IPv6 header and its chain of extension headers (RFC 8200 §3, §4). Offsets are from the first byte of the header. */
import type { IpAddress } from '../base/ip-address.ts';
import { ICMPV6_HEADER_LEN, PROTOCOL_ICMPV6 } from './icmpv6.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from './ipv4.ts';
import { TCP_HEADER_LEN } from './tcp.ts';
import { UDP_HEADER_LEN } from './udp.ts';

const PAYLOAD_LENGTH = 4;
const NEXT_HEADER = 6;
const HOP_LIMIT = 7;
const SRC = 8;
const DST = 24;

export const IPV6_HEADER_LEN = 40;
export const IPV6_HOP_LIMIT: number = HOP_LIMIT;
export const IPV6_SRC: number = SRC;
export const IPV6_DST: number = DST;
export const IPV6_NEXT_HEADER: number = NEXT_HEADER;
export const IPV6_PAYLOAD_LENGTH: number = PAYLOAD_LENGTH;
/** What every link and path takes (RFC 8200 §5). */
export const IPV6_MIN_MTU = 1280;
export const IPV6_MAX_PAYLOAD = 65_535;

export const PROTOCOL_HOP_BY_HOP = 0;
export const PROTOCOL_ROUTING = 43;
export const PROTOCOL_FRAGMENT = 44;
export const PROTOCOL_NONE = 59;
export const PROTOCOL_DESTINATION_OPTIONS = 60;
const AUTHENTICATION = 51;
const MOBILITY = 135;
const HOST_IDENTITY = 139;
const SHIM6 = 140;
export const IPV6_FRAGMENT_LEN = 8;
const FRAGMENT_OFFSET_MASK = 0xfff8;
const FLOW_LABEL_MASK = 0xf_ffff;
/** Of TCP, UDP and ICMPv6, at least. */
const UPPER_HEADER_LEN: ReadonlyMap<number, number> = new Map([
  [PROTOCOL_TCP, TCP_HEADER_LEN],
  [PROTOCOL_UDP, UDP_HEADER_LEN],
  [PROTOCOL_ICMPV6, ICMPV6_HEADER_LEN],
]);
/** Each kind once, destination options twice (RFC 8200 §4.1). */
const MAX_EXTENSION_HEADERS = 9;

/** Bytes after the fixed header, extension headers included. */
export const ipv6PayloadLength = (view: DataView, off: number): number =>
  view.getUint16(off + PAYLOAD_LENGTH);
export const setIpv6PayloadLength = (view: DataView, off: number, len: number): void =>
  view.setUint16(off + PAYLOAD_LENGTH, len);
export const ipv6FlowLabel = (view: DataView, off: number): number =>
  view.getUint32(off) & FLOW_LABEL_MASK;
export const ipv6NextHeader = (view: DataView, off: number): number =>
  view.getUint8(off + NEXT_HEADER);
export const ipv6HopLimit = (view: DataView, off: number): number => view.getUint8(off + HOP_LIMIT);

export type Ipv6Drop =
  | 'ipv6-truncated'
  | 'ipv6-bad-version'
  | 'ipv6-bad-payload-length'
  | 'ipv6-incomplete-headers'
  | 'ipv6-too-many-headers';

/** @param avail bytes of the frame from `off`; Ethernet padding is normal */
export function checkIpv6(view: DataView, off: number, avail: number): Ipv6Drop | undefined {
  if (avail < IPV6_HEADER_LEN) return 'ipv6-truncated';
  if (view.getUint8(off) >>> 4 !== 6) return 'ipv6-bad-version';
  return IPV6_HEADER_LEN + ipv6PayloadLength(view, off) > avail
    ? 'ipv6-bad-payload-length'
    : undefined;
}

/** Where the chain of headers ends. One record, filled anew for each packet. */
export class Ipv6Chain {
  /** Protocol of the upper layer. */
  protocol = 0;
  /** Of the upper layer's header, in the slab. */
  upperOff = 0;
  /** Bytes from there to the packet's end. */
  upperLen = 0;
  /** There is a fragment header, be it of the only fragment (RFC 6946). */
  isFragment = false;
  /** A fragment but the first: what it carries has no header. */
  isLaterFragment = false;

  /** Whether the header of the upper layer is not whole. */
  get isUpperCut(): boolean {
    return this.upperLen < (UPPER_HEADER_LEN.get(this.protocol) ?? 0);
  }

  /** @param off of a header that `checkIpv6` accepted */
  walk(view: DataView, off: number): Ipv6Drop | undefined {
    const end = off + IPV6_HEADER_LEN + ipv6PayloadLength(view, off);
    this.isFragment = false;
    this.isLaterFragment = false;
    let protocol = view.getUint8(off + NEXT_HEADER);
    let at = off + IPV6_HEADER_LEN;
    for (let headers = 0; isExtension(protocol); headers++) {
      if (headers === MAX_EXTENSION_HEADERS) return 'ipv6-too-many-headers';
      if (at + IPV6_FRAGMENT_LEN > end) return 'ipv6-incomplete-headers'; // RFC 7112 §5
      const next = view.getUint8(at);
      if (protocol === PROTOCOL_FRAGMENT) {
        this.isFragment = true;
        if ((view.getUint16(at + 2) & FRAGMENT_OFFSET_MASK) !== 0) {
          this.isLaterFragment = true;
          this.end(next, at + IPV6_FRAGMENT_LEN, end);
          return undefined;
        }
      }
      at += extensionLen(view, at, protocol);
      protocol = next;
      if (at > end) return 'ipv6-incomplete-headers';
    }
    this.end(protocol, at, end);
    return undefined;
  }

  private end(protocol: number, off: number, end: number): void {
    this.protocol = protocol;
    this.upperOff = off;
    this.upperLen = end - off;
  }
}

/** Encryption (50) is none: nothing behind it can be read. */
export function isExtension(protocol: number): boolean {
  switch (protocol) {
    case PROTOCOL_HOP_BY_HOP:
    case PROTOCOL_ROUTING:
    case PROTOCOL_FRAGMENT:
    case AUTHENTICATION:
    case PROTOCOL_DESTINATION_OPTIONS:
    case MOBILITY:
    case HOST_IDENTITY:
    case SHIM6:
      return true;
    default:
      return false;
  }
}

/** Bytes of the extension header at `at`, of which at least 8 are there. */
export function extensionLen(view: DataView, at: number, protocol: number): number {
  if (protocol === PROTOCOL_FRAGMENT) return IPV6_FRAGMENT_LEN;
  const units = view.getUint8(at + 1);
  // RFC 4302 §2.2: the only one that counts in words of 4 bytes.
  return protocol === AUTHENTICATION ? (units + 2) << 2 : (units + 1) << 3;
}

/** Of a fragment header: where the piece begins in the payload, in bytes. */
export const ipv6FragmentOffset = (view: DataView, at: number): number =>
  view.getUint16(at + 2) & FRAGMENT_OFFSET_MASK;
export const ipv6FragmentMore = (view: DataView, at: number): boolean =>
  (view.getUint16(at + 2) & 1) !== 0;
export const ipv6FragmentId = (view: DataView, at: number): number => view.getInt32(at + 4);

/** Make the header of a first fragment that of the whole packet. */
export function setIpv6Whole(
  view: DataView,
  off: number,
  nextHeader: number,
  payloadLen: number,
): void {
  view.setUint16(off + PAYLOAD_LENGTH, payloadLen);
  view.setUint8(off + NEXT_HEADER, nextHeader);
}

/** Write a header. @param payloadLen bytes behind it, at most {@link IPV6_MAX_PAYLOAD} */
export function emitIpv6(
  view: DataView,
  off: number,
  src: IpAddress,
  dst: IpAddress,
  nextHeader: number,
  hopLimit: number,
  payloadLen: number,
  flowLabel = 0,
): void {
  view.setInt32(off, 0x6000_0000 | flowLabel);
  view.setInt32(off + PAYLOAD_LENGTH, (payloadLen << 16) | (nextHeader << 8) | hopLimit);
  emitIpv6Address(view, off + SRC, src);
  emitIpv6Address(view, off + DST, dst);
}

export function emitIpv6Address(view: DataView, off: number, { a, b, c, d }: IpAddress): void {
  view.setInt32(off, a);
  view.setInt32(off + 4, b);
  view.setInt32(off + 8, c);
  view.setInt32(off + 12, d);
}

/** @param start of the piece in the payload, a multiple of 8 */
export function emitIpv6Fragment(
  view: DataView,
  at: number,
  nextHeader: number,
  identification: number,
  start: number,
  more: boolean,
): void {
  view.setUint16(at, nextHeader << 8);
  view.setUint16(at + 2, start | (more ? 1 : 0));
  view.setInt32(at + 4, identification);
}
