/**
 * A query as one who wants nothing but its answer asks it: its question in lower case, and that EDNS and signatures are
 * understood. Records, options and bytes beside these, and upper case, are the asker's own words to the server, whatever name
 * was asked for.
 */
import {
  DNS_HEADER_LEN,
  type DnsQuery,
  EDNS_DO,
  FLAG_AD,
  FLAG_CD,
  FLAG_RD,
  lowerCase,
  setU16,
  TYPE_OPT,
} from './message.ts';

const KEPT_FLAGS = FLAG_RD | FLAG_AD | FLAG_CD;
const OPT_LEN = 11;
const TYPE_AND_CLASS_LEN = 4;

/** @returns another message, with the same id */
export function plainQuery({ bytes, id, flags, questionEnd, edns }: DnsQuery): Uint8Array {
  const plain = new Uint8Array(questionEnd + (edns === undefined ? 0 : OPT_LEN));
  plain.set(bytes.subarray(DNS_HEADER_LEN, questionEnd), DNS_HEADER_LEN);
  for (let at = DNS_HEADER_LEN; at < questionEnd - TYPE_AND_CLASS_LEN; at++) {
    plain[at] = lowerCase(plain[at] ?? 0); // lengths of labels are less than any letter
  }
  setU16(plain, 0, id);
  setU16(plain, 2, flags & KEPT_FLAGS);
  setU16(plain, 4, 1);
  if (edns === undefined) return plain;
  setU16(plain, 10, 1);
  // The root's name, and as extended code, version and length zeros (RFC 6891 §6.1.2).
  setU16(plain, questionEnd + 1, TYPE_OPT);
  setU16(plain, questionEnd + 3, edns.udpSize);
  setU16(plain, questionEnd + 7, edns.dnssecOk ? EDNS_DO : 0);
  return plain;
}
