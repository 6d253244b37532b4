/** The parsed addresses of a configuration. */
import type { IpAddress } from '../base/ip-address.ts';
import { type Prefix, parseAddress, parsePrefix } from '../services/address-text.ts';
import type { NetworkConfig } from './config.ts';

export interface Addresses {
  readonly subnet: Prefix;
  readonly gateway: IpAddress;
  /** Undefined: the host's loopback is closed to guests. */
  readonly host: IpAddress | undefined;
}

export function addressesOf({ subnet, gateway, hostIp }: NetworkConfig): Addresses {
  const prefix = parsePrefix(subnet);
  if (prefix === undefined) throw new Error(`${subnet} is not a network`);
  const host = hostIp === undefined ? undefined : requiredAddress(hostIp);
  return { subnet: prefix, gateway: requiredAddress(gateway), host };
}

/** @param text a valid address */
export function requiredAddress(text: string): IpAddress {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`${text} is not an IP address`);
  return address;
}
