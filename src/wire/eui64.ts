/** The address that a station of Ethernet makes of a prefix and its Ethernet address (RFC 4291 appendix A). */
import { IpAddress } from '../base/ip-address.ts';
import type { Mac } from './mac.ts';

const UNIVERSAL = 0x0200_0000;
export const LINK_LOCAL: IpAddress = new IpAddress(0xfe80_0000, 0, 0, 0);

/** @returns the Ethernet address that the last two words of an address were made of, or -1 */
export const macOfEui64 = (c: number, d: number): Mac =>
  (c & 0xff) === 0xff && d >>> 24 === 0xfe
    ? ((c ^ UNIVERSAL) >>> 8) * 0x100_0000 + (d & 0xff_ffff)
    : -1;

/** @param prefix whose last 64 bits are ignored */
export function eui64Address({ a, b }: IpAddress, mac: Mac): IpAddress {
  const high = Math.floor(mac / 0x100_0000);
  const low = mac % 0x100_0000;
  return new IpAddress(a, b, ((high << 8) ^ UNIVERSAL) | 0xff, 0xfe00_0000 | low);
}
