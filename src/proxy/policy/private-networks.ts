/** Networks that are not of the Internet: private, shared, link-local and site-local ones of both families. */
import type { IpAddress } from '../../base/ip-address.ts';
import { isIn, type Network4 } from '../../services/network4.ts';

/** RFC 1918, RFC 6598 (shared with a provider), RFC 3927. */
const NETWORKS4: readonly Network4[] = [
  { net: 0x0a00_0000, bits: 8 },
  { net: 0xac10_0000, bits: 12 },
  { net: 0xc0a8_0000, bits: 16 },
  { net: 0x6440_0000, bits: 10 },
  { net: 0xa9fe_0000, bits: 16 },
];

export function isPrivate({ family, a, d }: IpAddress): boolean {
  if (family === 4) return isIn(NETWORKS4, d);
  return a >>> 25 === 0xfc >>> 1 || a >>> 23 === 0xfe80 >>> 7; // RFC 4193, RFC 4291 §2.5.6, RFC 3879 §4
}
