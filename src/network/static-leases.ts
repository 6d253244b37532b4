/** Static leases of a configuration, by family, and what is wrong with them. */
import type { IpAddress } from '../base/ip-address.ts';
import { addressesOf, type Ipv6Addresses, requiredAddress } from './addresses.ts';
import type { NetworkConfig, StaticLease } from './config.ts';
import { formatNetwork, isUsable, networkOf } from './ipv4-text.ts';
import { formatSubnet6 } from './ipv6-text.ts';
import type { OptionProblem } from './option-problem.ts';

export interface ParsedLease extends Omit<StaticLease, 'address'> {
  readonly address: IpAddress;
}

export const staticLeasesOf = (config: NetworkConfig, family: 4 | 6): ParsedLease[] =>
  config.leases.static
    .map((lease) => ({ ...lease, address: requiredAddress(lease.address) }))
    .filter(({ address }) => address.family === family);

export const isInPrefix = (
  { prefix }: Pick<Ipv6Addresses, 'prefix'>,
  { a, b }: IpAddress,
): boolean => a === prefix.a && b === prefix.b;

/** @returns contradictions between static leases, and with addresses of the network */
export function staticLeaseProblems(config: NetworkConfig): OptionProblem[] {
  const problems: OptionProblem[] = [];
  const seen = new Set<string>();
  for (const [index, { mac, address }] of config.leases.static.entries()) {
    const about = { key: 'staticLease', index, value: `${mac}=${address}` };
    const parsed = requiredAddress(address);
    const faults = parsed.family === 4 ? faultsOf(config, address) : faultsOf6(config, parsed);
    for (const why of faults) problems.push({ ...about, why });
    const one = `${mac} IPv${parsed.family}`;
    if (seen.has(one) || seen.has(address)) {
      const why = 'must not name an address, or a MAC with the same family, a second time';
      problems.push({ ...about, why });
    }
    seen.add(one).add(address);
  }
  return problems;
}

function faultsOf({ subnet, gateway, hostIp }: NetworkConfig, address: string): string[] {
  const network = networkOf(subnet);
  const faults: string[] = [];
  if (!isUsable(network, address)) {
    const text = formatNetwork(network);
    faults.push(`must be inside the subnet ${text}, and neither its first nor its last address`);
  }
  if (address === gateway || address === hostIp) faults.push(OWN);
  return faults;
}

/** With `subnet6: host`, the prefix is only known where the program runs. */
function faultsOf6(config: NetworkConfig, address: IpAddress): string[] {
  const { ipv6 } = addressesOf(config);
  if (ipv6 === undefined) return ['needs IPv6 for guests, which is off'];
  if (config.ipv6.subnet === 'host') return [];
  if (!isInPrefix(ipv6, address)) return [`must be inside ${formatSubnet6(ipv6.prefix)}`];
  const own = [ipv6.prefix, ipv6.gateway, ipv6.host];
  return own.some((one) => one?.equals(address) === true) ? [OWN] : [];
}

const OWN = 'must differ from the gateway and the host address';
