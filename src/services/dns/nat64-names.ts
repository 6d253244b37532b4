/**
 * Names that NAT64 gives a meaning: `ipv4only.arpa`, by which guests find its prefix (RFC 7050), answered here and never
 * asked of an upstream or of our own DNS64 (RFC 8880 §7), and the reverse names of addresses in its prefixes.
 */
import type { Answer } from 'dns-packet';
import { ipv4 } from '../../base/ip-address.ts';
import { embedIpv4 } from '../nat64-address.ts';
import type { Dns64 } from './dns64.ts';
import {
  CLASS_IN,
  type DnsQuery,
  NOERROR,
  NXDOMAIN,
  TYPE_A,
  TYPE_AAAA,
  TYPE_ANY,
  TYPE_PTR,
} from './message.ts';
import { localReply } from './reply.ts';
import { reverseName } from './reverse-name.ts';
import { soa } from './soa.ts';

export const IPV4_ONLY = 'ipv4only.arpa';
/** 192.0.0.170 and 192.0.0.171 (RFC 7050 §2.2). */
export const IPV4_ONLY_ADDRESSES = [0xc000_00aa, 0xc000_00ab] as const;
/** The prefix may go with the host's network, but is looked for at every start of a connection by some guests. */
const TTL_S = 600;

const REVERSE_NAMES: ReadonlySet<string> = new Set(
  IPV4_ONLY_ADDRESSES.map((word) => reverseName(ipv4(word))),
);

/** @returns undefined for other names */
export function ipv4OnlyReply(query: DnsQuery, dns64: Dns64): Uint8Array | undefined {
  const { name, klass } = query;
  if (klass !== CLASS_IN) return undefined;
  if (REVERSE_NAMES.has(name)) {
    return replyOf(query, name, [{ type: 'PTR', name, ttl: TTL_S, data: IPV4_ONLY }]);
  }
  if (name.endsWith(`.${IPV4_ONLY}`)) {
    return localReply(query, NXDOMAIN, { answers: [], authorities: [soa(IPV4_ONLY)] });
  }
  return name === IPV4_ONLY ? replyOf(query, name, addressesOf(dns64)) : undefined;
}

/** In the prefix that translates the most: guests that translate by themselves use it for every address (RFC 6877). */
const addressesOf = ({ prefixes }: Dns64): Answer[] =>
  IPV4_ONLY_ADDRESSES.flatMap((word): Answer[] => [
    { type: 'A', name: IPV4_ONLY, ttl: TTL_S, data: ipv4(word).toString() },
    {
      type: 'AAAA',
      name: IPV4_ONLY,
      ttl: TTL_S,
      data: embedIpv4(prefixes.forPrivate ?? prefixes.forPublic, word).toString(),
    },
  ]);

const TYPES: Readonly<Record<number, Answer['type']>> = {
  [TYPE_A]: 'A',
  [TYPE_AAAA]: 'AAAA',
  [TYPE_PTR]: 'PTR',
};

function replyOf(query: DnsQuery, zone: string, records: readonly Answer[]): Uint8Array {
  const answers = records.filter(
    ({ type }) => query.type === TYPE_ANY || type === TYPES[query.type],
  );
  const authorities = answers.length > 0 ? [] : [soa(zone)];
  return localReply(query, NOERROR, { answers, authorities });
}
