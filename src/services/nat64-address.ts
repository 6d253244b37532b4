/** IPv4 addresses in IPv6 addresses of a NAT64 prefix (RFC 6052 §2), and which of them may be there. */
import { IpAddress } from '../base/ip-address.ts';
import { isIn, type Network4 } from './network4.ts';

/** RFC 6052 §2.2: no other length is defined. */
export const NAT64_BITS = [32, 40, 48, 56, 64, 96] as const;
export type Nat64Bits = (typeof NAT64_BITS)[number];

export interface Nat64Prefix {
  /** Zero behind its bits, and in bits 64 to 71. */
  readonly address: IpAddress;
  readonly bits: Nat64Bits;
}

/** 64:ff9b::/96 (RFC 6052 §2.1): for public IPv4 alone. */
export const WELL_KNOWN_NAT64: Nat64Prefix = {
  address: new IpAddress(0x64_ff9b, 0, 0, 0),
  bits: 96,
};
/** 64:ff9b:1::/96, the first of those for local use (RFC 8215). */
export const LOCAL_NAT64: Nat64Prefix = {
  address: new IpAddress(0x64_ff9b, 0x0001_0000, 0, 0),
  bits: 96,
};

/** @param word the IPv4 address, as in {@link IpAddress.d} */
export function embedIpv4({ address, bits }: Nat64Prefix, word: number): IpAddress {
  const { a, b, c } = address;
  switch (bits) {
    case 32:
      return new IpAddress(a, word, 0, 0);
    case 40:
      return new IpAddress(a, b | (word >>> 8), (word & 0xff) << 16, 0);
    case 48:
      return new IpAddress(a, b | (word >>> 16), (word & 0xffff) << 8, 0);
    case 56:
      return new IpAddress(a, b | (word >>> 24), word & 0x00ff_ffff, 0);
    case 64:
      return new IpAddress(a, b, word >>> 8, word << 24);
    case 96:
      return new IpAddress(a, b, c, word);
  }
}

/**
 * What is behind the IPv4 address, and in bits 64 to 71, does not count: translators do not look at it either.
 *
 * @returns the IPv4 address as an int32, or undefined for an address of another prefix
 */
export function extractIpv4(
  { address, bits }: Nat64Prefix,
  { a, b, c, d }: IpAddress,
): number | undefined {
  if (a !== address.a) return undefined;
  const behind = (bits - 32) & 31;
  switch (bits) {
    case 32:
      return b;
    case 40:
      return (b ^ address.b) >>> 24 === 0 ? (b << behind) | ((c >>> 16) & 0xff) : undefined;
    case 48:
      return (b ^ address.b) >>> 16 === 0 ? (b << behind) | ((c >>> 8) & 0xffff) : undefined;
    case 56:
      return (b ^ address.b) >>> 8 === 0 ? (b << behind) | (c & 0x00ff_ffff) : undefined;
    case 64:
      return b === address.b ? (c << 8) | (d >>> 24) : undefined;
    case 96:
      return b === address.b && c === address.c ? d : undefined;
  }
}

/**
 * - `public`: one of the whole Internet.
 * - `private`: of a network that somebody has: for private use, carriers, documentation, benchmarks, protocols.
 * - `none`: of no other host: loopback, link-local, multicast, reserved.
 */
export type Ipv4Scope = 'public' | 'private' | 'none';

const PRIVATE: readonly Network4[] = [
  { net: 0x0a00_0000, bits: 8 },
  { net: 0x6440_0000, bits: 10 },
  { net: 0xac10_0000, bits: 12 },
  { net: 0xc000_0000, bits: 24 },
  { net: 0xc000_0200, bits: 24 },
  { net: 0xc058_6300, bits: 24 },
  { net: 0xc0a8_0000, bits: 16 },
  { net: 0xc612_0000, bits: 15 },
  { net: 0xc633_6400, bits: 24 },
  { net: 0xcb00_7100, bits: 24 },
];

/** By the registry of special-purpose addresses (RFC 6890), which RFC 6052 §3.1 refers to. */
export function ipv4Scope(word: number): Ipv4Scope {
  const first = word >>> 24;
  if (first === 0 || first === 127 || first >= 224 || word >>> 16 === 0xa9fe) return 'none';
  return isIn(PRIVATE, word) ? 'private' : 'public';
}
