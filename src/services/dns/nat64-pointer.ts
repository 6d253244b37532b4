/**
 * Reverse names of addresses in a prefix of NAT64: aliases of those of the IPv4 addresses inside (RFC 6147 §5.3.1), where
 * these have a name.
 */
import { ipv4 } from '../../base/ip-address.ts';
import { isInside } from '../address-text.ts';
import { extractIpv4 } from '../nat64-address.ts';
import type { Dns64 } from './dns64.ts';
import {
  CLASS_IN,
  DNS_HEADER_LEN,
  type DnsQuery,
  dnsFlags,
  dnsRcode,
  eachRecord,
  FLAG_AD,
  NOERROR,
  NXDOMAIN,
  readQuery,
  TYPE_ANY,
  TYPE_CNAME,
  TYPE_PTR,
} from './message.ts';
import { MessageWriter } from './message-writer.ts';
import { errorReply, localReply } from './reply.ts';
import { isWhole, reverseName, reverseNetwork, reverseZone } from './reverse-name.ts';
import { LOCAL_TTL_S, soa } from './soa.ts';
import { expandName, wireName } from './wire-name.ts';

/** What a reverse name leads to: another one to ask for, or an answer. */
export type Nat64Pointer =
  | { readonly alias: DnsQuery; readonly zone: string }
  | { readonly reply: Uint8Array };

/** @returns undefined for a name that is in no prefix of ours */
export function nat64Pointer(query: DnsQuery, dns64: Dns64): Nat64Pointer | undefined {
  const asked = query.klass === CLASS_IN ? reverseNetwork(query.name) : undefined;
  if (asked === undefined || asked.address.family === 4) return undefined;
  const prefix = dns64.prefixesInUse.find(
    (one) => asked.bits >= one.bits && isInside(one, asked.address),
  );
  if (prefix === undefined) return undefined;
  const zone = reverseZone(prefix);
  if (!isWhole(asked) || (query.type !== TYPE_PTR && query.type !== TYPE_ANY)) {
    return { reply: negativeReply(query, NOERROR, zone) };
  }
  const word = extractIpv4(prefix, asked.address);
  if (word === undefined || dns64.addressFor(ipv4(word)) === undefined) {
    return { reply: negativeReply(query, NXDOMAIN, zone) };
  }
  const alias = renamed(query, reverseName(ipv4(word)));
  return alias === undefined ? undefined : { alias, zone };
}

/** @param found the answer to `alias` */
export function aliasReply(
  query: DnsQuery,
  { alias, zone }: Extract<Nat64Pointer, { alias: DnsQuery }>,
  found: Uint8Array,
): Uint8Array {
  const rcode = dnsRcode(found);
  if (rcode !== NOERROR && rcode !== NXDOMAIN) return errorReply(query, rcode);
  const question = query.bytes.subarray(DNS_HEADER_LEN, query.questionEnd);
  const owner = expandName(question, 0);
  const writer = new MessageWriter(found, question);
  let hasPointer = false;
  if (owner !== undefined) {
    const data = wireName(alias.name);
    writer.add('answer', { owner, type: TYPE_CNAME, klass: CLASS_IN, ttlS: LOCAL_TTL_S, data });
  }
  const isSound = eachRecord(found, (record) => {
    hasPointer ||= record.section === 'answer' && record.type === TYPE_PTR;
    writer.copy(found, record);
  });
  const reply = isSound && hasPointer ? writer.finish(dnsFlags(found) & ~FLAG_AD) : undefined;
  return reply ?? negativeReply(query, rcode, zone);
}

const negativeReply = (query: DnsQuery, rcode: number, zone: string): Uint8Array =>
  localReply(query, rcode, { answers: [], authorities: [soa(zone)] });

/** The same query for another name. */
function renamed({ bytes, questionEnd }: DnsQuery, name: string): DnsQuery | undefined {
  const question = wireName(name);
  const rest = bytes.subarray(questionEnd - 4);
  const changed = new Uint8Array(DNS_HEADER_LEN + question.length + rest.length);
  changed.set(bytes.subarray(0, DNS_HEADER_LEN));
  changed.set(question, DNS_HEADER_LEN);
  changed.set(rest, DNS_HEADER_LEN + question.length);
  const query = readQuery(changed);
  return typeof query === 'string' ? undefined : query;
}
