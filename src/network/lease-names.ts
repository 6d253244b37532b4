/**
 * The names that guests gave with their leases, as they are at one moment. A guest may have thousands of Ethernet addresses,
 * and as many flows: it is looked for once.
 */
import type { Lease } from '../services/dhcp/lease.ts';
import type { Guest } from '../stack/guest.ts';
import { type Mac, macOf } from '../wire/mac.ts';

export class LeaseNames {
  private readonly byAddress = new Map<string, string>();
  private readonly byMac = new Map<Mac, string>();
  private readonly byGuest = new Map<Pick<Guest, 'macs'>, string | null>();

  constructor(leases: readonly Lease[]) {
    for (const { address, mac, hostname } of leases) {
      if (hostname === undefined) continue;
      this.byAddress.set(address, hostname);
      this.byMac.set(macOf(mac), hostname);
    }
  }

  at(address: string | null): string | undefined {
    return address === null ? undefined : this.byAddress.get(address);
  }

  /** By the first of its Ethernet addresses that has a name. */
  of(guest: Pick<Guest, 'macs'> | undefined): string | null {
    if (guest === undefined) return null;
    const known = this.byGuest.get(guest);
    if (known !== undefined) return known;
    const name = this.find(guest.macs);
    this.byGuest.set(guest, name);
    return name;
  }

  private find(macs: Iterable<Mac>): string | null {
    if (this.byMac.size === 0) return null;
    for (const mac of macs) {
      const name = this.byMac.get(mac);
      if (name !== undefined) return name;
    }
    return null;
  }
}
