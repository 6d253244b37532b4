/**
 * The stack's own addresses, by family: one record for all code that answers for them, sends
 * from them, or denies them to guests.
 */
import type { IpAddress } from '../base/ip-address.ts';
import type { Mac } from '../wire/mac.ts';

export interface OwnAddresses {
  /** The gateway's station on the segment. */
  readonly mac: Mac;
  readonly ipv4: OwnIpv4;
}

export interface OwnIpv4 {
  /** The segment's network, as IPv4 words. */
  readonly base: number;
  readonly mask: number;
  readonly gateway: IpAddress;
  /** Stands for the host's loopback; undefined when guests may not reach it. */
  readonly host: IpAddress | undefined;
}

export const isOwnIpv4 = ({ gateway, host }: OwnIpv4, word: number): boolean =>
  word === gateway.d || word === host?.d;

/** Limited or directed broadcast, or multicast. */
export const isIpv4Group = ({ base, mask }: OwnIpv4, word: number): boolean =>
  word === -1 || word >>> 28 === 14 || word === (base | ~mask) || word === base;

/** Whether a guest may have this address. */
export const isGuestIpv4 = (own: OwnIpv4, word: number): boolean =>
  (word & own.mask) === own.base && !isOwnIpv4(own, word) && !isIpv4Group(own, word);
