/** The gateway as the guests' IPv6 router: what it announces, and its connection to the stack. */
import type { Clock } from '../base/time.ts';
import { LOCAL_NAT64, WELL_KNOWN_NAT64 } from '../services/nat64-address.ts';
import { Advertiser, type Announcement } from '../services/ra/advertiser.ts';
import type { Stack } from '../stack/stack.ts';
import type { Addresses } from './addresses.ts';
import type { NetworkConfig } from './config.ts';
import { cryptoRandom } from './crypto-random.ts';

/** @returns undefined where guests have no IPv6 */
export function serveRouter(
  config: NetworkConfig,
  { ipv6, mac }: Addresses,
  stack: Stack,
  clock: Clock,
): Advertiser | undefined {
  const layer = stack.ipv6;
  if (ipv6 === undefined || layer === undefined) return undefined;
  const { mode } = config.ipv6;
  const announcement: Announcement = {
    hasRoute: false,
    hasNat64: false,
    search: config.dns.search ?? [],
  };
  const advertiser = new Advertiser(
    {
      mac,
      mtu: config.mtu,
      prefix: ipv6.prefix,
      isOffLink: ipv6.isOffLink,
      hasAutoconfiguration: mode !== 'dhcp',
      hasDhcp: mode !== 'slaac',
      dns: config.dns.isServed ? [ipv6.dns ?? ipv6.gateway] : [],
      nat64: [config.nat64.isForPrivate ? LOCAL_NAT64.address : WELL_KNOWN_NAT64.address],
    },
    announcement,
    cryptoRandom,
    layer,
  );
  layer.serveRouter(advertiser);
  for (const { id } of stack.links) advertiser.onLinkUp(clock.now(), id);
  return advertiser;
}
