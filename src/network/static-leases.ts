/** Static leases of a configuration, by family, and what is wrong with them. */
import type { IpAddress } from '../base/ip-address.ts';
import { requiredAddress } from './addresses.ts';
import type { NetworkConfig, StaticLease } from './config.ts';
import { guestAddressFaults } from './guest-address.ts';
import type { OptionProblem } from './option-problem.ts';

export interface ParsedLease extends Omit<StaticLease, 'address'> {
  readonly address: IpAddress;
}

export const staticLeasesOf = (config: NetworkConfig, family: 4 | 6): ParsedLease[] =>
  config.leases.static
    .map((lease) => ({ ...lease, address: requiredAddress(lease.address) }))
    .filter(({ address }) => address.family === family);

/** @returns contradictions between static leases, and with addresses of the network */
export function staticLeaseProblems(config: NetworkConfig): OptionProblem[] {
  const problems: OptionProblem[] = [];
  const seen = new Set<string>();
  for (const [index, { mac, address }] of config.leases.static.entries()) {
    const about = { key: 'staticLease', index, value: `${mac}=${address}` };
    const parsed = requiredAddress(address);
    for (const why of guestAddressFaults(config, parsed)) problems.push({ ...about, why });
    const one = `${mac} IPv${parsed.family}`;
    if (seen.has(one) || seen.has(address)) {
      const why = 'must not name an address, or a MAC with the same family, a second time';
      problems.push({ ...about, why });
    }
    seen.add(one).add(address);
  }
  return problems;
}
