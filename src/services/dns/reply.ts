/** Replies that hawser generates itself. Their records are encoded by dns-packet, after the client's question. */
import { type Answer, encode } from 'dns-packet';
import {
  DNS_HEADER_LEN,
  type DnsQuery,
  dnsFlags,
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

export interface LocalRecords {
  readonly answers: readonly Answer[];
  readonly authorities: readonly Answer[];
}

/** An authoritative answer; names in `records` must be plain host names. */
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
            flags: 0,
            flag_do: false,
            options: [],
          },
        ];
  const encoded = encode({
    type: 'response',
    questions: [],
    answers: [...records.answers],
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
  return reply;
}

const NONE: LocalRecords = { answers: [], authorities: [] };

/** The query refused with `rcode`, e.g. SERVFAIL. */
export const errorReply = (query: DnsQuery, rcode: number): Uint8Array =>
  localReply(query, rcode, NONE);

/** A refusal of a message that could not be read: its header alone (RFC 1035 §4.1.1, FORMERR). */
export function headerReply(message: Uint8Array, rcode: number): Uint8Array {
  const reply = new Uint8Array(DNS_HEADER_LEN);
  setU16(reply, 0, u16(message, 0));
  setU16(reply, 2, FLAG_QR | FLAG_RA | (dnsFlags(message) & (OPCODE | FLAG_RD)) | rcode);
  return reply;
}
