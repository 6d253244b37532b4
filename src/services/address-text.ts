/** IP addresses and networks as text, from users and files: all of it is parsed here. */
import { Address4, Address6 } from 'ip-address';
import { IpAddress, ipv4 } from '../base/ip-address.ts';

export interface Prefix {
  readonly address: IpAddress;
  /** 0..32 for IPv4, 0..128 for IPv6. */
  readonly bits: number;
}

const DOTTED = /^[\d.]+$/;

let lastText = '';
let lastAddress: IpAddress | undefined;

/**
 * The last result is cached: connections to a published port mostly come from one host, and parsing its address
 * took a thirtieth of their time.
 *
 * @returns undefined when `text` is not an address; zones (`%eth0`) and prefixes are refused
 */
export function parseAddress(text: string): IpAddress | undefined {
  if (text !== lastText) {
    lastAddress = readAddress(text);
    lastText = text;
  }
  return lastAddress;
}

/** For programs. @throws TypeError for what is no address in text; zones and prefixes are none */
export function ipAddress(text: string): IpAddress {
  const given: unknown = text; // of a program without types
  const address = typeof given === 'string' ? parseAddress(given) : undefined;
  if (address !== undefined) return address;
  throw new TypeError(`${JSON.stringify(text) ?? typeof text} is not an IP address`);
}

function readAddress(text: string): IpAddress | undefined {
  if (text.includes('/') || text.includes('%')) return undefined;
  if (!text.includes(':')) {
    // The library throws for what is none, in 30 us, and most names that are looked at are none.
    if (!DOTTED.test(text) || !Address4.isValid(text)) return undefined;
    const [a = 0, b = 0, c = 0, d = 0] = new Address4(text).toArray();
    return ipv4((a << 24) | (b << 16) | (c << 8) | d);
  }
  if (!Address6.isValid(text)) return undefined;
  const value = new Address6(text).bigInt();
  const word = (shift: bigint): number => Number(BigInt.asIntN(32, value >> shift));
  return new IpAddress(word(96n), word(64n), word(32n), word(0n));
}

/** @returns undefined when `text` is not `ADDRESS/BITS`; the host bits are kept */
export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.indexOf('/');
  const address = slash < 0 ? undefined : parseAddress(text.slice(0, slash));
  const digits = text.slice(slash + 1);
  if (address === undefined || !/^\d{1,3}$/.test(digits)) return undefined;
  const bits = Number(digits);
  return bits > (address.family === 4 ? 32 : 128) ? undefined : { address, bits };
}

export function isInside({ address, bits }: Prefix, candidate: IpAddress): boolean {
  if (address.family !== candidate.family) return false;
  const skip = address.family === 4 ? 96 : 0;
  const wordsOf = (one: IpAddress): readonly number[] => [one.a, one.b, one.c, one.d];
  const have = wordsOf(candidate);
  return wordsOf(address).every((word, i) => {
    const n = Math.min(Math.max(bits + skip - i * 32, 0), 32);
    const mask = n === 0 ? 0 : (-1 << (32 - n)) | 0;
    return (word & mask) === ((have[i] ?? 0) & mask);
  });
}
