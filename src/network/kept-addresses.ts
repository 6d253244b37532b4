/** IPv4 addresses that links keep for their guests, by the DHCP server. */
import type { Clock } from '../base/time.ts';
import type { DhcpServer } from '../services/dhcp/server.ts';
import type { GuestAddresses } from '../transports/link-context.ts';

export const keptAddresses = (dhcp: DhcpServer, clock: Pick<Clock, 'now'>): GuestAddresses => ({
  reserve: (mac, wanted) => dhcp.keep(mac, wanted, clock.now(), Date.now()),
  release: (mac) => dhcp.stopKeeping(mac),
});
