/** The leases of both families, for all that ask for them without a wish for one. */
import { addressFromWords, type IpAddress } from '../base/ip-address.ts';
import type { Clock, Instant } from '../base/time.ts';
import type { Lease } from '../services/dhcp/lease.ts';
import type { DhcpServer } from '../services/dhcp/server.ts';
import type { Dhcpv6Server } from '../services/dhcpv6/dhcpv6-server.ts';
import type { LeaseHolders } from '../stack/separation/address-bindings.ts';
import type { Mac } from '../wire/mac.ts';

export class GuestLeases implements LeaseHolders {
  private readonly ipv4: DhcpServer;
  /** Undefined: guests have no IPv6. */
  private readonly ipv6: Dhcpv6Server | undefined;
  private readonly clock: Pick<Clock, 'now'>;

  constructor(ipv4: DhcpServer, ipv6: Dhcpv6Server | undefined, clock: Pick<Clock, 'now'>) {
    this.ipv4 = ipv4;
    this.ipv6 = ipv6;
    this.clock = clock;
  }

  /** Of a guest, that of IPv4 first. */
  list(): readonly Lease[] {
    const now = this.clock.now();
    const wallMs = Date.now();
    return [...this.ipv4.leases(now, wallMs), ...(this.ipv6?.leases(now, wallMs) ?? [])];
  }

  get problems(): readonly string[] {
    const problems: string[] = [];
    if (this.ipv4.poolIsEmpty) {
      problems.push('No address is left for a guest that asks by DHCP: choose a larger subnet.');
    }
    if (this.ipv6?.poolIsEmpty === true) {
      problems.push('No address is left for a guest that asks by DHCPv6.');
    }
    return problems;
  }

  /** The Ethernet address that an address is leased to, or reserved for; 0: none. */
  holderAt(address: IpAddress): Mac {
    const now = this.clock.now();
    if (address.family === 4) return this.ipv4.holderOf(address.d, now, Date.now());
    const key = this.ipv6?.keyOf(address);
    return key === undefined ? 0 : (this.ipv6?.holderOf(key, now, Date.now()) ?? 0);
  }

  holderOf(_now: Instant, words: Int32Array): Mac {
    return this.holderAt(addressFromWords(words, 0));
  }

  /** A guest is at an address, on a link: its lease waits no more. */
  onHeard(address: IpAddress, mac: Mac, link: number): void {
    const key = address.family === 4 ? undefined : this.ipv6?.keyOf(address);
    const now = this.clock.now();
    if (address.family === 4) this.ipv4.onHeard(address.d, mac, link, now, Date.now());
    else if (key !== undefined) this.ipv6?.onHeard(key, mac, link, now, Date.now());
  }

  /** The link of this number is gone. */
  onLinkDown(link: number, now: Instant): void {
    this.ipv4.onLinkDown(link, now, Date.now());
    this.ipv6?.onLinkDown(link, now, Date.now());
  }

  setSearch(search: readonly string[]): void {
    this.ipv4.setSearch(search);
    this.ipv6?.setSearch(search);
  }
}
