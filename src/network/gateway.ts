/** The gateway on the segment: its station, and all addresses at which its services are. */
import type { IpAddress } from '../base/ip-address.ts';
import { eui64Address, LINK_LOCAL } from '../wire/eui64.ts';
import type { Addresses } from './addresses.ts';

/** As gvproxy and VPNKit have it. */
export const GATEWAY_MAC = 0x5a94_efe4_0cdd;
/** As guests know their router. */
export const GATEWAY_LINK_LOCAL: IpAddress = eui64Address(LINK_LOCAL, GATEWAY_MAC);

export const gatewayAddresses = ({ gateway, dns, ipv6 }: Addresses): readonly IpAddress[] =>
  [
    ...[gateway, dns],
    ...(ipv6 === undefined ? [] : [ipv6.gateway, ipv6.dns, GATEWAY_LINK_LOCAL]),
  ].filter((address) => address !== undefined);
