/** How Go's `net.Listen("tcp", ...)` interprets an address. */
import { IpAddress, ipv4 } from '../../base/ip-address.ts';

export const ANY4: IpAddress = ipv4(0);
export const ANY6: IpAddress = new IpAddress(0, 0, 0, 0);

export const isWildcard = (address: IpAddress): boolean =>
  address.equals(ANY4) || address.equals(ANY6);

/** Either unspecified address is every address of both families. */
export const asGoListens = (address: IpAddress | undefined): IpAddress | undefined =>
  address === undefined || isWildcard(address) ? undefined : address;
