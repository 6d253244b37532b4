/** ICMP for IPv4 (RFC 792; next-hop MTU: RFC 1191). Offsets are from the first byte of the header. */
import { sum16 } from './checksum.ts';

const TYPE = 0;
const CODE = 1;
const CHECKSUM = 2;
const IDENTIFIER = 4;
const SEQUENCE = 6;
const NEXT_HOP_MTU = 6;

/** Header of an echo and of an error message alike. */
export const ICMP_HEADER_LEN = 8;
export const ICMP_ECHO_REPLY = 0;
export const ICMP_UNREACHABLE = 3;
export const ICMP_ECHO = 8;
export const ICMP_TIME_EXCEEDED = 11;

export const UNREACHABLE_NET = 0;
export const UNREACHABLE_HOST = 1;
export const UNREACHABLE_PROTOCOL = 2;
export const UNREACHABLE_PORT = 3;
export const UNREACHABLE_NEEDS_FRAGMENTATION = 4;
export const UNREACHABLE_PROHIBITED = 13;
export const TIME_EXCEEDED_TRANSIT = 0;
export const TIME_EXCEEDED_REASSEMBLY = 1;

export type IcmpDrop = 'icmp-truncated' | 'icmp-bad-checksum';

export function checkIcmp(view: DataView, off: number, avail: number): IcmpDrop | undefined {
  if (avail < ICMP_HEADER_LEN) return 'icmp-truncated';
  return sum16(view, off, avail) === 0xffff ? undefined : 'icmp-bad-checksum';
}

export const icmpType = (view: DataView, off: number): number => view.getUint8(off + TYPE);
export const icmpCode = (view: DataView, off: number): number => view.getUint8(off + CODE);
export const echoIdentifier = (view: DataView, off: number): number =>
  view.getUint16(off + IDENTIFIER);
export const echoSequence = (view: DataView, off: number): number => view.getUint16(off + SEQUENCE);
export const icmpNextHopMtu = (view: DataView, off: number): number =>
  view.getUint16(off + NEXT_HOP_MTU);

/** Write an echo header; the `dataLen` bytes after it must already be in place. */
export function emitEcho(
  view: DataView,
  off: number,
  type: typeof ICMP_ECHO | typeof ICMP_ECHO_REPLY,
  identifier: number,
  sequence: number,
  dataLen: number,
): void {
  view.setUint8(off + TYPE, type);
  view.setUint8(off + CODE, 0);
  view.setUint16(off + IDENTIFIER, identifier);
  view.setUint16(off + SEQUENCE, sequence);
  finish(view, off, dataLen);
}

/** Write an error's header; the `quoteLen` bytes after it must already be in place. */
export function emitIcmpError(
  view: DataView,
  off: number,
  type: number,
  code: number,
  nextHopMtu: number,
  quoteLen: number,
): void {
  view.setUint8(off + TYPE, type);
  view.setUint8(off + CODE, code);
  view.setUint16(off + 4, 0);
  view.setUint16(off + NEXT_HOP_MTU, nextHopMtu);
  finish(view, off, quoteLen);
}

function finish(view: DataView, off: number, bodyLen: number): void {
  view.setUint16(off + CHECKSUM, 0);
  view.setUint16(off + CHECKSUM, ~sum16(view, off, ICMP_HEADER_LEN + bodyLen) & 0xffff);
}
