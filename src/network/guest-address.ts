/** Whether a guest can have an address that the configuration gives it, by family. */
import type { IpAddress } from '../base/ip-address.ts';
import { addressesOf, type Ipv6Addresses } from './addresses.ts';
import type { NetworkConfig } from './config.ts';
import { formatNetwork, isUsable, networkOf } from './ipv4-text.ts';
import { formatSubnet6 } from './ipv6-text.ts';

/** The fault of an address that is hawser's. */
export const OWN = 'must differ from the gateway and the host address, and that of DNS';

export const isInPrefix = (
  { prefix }: Pick<Ipv6Addresses, 'prefix'>,
  { a, b }: IpAddress,
): boolean => a === prefix.a && b === prefix.b;

/** @returns why not */
export const guestAddressFaults = (config: NetworkConfig, address: IpAddress): string[] =>
  address.family === 4 ? faultsOf(config, address.toString()) : faultsOf6(config, address);

function faultsOf({ subnet, gateway, hostIp, dns }: NetworkConfig, address: string): string[] {
  const network = networkOf(subnet);
  const faults: string[] = [];
  if (!isUsable(network, address)) {
    const text = formatNetwork(network);
    faults.push(`must be inside the subnet ${text}, and neither its first nor its last address`);
  }
  if ([gateway, hostIp, ...dns.addresses].includes(address)) faults.push(OWN);
  return faults;
}

/** With `subnet6: host`, the prefix is only known where the program runs. */
function faultsOf6(config: NetworkConfig, address: IpAddress): string[] {
  const { ipv6 } = addressesOf(config);
  if (ipv6 === undefined) return ['needs IPv6 for guests, which is off'];
  if (config.ipv6.subnet === 'host') return [];
  if (!isInPrefix(ipv6, address)) return [`must be inside ${formatSubnet6(ipv6.prefix)}`];
  const own = [ipv6.prefix, ipv6.gateway, ipv6.dns, ipv6.host];
  return own.some((one) => one?.equals(address) === true) ? [OWN] : [];
}
