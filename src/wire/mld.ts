/** Multicast Listener Discovery (RFC 2710, RFC 3810): who says that it has joined which groups, and the question. */

export const MLD_QUERY = 130;
export const MLD_REPORT = 131;
export const MLD_DONE = 132;
export const MLDV2_REPORT = 143;

/** Of a report of version 2: how many records it has, and where they begin. */
const COUNT = 6;
const RECORDS = 8;
/** Of a record: its type, bytes of auxiliary data by four, sources, and the group. */
const AUXILIARY_LEN = 1;
const SOURCES = 2;
const GROUP = 4;
const RECORD_LEN = 20;
const ADDRESS_LEN = 16;

const IS_INCLUDE = 1;
const TO_INCLUDE = 3;
const BLOCK_OLD_SOURCES = 6;

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

/**
 * Visit the groups that a report of version 2 says are joined, by the last four bytes of their addresses. Those that are
 * left are not visited.
 *
 * @returns false when the report is not whole; what was before the fault has been visited
 */
export function forEachJoinedGroup(
  view: DataView,
  off: number,
  len: number,
  visit: (low: number) => void,
): boolean {
  if (len < RECORDS) return false;
  const end = off + len;
  let at = off + RECORDS;
  for (let left = view.getUint16(off + COUNT); left > 0; left--) {
    if (at + RECORD_LEN > end) return false;
    const sources = view.getUint16(at + SOURCES);
    const type = view.getUint8(at);
    const isLeft = sources === 0 && (type === IS_INCLUDE || type === TO_INCLUDE);
    if (!isLeft && type < BLOCK_OLD_SOURCES) visit(view.getInt32(at + GROUP + ADDRESS_LEN - 4));
    at += RECORD_LEN + ADDRESS_LEN * sources + 4 * view.getUint8(at + AUXILIARY_LEN);
  }
  return at <= end;
}
