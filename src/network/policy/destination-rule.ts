/** The rule that allows a destination, and nothing else. */
import type { IpAddress } from '../../base/ip-address.ts';
import type { PolicyPlace, PolicyProtocol } from '../../services/policy/policy.ts';
import type { RuleFields } from './policy-document.ts';

export interface RuledDestination {
  readonly protocol: PolicyProtocol;
  readonly place: PolicyPlace;
  /** By which it was found. */
  readonly name: string | undefined;
  readonly address: IpAddress;
  /** 0 for pings, and for Unix sockets of the host. */
  readonly port: number;
}

/** Names open nothing in the neighbourhood: there it is the address. */
export function ruleFor({ protocol, place, name, address, port }: RuledDestination): RuleFields {
  const ports = portOf(protocol, place, port);
  switch (place) {
    case 'host':
    case 'gateway':
    case 'guest':
      return { to: place, ...ports, protocol };
    case 'private':
      return { cidr: address.toString(), ...ports, protocol };
    case 'outside':
      return {
        ...(name === undefined ? { cidr: address.toString() } : { name }),
        ...ports,
        protocol,
      };
  }
}

function portOf(
  protocol: PolicyProtocol,
  place: PolicyPlace,
  port: number,
): Pick<RuleFields, 'port'> {
  if (protocol === 'icmp') return {};
  return { port: place === 'host' && port === 0 ? 'unix' : port };
}
