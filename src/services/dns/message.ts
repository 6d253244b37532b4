/**
 * DNS messages as bytes (RFC 1035 §4, EDNS RFC 6891): just enough parsing to route, cache and truncate
 * them. Forwarded messages are never decoded and encoded again, so that unknown types, options and flags
 * survive. Every function accepts hostile bytes: it returns a reason or -1.
 */

export const DNS_PORT = 53;
export const DNS_HEADER_LEN = 12;
/** RFC 1035 §4.2.1: the longest UDP message that a client without EDNS accepts. */
export const MIN_UDP_LEN = 512;

export const FLAG_QR = 0x8000;
export const FLAG_AA = 0x0400;
export const FLAG_TC = 0x0200;
export const FLAG_RD = 0x0100;
export const FLAG_RA = 0x0080;
export const FLAG_AD = 0x0020;
export const FLAG_CD = 0x0010;

export const NOERROR = 0;
export const FORMERR = 1;
export const SERVFAIL = 2;
export const NXDOMAIN = 3;
export const NOTIMP = 4;
export const REFUSED = 5;

export const TYPE_A = 1;
export const TYPE_NS = 2;
export const TYPE_CNAME = 5;
export const TYPE_SOA = 6;
export const TYPE_PTR = 12;
export const TYPE_MX = 15;
export const TYPE_AAAA = 28;
export const TYPE_SRV = 33;
export const TYPE_DNAME = 39;
export const TYPE_OPT = 41;
export const TYPE_RRSIG = 46;
export const TYPE_SVCB = 64;
export const TYPE_HTTPS = 65;
export const TYPE_IXFR = 251;
export const TYPE_AXFR = 252;
export const TYPE_ANY = 255;
export const CLASS_IN = 1;

/** As in messages, RFC 1035 §2.3.4. */
export const MAX_NAME_LEN = 255;
/** Of the flags of an OPT record: signatures are wanted (RFC 3225). */
export const EDNS_DO = 0x8000;

/** The query's OPT record. */
export interface Edns {
  readonly udpSize: number;
  readonly version: number;
  readonly dnssecOk: boolean;
  readonly hasOptions: boolean;
}

/** A query with exactly one question. */
export interface DnsQuery {
  /** The whole message. */
  readonly bytes: Uint8Array;
  readonly id: number;
  readonly flags: number;
  /** Lower case, without the last dot; bytes that a host name cannot hold are `\ddd`. */
  readonly name: string;
  readonly type: number;
  readonly klass: number;
  /** Offset behind the question. */
  readonly questionEnd: number;
  readonly edns: Edns | undefined;
  /** No records but OPT. */
  readonly bare: boolean;
}

export type QueryProblem =
  /** Not even a header, or a response: no answer. */
  | 'dns-truncated'
  | 'dns-not-a-query'
  /** Answered with FORMERR. */
  | 'dns-malformed'
  /** An opcode or number of questions that we do not parse, but an upstream may. */
  | 'dns-opaque';

export const dnsId = (bytes: Uint8Array): number => u16(bytes, 0);
export const dnsFlags = (bytes: Uint8Array): number => u16(bytes, 2);
export const dnsOpcode = (bytes: Uint8Array): number => (dnsFlags(bytes) >> 11) & 15;
/** Without the high bits of EDNS. */
export const dnsRcode = (bytes: Uint8Array): number => dnsFlags(bytes) & 15;
export const dnsQuestionCount = (bytes: Uint8Array): number => u16(bytes, 4);
export const dnsAnswerCount = (bytes: Uint8Array): number => u16(bytes, 6);

export function readQuery(bytes: Uint8Array): DnsQuery | QueryProblem {
  if (bytes.length < DNS_HEADER_LEN) return 'dns-truncated';
  const flags = dnsFlags(bytes);
  if ((flags & FLAG_QR) !== 0) return 'dns-not-a-query';
  if (dnsOpcode(bytes) !== 0) return 'dns-opaque';
  if (dnsQuestionCount(bytes) !== 1) {
    return dnsQuestionCount(bytes) === 0 ? 'dns-malformed' : 'dns-opaque';
  }
  const questionEnd = skipQuestion(bytes);
  if (questionEnd < 0) return 'dns-malformed';
  let edns: Edns | undefined;
  let others = 0;
  const sound = eachRecord(bytes, (record) => {
    if (record.type !== TYPE_OPT || edns !== undefined) {
      others++;
      return;
    }
    const extended = u32(bytes, record.ttlOff);
    edns = {
      udpSize: record.klass,
      version: (extended >>> 16) & 255,
      dnssecOk: (extended & EDNS_DO) !== 0,
      hasOptions: record.dataLen > 0,
    };
  });
  if (!sound) return 'dns-malformed';
  const name = readName(bytes, DNS_HEADER_LEN);
  return {
    bytes,
    id: dnsId(bytes),
    flags,
    name,
    type: u16(bytes, questionEnd - 4),
    klass: u16(bytes, questionEnd - 2),
    questionEnd,
    edns,
    bare: others === 0,
  };
}

/** The longest UDP message that the client accepts. */
export const udpLimit = (query: DnsQuery): number =>
  Math.max(MIN_UDP_LEN, query.edns?.udpSize ?? 0);

