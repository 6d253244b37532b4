/** Multicast Listener Discovery (RFC 2710, RFC 3810): who says that it has joined which groups, and the question. */

export const MLD_QUERY = 130;
export const MLD_REPORT = 131;
export const MLD_DONE = 132;
export const MLDV2_REPORT = 143;

/** A general question of version 2 (RFC 3810 §5.1). */
export const MLD_QUERY_LEN = 28;
const MAX_RESPONSE = 4;
const QUERY_ROBUSTNESS = 24;
const ROBUSTNESS = 2;

export const isMld = (type: number): boolean =>
  (type >= MLD_QUERY && type <= MLD_DONE) || type === MLDV2_REPORT;

/** Write a general question without its sum. @param intervalS below 128 */
export function emitMldQuery(
  view: DataView,
  off: number,
  maxResponseMs: number,
  intervalS: number,
): void {
  for (let at = 0; at < MLD_QUERY_LEN; at += 4) view.setInt32(off + at, 0);
  view.setUint8(off, MLD_QUERY);
  view.setUint16(off + MAX_RESPONSE, maxResponseMs);
  view.setUint16(off + QUERY_ROBUSTNESS, (ROBUSTNESS << 8) | intervalS);
}
