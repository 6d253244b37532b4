/** In-place changes of encoded messages: all other bytes stay as they were. */
import {
  DNS_HEADER_LEN,
  dnsFlags,
  dnsQuestionCount,
  eachRecord,
  FLAG_TC,
  setU16,
  setU32,
  skipQuestion,
  TYPE_OPT,
  u32,
} from './message.ts';

/** Of what is handed out from servers of others. */
export const TTL_MAX_S = 3_600;

/** A copy with another id. */
export function withId(message: Uint8Array, id: number): Uint8Array {
  const copy = new Uint8Array(message); // not slice(): a Buffer's shares its bytes
  setU16(copy, 0, id);
  return copy;
}

/** Give `reply`, in place, the question of `query` in the client's own upper and lower case. */
export function copyQuestion(query: Uint8Array, reply: Uint8Array): void {
  const end = skipQuestion(query);
  if (end > 0 && end <= reply.length && dnsQuestionCount(reply) === 1) {
    reply.set(query.subarray(DNS_HEADER_LEN, end), DNS_HEADER_LEN);
  }
}

/** Count every TTL down, in place, to no less than zero. */
export function ageTtls(message: Uint8Array, seconds: number): void {
  setTtls(message, (ttlS) => Math.max(0, ttlS - seconds));
}

/** Make no TTL longer than {@link TTL_MAX_S}, in place: who asks has to ask again while what was found for it is known. */
export function limitTtls(message: Uint8Array): void {
  setTtls(message, (ttlS) => Math.min(ttlS, TTL_MAX_S));
}

function setTtls(message: Uint8Array, of: (ttlS: number) => number): void {
  eachRecord(message, (record) => {
    if (record.type === TYPE_OPT) return; // its TTL field holds flags
    setU32(message, record.ttlOff, of(u32(message, record.ttlOff)));
  });
}

/**
 * Make a reply fit a UDP client: additional records go first (RFC 2181 §9: without TC), then
 * answers from the end, with TC. What remains is a prefix of the message, so that compression
 * pointers hold; the OPT record is kept (RFC 6891 §7).
 *
 * @param limit the client's, at least 512
 * @returns `message` itself when it fits
 */
export function fitUdp(message: Uint8Array, limit: number): Uint8Array {
  if (message.length <= limit) return message;
  let opt: Uint8Array | undefined;
  eachRecord(message, (record) => {
    if (record.type === TYPE_OPT && record.section === 'additional') {
      opt = message.subarray(record.off, record.end);
    }
  });
  const optLen = opt?.length ?? 0;
  let end = Math.max(DNS_HEADER_LEN, skipQuestion(message));
  if (end + optLen > limit) opt = undefined;
  const room = limit - (opt === undefined ? 0 : optLen);
  const kept = { answer: 0, authority: 0, additional: 0 };
  let cut = false;
  let full = false;
  const sound = eachRecord(message, (record) => {
    if (record.section === 'additional') return;
    full ||= record.end > room;
    if (full) {
      cut = true;
      return;
    }
    kept[record.section]++;
    end = record.end;
  });
  const fitted = new Uint8Array(Math.min(end, limit) + (opt?.length ?? 0));
  fitted.set(message.subarray(0, Math.min(end, limit)));
  if (opt !== undefined) fitted.set(opt, end);
  if (cut || !sound) setU16(fitted, 2, dnsFlags(fitted) | FLAG_TC);
  setU16(fitted, 6, kept.answer);
  setU16(fitted, 8, kept.authority);
  setU16(fitted, 10, opt === undefined ? 0 : 1);
  return fitted;
}