const SECTIONS = ['answer', 'authority', 'additional'] as const;
export type Section = (typeof SECTIONS)[number];

/** One resource record: offsets into its message, all in bounds. */
export interface RecordAt {
  readonly section: Section;
  readonly off: number;
  readonly type: number;
  readonly klass: number;
  readonly ttlOff: number;
  readonly dataOff: number;
  readonly dataLen: number;
  readonly end: number;
}

/** @returns whether the whole message, with a question or without, was well-formed */
export function eachRecord(bytes: Uint8Array, visit: (record: RecordAt) => void): boolean {
  if (bytes.length < DNS_HEADER_LEN) return false;
  let at = DNS_HEADER_LEN;
  for (let i = dnsQuestionCount(bytes); i > 0; i--) {
    at = skipName(bytes, at);
    if (at < 0 || at + 4 > bytes.length) return false;
    at += 4;
  }
  for (let index = 0; index < SECTIONS.length; index++) {
    const section = SECTIONS[index] ?? 'additional';
    for (let i = u16(bytes, 6 + 2 * index); i > 0; i--) {
      const off = at;
      at = skipName(bytes, at);
      if (at < 0 || at + 10 > bytes.length) return false;
      const dataLen = u16(bytes, at + 8);
      const dataOff = at + 10;
      const end = dataOff + dataLen;
      if (end > bytes.length) return false;
      const type = u16(bytes, at);
      visit({
        section,
        off,
        type,
        klass: u16(bytes, at + 2),
        ttlOff: at + 4,
        dataOff,
        dataLen,
        end,
      });
      at = end;
    }
  }
  return true;
}

/** @returns the offset behind the name at `off`, or -1 */
export function skipName(bytes: Uint8Array, off: number): number {
  let at = off;
  for (;;) {
    const len = bytes[at];
    if (len === undefined || at - off > MAX_NAME_LEN) return -1;
    if (len === 0) return at + 1;
    if (len >= 0xc0) return at + 2 <= bytes.length ? at + 2 : -1;
    if (len > 63) return -1;
    at += 1 + len;
  }
}

/**
 * Whether `reply` answers `query`: a response with the same opcode and, ignoring case, the same
 * question. A server that could not parse the query may leave the question out.
 */
export function answers(query: Uint8Array, reply: Uint8Array): boolean {
  if (reply.length < DNS_HEADER_LEN || (dnsFlags(reply) & FLAG_QR) === 0) return false;
  if (dnsId(reply) !== dnsId(query) || dnsOpcode(reply) !== dnsOpcode(query)) return false;
  if (dnsQuestionCount(query) !== 1) return true;
  if (dnsQuestionCount(reply) === 0)
    return dnsRcode(reply) !== NOERROR && dnsRcode(reply) !== NXDOMAIN;
  const end = skipQuestion(query);
  if (end < 0) return true;
  if (dnsQuestionCount(reply) !== 1 || reply.length < end) return false;
  for (let i = DNS_HEADER_LEN; i < end; i++) {
    if (lowerCase(query[i] ?? 0) !== lowerCase(reply[i] ?? 0)) return false;
  }
  return true;
}

/** @returns the offset behind the first question, whose name has no pointer; or -1 */
export function skipQuestion(bytes: Uint8Array): number {
  const end = skipName(bytes, DNS_HEADER_LEN);
  if (end < 0 || end + 4 > bytes.length || bytes[end - 1] !== 0) return -1;
  return end + 4;
}

/** The name at `off` in the form of {@link DnsQuery.name}; it was checked to have no pointer. */
export function readName(bytes: Uint8Array, off: number): string {
  let name = '';
  for (let at = off; (bytes[at] ?? 0) !== 0; ) {
    const end = Math.min(at + 1 + (bytes[at] ?? 0), bytes.length);
    if (at !== off) name += '.';
    for (at++; at < end; at++) name += PRINTABLE[bytes[at] ?? 0] ?? '';
  }
  return name;
}

function printable(byte: number): string {
  const odd = byte <= 0x20 || byte >= 0x7f || byte === 0x2e || byte === 0x5c; // . and \
  return odd ? `\\${String(byte).padStart(3, '0')}` : String.fromCharCode(lowerCase(byte));
}

/** A byte of a name. */
export const lowerCase = (byte: number): number =>
  byte >= 0x41 && byte <= 0x5a ? byte + 32 : byte;

const PRINTABLE: readonly string[] = Array.from({ length: 256 }, (_, byte) => printable(byte));

export const u16 = (bytes: Uint8Array, off: number): number =>
  ((bytes[off] ?? 0) << 8) | (bytes[off + 1] ?? 0);

export const u32 = (bytes: Uint8Array, off: number): number =>
  ((u16(bytes, off) << 16) | u16(bytes, off + 2)) >>> 0;

export function setU16(bytes: Uint8Array, off: number, value: number): void {
  bytes[off] = value >> 8;
  bytes[off + 1] = value;
}

export function setU32(bytes: Uint8Array, off: number, value: number): void {
  setU16(bytes, off, value >>> 16);
  setU16(bytes, off + 2, value & 0xffff);
}
