/** IPv4 addresses and networks in the form of the configuration. */
import { isIPv4 } from 'node:net';
import { formatIpv4 } from '../base/ip-address.ts';
import { bad, decimal, ok, type Parsed } from './parsed.ts';

export const MIN_PREFIX = 8;
/** Room for gateway, host and a few guests. */
export const MAX_PREFIX = 29;

/** An IPv4 network: `base` is a uint32 with host bits zero. */
export interface Ipv4Network {
  readonly base: number;
  readonly prefix: number;
}

/** @param text a valid dotted quad */
export const ipv4Number = (text: string): number =>
  text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);

export function parseIpv4(text: string): Parsed<string> {
  return isIPv4(text) ? ok(text) : bad('must be an IPv4 address such as 192.168.127.1');
}

export function parseNetwork(text: string): Parsed<Ipv4Network> {
  const [, address = '', prefixText = ''] = /^([^/]*)\/(\d+)$/.exec(text) ?? [];
  const prefix = decimal(prefixText, MIN_PREFIX, MAX_PREFIX);
  if (!isIPv4(address) || prefix === undefined) {
    return bad(
      `must be an IPv4 network with a prefix of /${MIN_PREFIX} to /${MAX_PREFIX}, such as 192.168.127.0/24`,
    );
  }
  const size = 2 ** (32 - prefix);
  const base = ipv4Number(address) - (ipv4Number(address) % size);
  const network = { base, prefix };
  if (base !== ipv4Number(address)) {
    return bad(`has bits set behind the prefix: must be ${formatNetwork(network)}`);
  }
  const first = base >>> 24;
  const reserved = first === 0 || first === 127 || first >= 224 || base >>> 16 === 0xa9fe;
  if (reserved) {
    return bad('must not be loopback, link-local, multicast or reserved: choose a private network');
  }
  return ok(network);
}

export const formatNetwork = ({ base, prefix }: Ipv4Network): string =>
  `${formatIpv4(base)}/${prefix}`;

export const firstUsable = ({ base }: Ipv4Network): string => formatIpv4(base + 1);
export const lastUsable = ({ base, prefix }: Ipv4Network): string =>
  formatIpv4(base + 2 ** (32 - prefix) - 2);

/** Whether `address` can be a host's: inside, and neither the network nor the broadcast address. */
export function isUsable({ base, prefix }: Ipv4Network, address: string): boolean {
  const offset = ipv4Number(address) - base;
  return offset > 0 && offset < 2 ** (32 - prefix) - 1;
}

/** RFC 3927. What is hawser's own may be there: guests reach it as all that is outside, by the gateway. */
export const isLinkLocal4 = (address: string): boolean => ipv4Number(address) >>> 16 === 0xa9fe;

export function networkOf(subnet: string): Ipv4Network {
  const network = parseNetwork(subnet);
  if ('problem' in network) throw new Error(`${subnet} was not checked: it ${network.problem}`);
  return network.value;
}
