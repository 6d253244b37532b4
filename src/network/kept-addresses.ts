/** IPv4 addresses that links keep for their guests, by the DHCP server. */
import type { Clock } from '../base/time.ts';
import type { KeepFault } from '../services/dhcp/lease-table.ts';
import type { DhcpServer } from '../services/dhcp/server.ts';
import type { GuestAddresses } from '../transports/link-context.ts';

/** As the end of a sentence that begins with the address. */
const FAULTS: Readonly<Record<KeepFault, string>> = {
  'pool-exhausted': "is not to be had: the guests' network has none left",
  'not-in-pool': "is no guest's address of this network",
  taken: 'is taken by another guest',
  'has-static-lease': 'is not the one of its static lease',
  'too-many': 'is one too many to be kept for guests',
};

export const keptAddresses = (dhcp: DhcpServer, clock: Pick<Clock, 'now'>): GuestAddresses => ({
  reserve: (mac, wanted) => {
    const fault = dhcp.keep(mac, wanted, clock.now(), Date.now());
    return fault === undefined ? undefined : FAULTS[fault];
  },
  release: (mac) => dhcp.stopKeeping(mac),
});
