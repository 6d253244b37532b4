/** Replies that hawser generates itself. Their records are encoded by dns-packet, after the client's question. */
import { type Answer, encode } from 'dns-packet';
import {
  DNS_HEADER_LEN,
  type DnsQuery,
  dnsFlags,
  EDNS_DO,
  FLAG_AA,
  FLAG_CD,
  FLAG_QR,
  FLAG_RA,
  FLAG_RD,
  setU16,
  u16,
} from './message.ts';

/** The UDP payload size that we announce (DNS flag day 2020). */
const OUR_UDP_SIZE = 1232;
const OPCODE = 0x7800;
/** TCP has no room for more (RFC 1035 §4.2.2). What else the message has fits beside it. */
const ANSWERS_BYTES = 65_535 - 4_096;
/** Two names of 255 bytes each, and what is between them. */
const SURELY_FIT = Math.floor(ANSWERS_BYTES / 520);

export interface LocalRecords {
  readonly answers: readonly Answer[];
  readonly authorities: readonly Answer[];
  /** Why (RFC 8914), for a client that understands EDNS. */
  readonly error?: ExtendedError | undefined;
}

export interface ExtendedError {
  readonly code: number;
  readonly text: string;
}

/** RFC 8914 §4.16: the operator of the resolver does not want it. */
export const EDE_BLOCKED = 15;
const OPTION_EDE = 15;
/** Code and length of the option, and the error's code. */
const EDE_HEADER_LEN = 6;

/** An authoritative answer, of as many records as a message holds; names in `records` must be plain host names. */
export function localReply(query: DnsQuery, rcode: number, records: LocalRecords): Uint8Array {
  const additionals: Answer[] =
    query.edns === undefined
      ? []
      : [
          {
            type: 'OPT',
            name: '.',
            udpPayloadSize: OUR_UDP_SIZE,
            extendedRcode: 0,
            ednsVersion: 0,
            flags: query.edns.dnssecOk ? EDNS_DO : 0, // RFC 3225 §3: that of the query
            flag_do: query.edns.dnssecOk,
            options: [],
          },
        ];
  const encoded = encode({
    type: 'response',
    questions: [],
    answers: fitting(records.answers),
    authorities: [...records.authorities],
    additionals,
  });
  const reply = new Uint8Array(query.questionEnd + encoded.length - DNS_HEADER_LEN);
  reply.set(encoded.subarray(0, DNS_HEADER_LEN));
  reply.set(query.bytes.subarray(DNS_HEADER_LEN, query.questionEnd), DNS_HEADER_LEN);
  // dns-packet does not compress: no pointers to move.
  reply.set(encoded.subarray(DNS_HEADER_LEN), query.questionEnd);
  setU16(reply, 0, query.id);
  const kept = query.flags & (FLAG_RD | FLAG_CD);
  setU16(reply, 2, FLAG_QR | FLAG_RA | (rcode === 0 || rcode === 3 ? FLAG_AA : 0) | kept | rcode);
  setU16(reply, 4, 1);
  const { error } = records;
  return error === undefined || query.edns === undefined ? reply : withError(reply, error);
}

function fitting(records: readonly Answer[]): Answer[] {
  if (records.length <= SURELY_FIT) return [...records];
  let room = ANSWERS_BYTES;
  const end = records.findIndex((record) => {
    room -= encode({ type: 'response', answers: [record] }).length - DNS_HEADER_LEN;
    return room < 0;
  });
  return records.slice(0, end < 0 ? records.length : end);
}

/** `reply` ends with an OPT record without options: its length, which is 0, is its last two bytes. */
function withError(reply: Uint8Array, { code, text }: ExtendedError): Uint8Array {
  const words = new TextEncoder().encode(text);
  const longer = new Uint8Array(reply.length + EDE_HEADER_LEN + words.length);
  longer.set(reply);
  const dataLen = EDE_HEADER_LEN - 4 + words.length;
  setU16(longer, reply.length - 2, 4 + dataLen);
  setU16(longer, reply.length, OPTION_EDE);
  setU16(longer, reply.length + 2, dataLen);
  setU16(longer, reply.length + 4, code);
  longer.set(words, reply.length + EDE_HEADER_LEN);
  return longer;
}

const NONE: LocalRecords = { answers: [], authorities: [] };

/** The query refused with `rcode`, e.g. SERVFAIL. */
export const errorReply = (query: DnsQuery, rcode: number, error?: ExtendedError): Uint8Array =>
  localReply(query, rcode, { ...NONE, error });

/** A refusal of a message that could not be read: its header alone (RFC 1035 §4.1.1, FORMERR). */
export function headerReply(message: Uint8Array, rcode: number): Uint8Array {
  const reply = new Uint8Array(DNS_HEADER_LEN);
  setU16(reply, 0, u16(message, 0));
  setU16(reply, 2, FLAG_QR | FLAG_RA | (dnsFlags(message) & (OPCODE | FLAG_RD)) | rcode);
  return reply;
}
