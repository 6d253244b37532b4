/** What is wrong with addresses of hawser's own beside the gateway's and the host's of IPv4. */
import type { IpAddress } from '../base/ip-address.ts';
import { addressesOf, requiredAddress } from './addresses.ts';
import type { NetworkConfig } from './config.ts';
import { isInPrefix, OWN } from './guest-address.ts';
import { formatNetwork, isLinkLocal4, isUsable, networkOf } from './ipv4-text.ts';
import { formatSubnet6 } from './ipv6-text.ts';
import type { OptionProblem } from './option-problem.ts';

export function dnsAddressProblems(config: NetworkConfig): OptionProblem[] {
  const { addresses, isServed } = config.dns;
  if (!isServed && addresses.length > 0) {
    return [{ key: 'dnsAddress', value: addresses, why: 'contradicts dnsServer: off' }];
  }
  return onePerFamily('dnsAddress', addresses, (address) => faultsOf(config, address));
}

export function outboundProblems({ outbound }: NetworkConfig): OptionProblem[] {
  return onePerFamily('outboundAddress', outbound, () => []);
}

function onePerFamily(
  key: string,
  addresses: readonly string[],
  faults: (address: IpAddress) => string[],
): OptionProblem[] {
  const parsed = addresses.map(requiredAddress);
  return parsed.flatMap((address, index) => {
    const { family } = address;
    const isSecond = parsed.findIndex((one) => one.family === family) < index;
    const whys = isSecond ? [`must be the only one of IPv${family}`] : faults(address);
    return whys.map((why) => ({ key, index, value: `${address}`, why }));
  });
}

export function gateway6Problems(config: NetworkConfig): OptionProblem[] {
  const { gateway: value } = config.ipv6;
  if (value === undefined) return [];
  const isShared = config.hostIp === config.gateway;
  const host = isShared ? undefined : addressesOf(config).ipv6?.host;
  const faults = faultsOf6(config, requiredAddress(value), [host]);
  return faults.map((why) => ({ key: 'gateway6', value, why }));
}

function faultsOf(config: NetworkConfig, address: IpAddress): string[] {
  const { gateway, host, ipv6 } = addressesOf(config);
  if (address.family === 6) return faultsOf6(config, address, [ipv6?.gateway, ipv6?.host]);
  if (isAny(address, [gateway, host])) return [OWN];
  const network = networkOf(config.subnet);
  const text = address.toString();
  if (isUsable(network, text) || isLinkLocal4(text)) return [];
  const where = formatNetwork(network);
  return [`must be inside the subnet ${where}, and neither its first nor its last address`];
}

/** @param others of hawser's own */
function faultsOf6(
  config: NetworkConfig,
  address: IpAddress,
  others: readonly (IpAddress | undefined)[],
): string[] {
  const { ipv6 } = addressesOf(config);
  if (ipv6 === undefined) return ['needs IPv6 for guests, which is off'];
  if (config.ipv6.subnet === 'host') return ['needs a network of guests alone: --subnet6 CIDR'];
  if (!isInPrefix(ipv6, address)) return [`must be inside ${formatSubnet6(ipv6.prefix)}`];
  return isAny(address, [ipv6.prefix, ...others]) ? [OWN] : [];
}

const isAny = (address: IpAddress, others: readonly (IpAddress | undefined)[]): boolean =>
  others.some((one) => one?.equals(address) === true);
