/** The records of a report of MLDv2 (RFC 3810 §5.2) or IGMPv3 (RFC 3376 §4.2), which differ in the length of addresses alone. */

/** Of the report: how many records it has, and where they begin. */
const COUNT = 6;
const RECORDS = 8;
/** Of a record: its type, bytes of auxiliary data by four, sources, and the group. */
const AUXILIARY_LEN = 1;
const SOURCES = 2;
const GROUP = 4;

const IS_INCLUDE = 1;
const TO_INCLUDE = 3;
const BLOCK_OLD_SOURCES = 6;

/**
 * Visit the groups that a report says are joined, by the last four bytes of their addresses. Those that are left are not
 * visited.
 *
 * @param addressLen 4 or 16
 * @returns false when the report is not whole; what was before the fault has been visited
 */
export function forEachJoinedGroup(
  view: DataView,
  off: number,
  len: number,
  addressLen: number,
  visit: (low: number) => void,
): boolean {
  if (len < RECORDS) return false;
  const recordLen = GROUP + addressLen;
  const end = off + len;
  let at = off + RECORDS;
  for (let left = view.getUint16(off + COUNT); left > 0; left--) {
    if (at + recordLen > end) return false;
    const sources = view.getUint16(at + SOURCES);
    const type = view.getUint8(at);
    const isLeft = sources === 0 && (type === IS_INCLUDE || type === TO_INCLUDE);
    if (!isLeft && type < BLOCK_OLD_SOURCES) visit(view.getInt32(at + recordLen - 4));
    at += recordLen + addressLen * sources + 4 * view.getUint8(at + AUXILIARY_LEN);
  }
  return at <= end;
}
