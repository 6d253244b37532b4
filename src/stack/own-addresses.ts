/**
 * The stack's own addresses, by family: one record for all code that answers for them, sends
 * from them, or denies them to guests.
 */
import type { IpAddress } from '../base/ip-address.ts';
import { wordAt } from '../base/word-at.ts';
import type { Mac } from '../wire/mac.ts';

export interface OwnAddresses {
  /** The gateway's station on the segment. */
  readonly mac: Mac;
  readonly ipv4: OwnIpv4;
  /** Undefined: guests have no IPv6 through the gateway. */
  readonly ipv6: OwnIpv6 | undefined;
}

export interface OwnIpv4 {
  /** The segment's network, as IPv4 words. */
  readonly base: number;
  readonly mask: number;
  readonly gateway: IpAddress;
  /** Another address of the gateway. */
  readonly alias?: IpAddress | undefined;
  /** Stands for the host's loopback; undefined when guests may not reach it. May be the gateway's. */
  readonly host: IpAddress | undefined;
}

export interface OwnIpv6 {
  /** The segment's network, of 64 bits. */
  readonly prefix: IpAddress;
  readonly gateway: IpAddress;
  /** Another address of the gateway. */
  readonly alias?: IpAddress | undefined;
  /** The gateway as router and neighbour. */
  readonly linkLocal: IpAddress;
  /** Stands for the host's loopback; undefined when guests may not reach it. May be the gateway's. */
  readonly host: IpAddress | undefined;
}

export const isGatewayIpv4 = ({ gateway, alias }: OwnIpv4, word: number): boolean =>
  word === gateway.d || word === alias?.d;

export const isOwnIpv4 = (own: OwnIpv4, word: number): boolean =>
  isGatewayIpv4(own, word) || word === own.host?.d;

/** Limited or directed broadcast, or multicast. */
export const isIpv4Group = ({ base, mask }: OwnIpv4, word: number): boolean =>
  word === -1 || word >>> 28 === 14 || word === (base | ~mask) || word === base;

/** Whether a guest may have this address. */
export const isGuestIpv4 = (own: OwnIpv4, word: number): boolean =>
  (word & own.mask) === own.base && !isOwnIpv4(own, word) && !isIpv4Group(own, word);

/** Whether the address in four words of `words` is `address`. */
export const isAddressAt = ({ a, b, c, d }: IpAddress, words: Int32Array, at: number): boolean =>
  words[at + 3] === d && words[at + 2] === c && words[at + 1] === b && words[at] === a;

export const isGatewayIpv6 = (
  { gateway, alias, linkLocal }: OwnIpv6,
  words: Int32Array,
  at: number,
): boolean =>
  isAddressAt(gateway, words, at) ||
  isAddressAt(linkLocal, words, at) ||
  (alias !== undefined && isAddressAt(alias, words, at));

export const isOwnIpv6 = (own: OwnIpv6, words: Int32Array, at: number): boolean =>
  isGatewayIpv6(own, words, at) || (own.host !== undefined && isAddressAt(own.host, words, at));

/** fe80::/10 */
export const isIpv6LinkLocal = (a: number): boolean => a >>> 22 === 0x3fa;

/** ff00::/8 */
export const isIpv6Group = (a: number): boolean => a >>> 24 === 0xff;

/** Whether a guest may have the address in `words`: of the prefix (but no router's anycast address, RFC 4291 §2.6.1), or of the link. */
export function isGuestIpv6(own: OwnIpv6, words: Int32Array, at: number): boolean {
  const a = wordAt(words, at);
  const isOfPrefix =
    a === own.prefix.a &&
    words[at + 1] === own.prefix.b &&
    (wordAt(words, at + 2) | wordAt(words, at + 3)) !== 0;
  return (isOfPrefix || isIpv6LinkLocal(a)) && !isOwnIpv6(own, words, at);
}
