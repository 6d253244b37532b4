/** Networks that are not of the Internet: private, shared and link-local ones of both families. */
import type { IpAddress } from '../../base/ip-address.ts';

/** RFC 1918, RFC 6598 (shared with a provider), RFC 3927. */
const NETWORKS4: readonly (readonly [net: number, bits: number])[] = [
  [0x0a00_0000, 8],
  [0xac10_0000, 12],
  [0xc0a8_0000, 16],
  [0x6440_0000, 10],
  [0xa9fe_0000, 16],
];

export function isPrivate({ family, a, d }: IpAddress): boolean {
  if (family === 4) return NETWORKS4.some(([net, bits]) => (d ^ net) >>> (32 - bits) === 0);
  return a >>> 25 === 0xfc >>> 1 || a >>> 22 === 0xfe80 >>> 6; // RFC 4193, RFC 4291 §2.5.6
}
