/**
 * Which addresses of public names guests get now, of the configuration and of what the host's network has. Whoever learns
 * of the latter sets it here; it holds for the next answer.
 */
import type { Prefix } from '../services/address-text.ts';
import { Dns64 } from '../services/dns/dns64.ts';
import type { FamilyPolicy } from '../services/dns/guest-answer.ts';
import { LOCAL_NAT64, WELL_KNOWN_NAT64 } from '../services/nat64-address.ts';
import type { DnsFamily, Nat64Config } from './config.ts';

export class DnsFamilies implements FamilyPolicy {
  /** Whether IPv6 of the host leads to the Internet, and guests have a default route there: NAT64's alone is none. */
  hasIpv6Route = false;
  /** Whether NAT64 is in use. */
  hasNat64 = false;
  private readonly family: DnsFamily;
  private readonly translation: Dns64;

  /** @param networks of guests */
  constructor(family: DnsFamily, { isForPrivate }: Nat64Config, networks: readonly Prefix[]) {
    this.family = family;
    const forPrivate = isForPrivate ? LOCAL_NAT64 : undefined;
    this.translation = new Dns64({ forPublic: WELL_KNOWN_NAT64, forPrivate }, networks);
  }

  get hidesIpv4(): boolean {
    return this.family === '6';
  }

  get hidesIpv6(): boolean {
    return this.family === '4' || (this.family === 'auto' && !this.hasIpv6Route);
  }

  get dns64(): Dns64 | undefined {
    return this.hasNat64 && this.family !== '4' ? this.translation : undefined;
  }
}
