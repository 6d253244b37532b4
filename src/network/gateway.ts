/** The gateway on the segment: all addresses at which its services are. */
import type { IpAddress } from '../base/ip-address.ts';
import type { Addresses } from './addresses.ts';

export const gatewayAddresses = ({ gateway, dns, ipv6 }: Addresses): readonly IpAddress[] =>
  [
    ...[gateway, dns],
    ...(ipv6 === undefined ? [] : [ipv6.gateway, ipv6.dns, ipv6.linkLocal]),
  ].filter((address) => address !== undefined);
