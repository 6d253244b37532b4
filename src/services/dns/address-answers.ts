/** The addresses in an answer, and the name that was asked for, whatever names lead to them. */
import { IpAddress, ipv4 } from '../../base/ip-address.ts';
import {
  CLASS_IN,
  DNS_HEADER_LEN,
  dnsFlags,
  dnsQuestionCount,
  dnsRcode,
  eachRecord,
  FLAG_QR,
  NOERROR,
  readName,
  skipQuestion,
  TYPE_A,
  TYPE_AAAA,
  u16,
  u32,
} from './message.ts';

export interface AddressAnswers {
  /** In the form of `DnsQuery.name`. */
  readonly name: string;
  readonly addresses: readonly { readonly address: IpAddress; readonly ttlS: number }[];
}

/** A week, as caches do (RFC 2181 §8 allows any limit). */
const TTL_MAX_S = 604_800;
/** More in one answer are ignored. */
const ADDRESSES_MAX = 32;

/** @returns undefined for what is no answer with addresses to a question for them */
export function addressAnswers(message: Uint8Array): AddressAnswers | undefined {
  if (message.length < DNS_HEADER_LEN || (dnsFlags(message) & FLAG_QR) === 0) return undefined;
  if (dnsRcode(message) !== NOERROR || dnsQuestionCount(message) !== 1) return undefined;
  const end = skipQuestion(message);
  if (end < 0) return undefined;
  const asked = u16(message, end - 4);
  if ((asked !== TYPE_A && asked !== TYPE_AAAA) || u16(message, end - 2) !== CLASS_IN) {
    return undefined;
  }
  const addresses: { address: IpAddress; ttlS: number }[] = [];
  const isSound = eachRecord(message, ({ section, type, klass, ttlOff, dataOff, dataLen }) => {
    if (section !== 'answer' || type !== asked || klass !== CLASS_IN) return;
    if (dataLen !== (type === TYPE_A ? 4 : 16) || addresses.length === ADDRESSES_MAX) return;
    const word = (at: number): number => u32(message, dataOff + at);
    const address =
      type === TYPE_A ? ipv4(word(0)) : new IpAddress(word(0), word(4), word(8), word(12));
    addresses.push({ address, ttlS: Math.min(u32(message, ttlOff), TTL_MAX_S) });
  });
  if (!isSound || addresses.length === 0) return undefined;
  return { name: readName(message, DNS_HEADER_LEN), addresses };
}
