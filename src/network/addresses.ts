/** The parsed addresses of a configuration. */
import { IpAddress } from '../base/ip-address.ts';
import { type Prefix, parseAddress, parsePrefix } from '../services/address-text.ts';
import { eui64Address, LINK_LOCAL } from '../wire/eui64.ts';
import { type Mac, macOf } from '../wire/mac.ts';
import type { Ipv6Config, NetworkConfig } from './config.ts';
import { MIN_IPV6_MTU, SUBNET6_BITS } from './ipv6-text.ts';

export interface Addresses {
  /** The gateway's Ethernet address. */
  readonly mac: Mac;
  readonly subnet: Prefix;
  readonly gateway: IpAddress;
  /** Of DNS; undefined: the gateway's alone. */
  readonly dns: IpAddress | undefined;
  /** Undefined: the host's loopback is closed to guests. May be the gateway's. */
  readonly host: IpAddress | undefined;
  /** Undefined: guests have IPv4 only. */
  readonly ipv6: Ipv6Addresses | undefined;
}

export interface Ipv6Addresses {
  /** A /64. */
  readonly prefix: IpAddress;
  readonly gateway: IpAddress;
  /** The gateway, as guests know their router. */
  readonly linkLocal: IpAddress;
  /** Of DNS; undefined: the gateway's alone. */
  readonly dns: IpAddress | undefined;
  /** Undefined: the host's loopback is closed to guests. May be the gateway's. */
  readonly host: IpAddress | undefined;
  /** Guests share the prefix with the host's own network: only what they ask for is theirs (RFC 4861 §4.6.2, L=0). */
  readonly isOffLink: boolean;
}

const GATEWAY_WORD = 1;
const HOST_WORD = 0x254;
/** Beside the host's network, where ::1 is a router: an interface identifier that no other host has by any of the usual rules. */
const OFF_LINK_WORD = 0x6861_7773;

/** @param ofHost the /64 of the host's own IPv6 address, where it has one */
export function addressesOf(config: NetworkConfig, ofHost?: IpAddress): Addresses {
  const { subnet, gateway, hostIp } = config;
  const prefix = parsePrefix(subnet);
  if (prefix === undefined) throw new Error(`${subnet} is not a network`);
  const host = hostIp === undefined ? undefined : requiredAddress(hostIp);
  return {
    mac: macOf(config.gatewayMac),
    subnet: prefix,
    gateway: requiredAddress(gateway),
    dns: dnsAddressOf(config, 4),
    host,
    ipv6: ipv6AddressesOf(config, ofHost),
  };
}

export const isIpv6Wanted = ({ use, subnet }: Ipv6Config): boolean =>
  use !== 'off' && subnet !== 'none';

const dnsAddressOf = ({ dns }: NetworkConfig, family: 4 | 6): IpAddress | undefined =>
  dns.addresses.map(requiredAddress).find((address) => address.family === family);

function ipv6AddressesOf(
  config: NetworkConfig,
  ofHost: IpAddress | undefined,
): Ipv6Addresses | undefined {
  const { ipv6, mtu, hostIp } = config;
  if (!isIpv6Wanted(ipv6) || mtu < MIN_IPV6_MTU) return undefined;
  const isOffLink = ipv6.subnet === 'host' && ofHost !== undefined;
  const { a, b } = isOffLink
    ? ofHost
    : requiredPrefix(ipv6.subnet === 'host' ? ipv6.uniqueLocal : ipv6.subnet);
  const at = (word: number): IpAddress => new IpAddress(a, b, isOffLink ? OFF_LINK_WORD : 0, word);
  const gateway = ipv6.gateway === undefined ? at(GATEWAY_WORD) : requiredAddress(ipv6.gateway);
  const hostAddress = hostIp === config.gateway ? gateway : at(HOST_WORD);
  return {
    prefix: new IpAddress(a, b, 0, 0),
    gateway,
    linkLocal: eui64Address(LINK_LOCAL, macOf(config.gatewayMac)),
    dns: dnsAddressOf(config, 6),
    host: hostIp === undefined ? undefined : hostAddress,
    isOffLink,
  };
}

function requiredPrefix(text: string): IpAddress {
  const prefix = parsePrefix(text);
  if (prefix === undefined) throw new Error(`${text} is not a network`);
  return prefix.address;
}

/** Of guests, of both families. */
export const networksOf = ({ subnet, ipv6 }: Addresses): readonly Prefix[] =>
  ipv6 === undefined ? [subnet] : [subnet, { address: ipv6.prefix, bits: SUBNET6_BITS }];

/** @param text a valid address */
export function requiredAddress(text: string): IpAddress {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`${text} is not an IP address`);
  return address;
}
