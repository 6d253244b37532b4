/** IPv6 networks in the form of the configuration: each a /64, as stateless autoconfiguration needs (RFC 4862 §5.5.3). */
import { createHash } from 'node:crypto';
import { IpAddress } from '../base/ip-address.ts';
import { parseAddress, parsePrefix } from '../services/address-text.ts';
import { bad, ok, type Parsed } from './parsed.ts';

export const SUBNET6_BITS = 64;
/** RFC 8200 §5. */
export const MIN_IPV6_MTU = 1_280;

/** @param address whose last 64 bits are ignored */
export const formatSubnet6 = ({ a, b }: IpAddress): string =>
  `${new IpAddress(a, b, 0, 0)}/${SUBNET6_BITS}`;

/** Of `--subnet6`: a network in canonical form, `host` or `none`. */
export function parseSubnet6(text: string): Parsed<string> {
  if (text === 'host' || text === 'none') return ok(text);
  const prefix = parsePrefix(text);
  if (prefix?.address.family !== 6 || prefix.bits !== SUBNET6_BITS) {
    return bad(
      'must be an IPv6 network with a prefix of /64, such as fd12:3456:789a:1::/64, host or none',
    );
  }
  const { address } = prefix;
  const subnet = formatSubnet6(address);
  if ((address.c | address.d) !== 0)
    return bad(`has bits set behind the prefix: must be ${subnet}`);
  return isReserved(address)
    ? bad('must not be loopback, link-local, multicast, or one that stands for IPv4 addresses')
    : ok(subnet);
}

export function parseIpv6(text: string): Parsed<string> {
  const address = parseAddress(text);
  return address?.family === 6
    ? ok(address.toString())
    : bad('must be an IPv6 address such as fd12:3456:789a:1::1');
}

function isReserved({ a }: IpAddress): boolean {
  const first = a >>> 16;
  // RFC 4291 §2.5: loopback, IPv4-mapped; and NAT64 (RFC 6052, RFC 8215).
  if (first >>> 8 === 0) return true;
  if (first >>> 7 === 0x1fd || first >>> 8 === 0xff) return true;
  if (first === 0x2002) return true; // 6to4: RFC 3056
  return a === 0x2001_0000; // Teredo: RFC 4380
}

/**
 * A unique local network (RFC 4193) that is the same for a name on every host and at every start. RFC 4193 §3.2.2 has the
 * 40 bits from the time and an Ethernet address; these are as unlikely to meet those of another network.
 */
export function uniqueLocalSubnet(name: string): string {
  const digest = createHash('sha256').update(`hawser ${name}`).digest();
  return formatSubnet6(
    new IpAddress((0xfd << 24) | digest.readUIntBE(0, 3), digest.readInt32BE(3), 0, 0),
  );
}
