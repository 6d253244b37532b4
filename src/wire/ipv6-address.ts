/** IPv6 addresses in messages: 16 bytes. */
import { IpAddress } from '../base/ip-address.ts';

export const IPV6_ADDRESS_LEN = 16;

export const readIpv6Address = (view: DataView, at: number): IpAddress =>
  new IpAddress(
    view.getInt32(at),
    view.getInt32(at + 4),
    view.getInt32(at + 8),
    view.getInt32(at + 12),
  );

export function writeIpv6Address(view: DataView, at: number, { a, b, c, d }: IpAddress): void {
  view.setInt32(at, a);
  view.setInt32(at + 4, b);
  view.setInt32(at + 8, c);
  view.setInt32(at + 12, d);
}
