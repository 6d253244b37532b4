import type { IpAddress } from '../../base/ip-address.ts';

/** The name that a PTR query for `address` asks for (RFC 1035 §3.5, RFC 3596 §2.5). */
export function reverseName(address: IpAddress): string {
  if (address.family === 4)
    return `${address.toString().split('.').reverse().join('.')}.in-addr.arpa`;
  const hex = [address.a, address.b, address.c, address.d]
    .map((word) => (word >>> 0).toString(16).padStart(8, '0'))
    .join('');
  return `${[...hex].reverse().join('.')}.ip6.arpa`;
}
