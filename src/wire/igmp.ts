/** IGMP (RFC 2236, RFC 3376): who says that it has joined which groups, and the question. */
import { sum16 } from './checksum.ts';

export const PROTOCOL_IGMP = 2;
export const IGMP_QUERY = 0x11;
/** Of version 1 and 2: hosts that hear one of another host for the same group keep silent. */
export const IGMP_REPORT = 0x12;
export const IGMPV2_REPORT = 0x16;
export const IGMPV3_REPORT = 0x22;
export const IGMP_MIN_LEN = 8;

/** A general question of version 3 (RFC 3376 §4.1). */
export const IGMP_QUERY_LEN = 12;
const MAX_RESPONSE = 1;
const CHECKSUM = 2;
const QUERY_ROBUSTNESS = 8;
const ROBUSTNESS = 2;

export const igmpType = (view: DataView, off: number): number => view.getUint8(off);

export const isIgmpSound = (view: DataView, off: number, len: number): boolean =>
  len >= IGMP_MIN_LEN && sum16(view, off, len) === 0xffff;

/** Write a general question. @param maxResponseMs below 12,800 @param intervalS below 128 */
export function emitIgmpQuery(
  view: DataView,
  off: number,
  maxResponseMs: number,
  intervalS: number,
): void {
  for (let at = 0; at < IGMP_QUERY_LEN; at += 4) view.setInt32(off + at, 0);
  view.setUint8(off, IGMP_QUERY);
  view.setUint8(off + MAX_RESPONSE, Math.floor(maxResponseMs / 100));
  view.setUint16(off + QUERY_ROBUSTNESS, (ROBUSTNESS << 8) | intervalS);
  view.setUint16(off + CHECKSUM, ~sum16(view, off, IGMP_QUERY_LEN) & 0xffff);
}
