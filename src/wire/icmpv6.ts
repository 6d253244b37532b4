/** ICMPv6 (RFC 4443). Offsets are from the first byte of the header. Sums have the pseudo-header of the packet in them. */
import { pseudoSum, sum16 } from './checksum.ts';

const TYPE = 0;
const CODE = 1;
const CHECKSUM = 2;
const IDENTIFIER = 4;
const SEQUENCE = 6;
/** The second word of errors: an MTU, or a pointer to what is wrong. */
const PARAMETER = 4;

export const PROTOCOL_ICMPV6 = 58;
/** Of echo and errors alike. */
export const ICMPV6_HEADER_LEN = 8;
const MIN_LEN = 4;

export const ICMPV6_UNREACHABLE = 1;
export const ICMPV6_TOO_BIG = 2;
export const ICMPV6_TIME_EXCEEDED = 3;
export const ICMPV6_PARAMETER_PROBLEM = 4;
export const ICMPV6_ECHO = 128;
export const ICMPV6_ECHO_REPLY = 129;

export const UNREACHABLE6_NO_ROUTE = 0;
export const UNREACHABLE6_PROHIBITED = 1;
export const UNREACHABLE6_BEYOND_SCOPE = 2;
export const UNREACHABLE6_ADDRESS = 3;
export const UNREACHABLE6_PORT = 4;
export const UNREACHABLE6_POLICY = 5;
export const UNREACHABLE6_REJECT = 6;
export const TIME_EXCEEDED6_HOP_LIMIT = 0;
export const TIME_EXCEEDED6_REASSEMBLY = 1;
export const PROBLEM_FIELD = 0;
export const PROBLEM_NEXT_HEADER = 1;
export const PROBLEM_OPTION = 2;
/** RFC 7112 §5. */
export const PROBLEM_INCOMPLETE_HEADERS = 3;

export type Icmpv6Drop = 'icmpv6-truncated' | 'icmpv6-bad-checksum';

/** @param addressSum of the pseudo-header; negative when the checksum is not to be verified */
export function checkIcmpv6(
  view: DataView,
  off: number,
  avail: number,
  addressSum: number,
): Icmpv6Drop | undefined {
  if (avail < MIN_LEN) return 'icmpv6-truncated';
  if (addressSum < 0) return undefined;
  return sum16(view, off, avail, pseudoSum(addressSum, avail)) === 0xffff
    ? undefined
    : 'icmpv6-bad-checksum';
}

export const icmpv6Type = (view: DataView, off: number): number => view.getUint8(off + TYPE);
export const icmpv6Code = (view: DataView, off: number): number => view.getUint8(off + CODE);
/** The MTU of a packet too big. */
export const icmpv6Mtu = (view: DataView, off: number): number => view.getUint32(off + PARAMETER);
export const echo6Identifier = (view: DataView, off: number): number =>
  view.getUint16(off + IDENTIFIER);
export const echo6Sequence = (view: DataView, off: number): number =>
  view.getUint16(off + SEQUENCE);

/** Errors have types below 128 (RFC 4443 §2.1). */
export const isIcmpv6Error = (type: number): boolean => type < 128;

/** Write an echo header; the `dataLen` bytes after it must already be in place. */
export function emitEcho6(
  view: DataView,
  off: number,
  type: typeof ICMPV6_ECHO | typeof ICMPV6_ECHO_REPLY,
  identifier: number,
  sequence: number,
  dataLen: number,
  addressSum: number,
): void {
  view.setUint16(off + TYPE, type << 8);
  view.setUint16(off + IDENTIFIER, identifier);
  view.setUint16(off + SEQUENCE, sequence);
  finishIcmpv6(view, off, ICMPV6_HEADER_LEN + dataLen, addressSum);
}

/** Write an error's header; the `quoteLen` bytes after it must already be in place. */
export function emitIcmpv6Error(
  view: DataView,
  off: number,
  type: number,
  code: number,
  parameter: number,
  quoteLen: number,
  addressSum: number,
): void {
  view.setUint16(off + TYPE, (type << 8) | code);
  view.setUint32(off + PARAMETER, parameter);
  finishIcmpv6(view, off, ICMPV6_HEADER_LEN + quoteLen, addressSum);
}

/** Write the sum of a message of `len` bytes that is in place. @param addressSum as of {@link checkIcmpv6} */
export function finishIcmpv6(view: DataView, off: number, len: number, addressSum: number): void {
  view.setUint16(off + CHECKSUM, 0);
  view.setUint16(off + CHECKSUM, ~sum16(view, off, len, pseudoSum(addressSum, len)) & 0xffff);
}
