/** NAT64 prefixes of a network, as its DNS64 shows them in answers for `ipv4only.arpa` (RFC 7050 §3). */
import { IpAddress } from '../../base/ip-address.ts';
import { embedIpv4, NAT64_BITS, type Nat64Bits, type Nat64Prefix } from '../nat64-address.ts';
import { addressAnswers } from './address-answers.ts';
import { CLASS_IN, DNS_HEADER_LEN, type DnsQuery, FLAG_RD, setU16, TYPE_AAAA } from './message.ts';
import { IPV4_ONLY, IPV4_ONLY_ADDRESSES } from './nat64-names.ts';
import { wireName } from './wire-name.ts';

/** A /96 first: the commonest. */
const LENGTHS = [...NAT64_BITS].reverse();

export interface DiscoveredPrefixes {
  /** In the order of the answer; empty: the network has none. */
  readonly prefixes: readonly Nat64Prefix[];
  /** How long they hold; 0 without any. */
  readonly ttlS: number;
}

export function discoveryQuery(): DnsQuery {
  const name = wireName(IPV4_ONLY);
  const questionEnd = DNS_HEADER_LEN + name.length + 4;
  const bytes = new Uint8Array(questionEnd);
  setU16(bytes, 2, FLAG_RD);
  setU16(bytes, 4, 1);
  bytes.set(name, DNS_HEADER_LEN);
  setU16(bytes, questionEnd - 4, TYPE_AAAA);
  setU16(bytes, questionEnd - 2, CLASS_IN);
  return {
    ...{ bytes, id: 0, flags: FLAG_RD, name: IPV4_ONLY, type: TYPE_AAAA, klass: CLASS_IN },
    ...{ questionEnd, edns: undefined, bare: true },
  };
}

/** @param reply to {@link discoveryQuery} */
export function discoveredPrefixes(reply: Uint8Array): DiscoveredPrefixes {
  const prefixes: Nat64Prefix[] = [];
  let ttlS = Number.POSITIVE_INFINITY;
  const answers = addressAnswers(reply)?.addresses ?? [];
  const candidates = answers.map(({ address }) => prefixesOf(address));
  for (const [i, found] of candidates.entries()) {
    // RFC 7050 §3: where an address can be read in several ways, the other one decides.
    const agreed = found.filter(
      (one) => found.length === 1 || candidates.some((other, j) => i !== j && includes(other, one)),
    );
    for (const prefix of agreed) if (!includes(prefixes, prefix)) prefixes.push(prefix);
    if (agreed.length > 0) ttlS = Math.min(ttlS, answers[i]?.ttlS ?? 0);
  }
  return { prefixes, ttlS: prefixes.length === 0 ? 0 : ttlS };
}

/** Every prefix in which `address` is one of the two known IPv4 addresses. */
function prefixesOf(address: IpAddress): Nat64Prefix[] {
  if (!isTranslatable(address)) return [];
  return LENGTHS.map((bits) => ({ address: masked(address, bits), bits })).filter((prefix) =>
    IPV4_ONLY_ADDRESSES.some((word) => embedIpv4(prefix, word).equals(address)),
  );
}

/** Not ::ffff:0:0/96 nor ::/96, which never leave a host, nor a link's addresses, nor those of groups. */
const isTranslatable = ({ a }: IpAddress): boolean =>
  a !== 0 && a >>> 22 !== 0xfe80 >>> 6 && a >>> 24 !== 0xff;

function masked({ a, b, c }: IpAddress, bits: Nat64Bits): IpAddress {
  if (bits === 96) return new IpAddress(a, b, c, 0);
  const kept = bits - 32;
  return new IpAddress(a, kept === 0 ? 0 : b & (-1 << (32 - kept)), 0, 0);
}

const includes = (prefixes: readonly Nat64Prefix[], { address, bits }: Nat64Prefix): boolean =>
  prefixes.some((one) => one.bits === bits && one.address.equals(address));
