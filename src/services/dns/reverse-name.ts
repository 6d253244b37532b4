/** Names under in-addr.arpa (RFC 1035 §3.5) and ip6.arpa (RFC 3596 §2.5). */
import { IpAddress, ipv4 } from '../../base/ip-address.ts';
import type { Prefix } from '../address-text.ts';

const IPV4_ZONE = 'in-addr.arpa';
const IPV6_ZONE = 'ip6.arpa';

/** The name that a PTR query for `address` asks for. */
export function reverseName(address: IpAddress): string {
  if (address.family === 4)
    return `${address.toString().split('.').reverse().join('.')}.${IPV4_ZONE}`;
  const hex = [address.a, address.b, address.c, address.d]
    .map((word) => (word >>> 0).toString(16).padStart(8, '0'))
    .join('');
  return `${[...hex].reverse().join('.')}.${IPV6_ZONE}`;
}

/** The name of the smallest zone that has all of `network`: these end at bytes, and at half ones for IPv6. */
export function reverseZone({ address, bits }: Prefix): string {
  const [labels, bitsOfLabel] = address.family === 4 ? [4, 8] : [32, 4];
  const unused = labels - Math.floor(bits / bitsOfLabel);
  return reverseName(address).split('.').slice(unused).join('.');
}

/** @returns what `name` stands for: an address, a network of whole labels, or undefined */
export function reverseNetwork(name: string): Prefix | undefined {
  if (name.endsWith(`.${IPV6_ZONE}`)) return ipv6Network(labelsBefore(name, IPV6_ZONE));
  if (name.endsWith(`.${IPV4_ZONE}`)) return ipv4Network(labelsBefore(name, IPV4_ZONE));
  return undefined;
}

/** The first of the network first. */
const labelsBefore = (name: string, zone: string): readonly string[] =>
  name
    .slice(0, -zone.length - 1)
    .split('.')
    .reverse();

function ipv4Network(labels: readonly string[]): Prefix | undefined {
  if (labels.length > 4) return undefined;
  let word = 0;
  for (const [i, label] of labels.entries()) {
    if (!/^(0|[1-9]\d{0,2})$/.test(label) || Number(label) > 255) return undefined;
    word |= Number(label) << (24 - 8 * i);
  }
  return { address: ipv4(word), bits: labels.length * 8 };
}

function ipv6Network(labels: readonly string[]): Prefix | undefined {
  if (labels.length > 32) return undefined;
  const words = [0, 0, 0, 0];
  for (const [i, label] of labels.entries()) {
    if (!/^[0-9a-f]$/.test(label)) return undefined;
    words[i >> 3] = (words[i >> 3] ?? 0) | (Number.parseInt(label, 16) << (28 - 4 * (i & 7)));
  }
  const [a = 0, b = 0, c = 0, d = 0] = words;
  const address = new IpAddress(a, b, c, d);
  return address.family === 4 ? undefined : { address, bits: labels.length * 4 };
}

/** Whether it is of one address: a whole name. */
export const isWhole = ({ address, bits }: Prefix): boolean =>
  bits === (address.family === 4 ? 32 : 128);
