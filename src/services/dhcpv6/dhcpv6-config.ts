import { IpAddress } from '../../base/ip-address.ts';
import type { Mac } from '../../wire/mac.ts';
import type { LeaseConfig } from '../dhcp/lease.ts';

/** Addresses of leases are interface identifiers in `prefix`, a /64. */
export interface Dhcpv6Config extends LeaseConfig<bigint> {
  readonly prefix: IpAddress;
  readonly gateway: IpAddress;
  /** The gateway's; it identifies the server. */
  readonly mac: Mac;
  readonly dns: readonly IpAddress[];
  readonly ntp: readonly IpAddress[];
  /** False: guests are given parameters, and no addresses. */
  readonly assigns: boolean;
}

export const interfaceIdOf = ({ c, d }: IpAddress): bigint =>
  (BigInt(c >>> 0) << 32n) | BigInt(d >>> 0);

export function addressIn({ a, b }: IpAddress, interfaceId: bigint): IpAddress {
  const word = (value: bigint): number => Number(BigInt.asIntN(32, value));
  return new IpAddress(a, b, word(interfaceId >> 32n), word(interfaceId));
}
