/**
 * The addresses in an answer, hints of HTTPS and SVCB records included, of the name that was asked for and its aliases
 * alone, whatever else is there.
 */
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
  TYPE_CNAME,
  TYPE_HTTPS,
  TYPE_SVCB,
  u16,
  u32,
} from './message.ts';
import { hintsOf } from './svcb.ts';
import { expandName } from './wire-name.ts';

export interface AddressAnswers {
  /** In the form of `DnsQuery.name`. */
  readonly name: string;
  readonly addresses: readonly { readonly address: IpAddress; readonly ttlS: number }[];
}

/** More in one answer are ignored; one over UDP holds less than a tenth as a rule. */
const ADDRESSES_MAX = 1_024;
/** More lead nowhere: resolvers follow 8 to 16. */
const ALIASES_MAX = 16;

/** How most records have the name that was asked for: a pointer to the question (RFC 1035 §4.1.4). */
const TO_QUESTION = 0xc000 | DNS_HEADER_LEN;

const HAS_ADDRESSES: ReadonlySet<number> = new Set([...[TYPE_A, TYPE_AAAA, TYPE_HTTPS, TYPE_SVCB]]);

/** @returns undefined for what is no answer with addresses to a question for them */
export function addressAnswers(message: Uint8Array): AddressAnswers | undefined {
  if (message.length < DNS_HEADER_LEN || (dnsFlags(message) & FLAG_QR) === 0) return undefined;
  if (dnsRcode(message) !== NOERROR || dnsQuestionCount(message) !== 1) return undefined;
  const end = skipQuestion(message);
  if (end < 0) return undefined;
  const asked = u16(message, end - 4);
  if (!HAS_ADDRESSES.has(asked) || u16(message, end - 2) !== CLASS_IN) return undefined;
  const name = readName(message, DNS_HEADER_LEN);
  const nameAt = (off: number): string =>
    u16(message, off) === TO_QUESTION ? name : expandedAt(message, off);
  const found: { owner: string; address: IpAddress; ttlS: number }[] = [];
  const aliases = new Map<string, string>();
  const isSound = eachRecord(message, ({ section, off, type, klass, ttlOff, dataOff, dataLen }) => {
    if (section !== 'answer' || klass !== CLASS_IN) return;
    if (type === TYPE_CNAME && aliases.size < ALIASES_MAX) {
      aliases.set(nameAt(off), nameAt(dataOff));
    }
    if (type !== asked) return;
    const ttlS = u32(message, ttlOff);
    const owner = nameAt(off);
    for (const address of addressesIn(message.subarray(dataOff, dataOff + dataLen), type)) {
      found.push({ owner, address, ttlS });
    }
  });
  if (!isSound) return undefined;
  const owners = new Set<string>();
  for (let owner: string | undefined = name; owner !== undefined && !owners.has(owner); ) {
    owners.add(owner);
    owner = aliases.get(owner);
  }
  const addresses = found.filter(({ owner }) => owners.has(owner)).slice(0, ADDRESSES_MAX);
  return addresses.length === 0 ? undefined : { name, addresses };
}

function addressesIn(data: Uint8Array, type: number): readonly IpAddress[] {
  if (type === TYPE_HTTPS || type === TYPE_SVCB) return hintsOf(data);
  if (data.length !== (type === TYPE_A ? 4 : 16)) return [];
  const word = (at: number): number => u32(data, at);
  return [type === TYPE_A ? ipv4(word(0)) : new IpAddress(word(0), word(4), word(8), word(12))];
}

/** @returns NUL, which is nobody's, for what is no name */
function expandedAt(message: Uint8Array, off: number): string {
  const name = expandName(message, off);
  return name === undefined ? '\0' : readName(name, 0);
}
