/** The gateway's DHCP server: its configuration, and its connection to the stack. */

import { type IpAddress, ipv4 } from '../base/ip-address.ts';
import type { Log } from '../base/log.ts';
import type { Clock, Instant } from '../base/time.ts';
import type { DhcpRange } from '../services/dhcp/config.ts';
import type { LeaseStore } from '../services/dhcp/lease.ts';
import type { AddressUser } from '../services/dhcp/lease-table.ts';
import { DhcpServer, type Ipv4Segment } from '../services/dhcp/server.ts';
import type { LeaseHolders } from '../stack/separation/address-bindings.ts';
import type { Stack } from '../stack/stack.ts';
import { DISCOVER, dhcpChaddr, dhcpCiaddr, dhcpMessageType, REQUEST } from '../wire/dhcp.ts';
import { formatMac, macOf } from '../wire/mac.ts';
import { type Addresses, requiredAddress } from './addresses.ts';
import type { NetworkConfig } from './config.ts';
import type { GuestDirectory } from './guest-directory.ts';
import { staticLeasesOf } from './static-leases.ts';

export const LEASE_SECONDS = 3600;

export function makeDhcpServer(
  config: NetworkConfig,
  { subnet, gateway, dns, host }: Addresses,
  store: LeaseStore,
  segment: Ipv4Segment,
): DhcpServer {
  return new DhcpServer(
    {
      subnet: subnet.address.d,
      prefix: subnet.bits,
      gateway: gateway.d,
      hostIp: host?.d,
      range: rangeOf(config),
      mtu: config.mtu,
      dns: config.dns.isServed ? [(dns ?? gateway).d] : [],
      ntp: [gateway.d],
      search: config.dns.search ?? [],
      domain: undefined,
      leaseSeconds: LEASE_SECONDS,
      awayMs: config.linkGraceMs,
      staticLeases: staticLeasesOf(config, 4).map(({ mac, address, hostname }) => ({
        mac,
        address: address.d,
        hostname,
      })),
    },
    store,
    segment,
  );
}

const rangeOf = ({ leases: { range } }: NetworkConfig): DhcpRange | undefined =>
  range && { first: requiredAddress(range.first).d, last: requiredAddress(range.last).d };

/** @param stack made after the server */
export const dhcpSegment = (
  log: Log,
  clock: Pick<Clock, 'now'>,
  stack: () => Stack,
): Ipv4Segment => ({
  log,
  isPresent: (mac) => stack().stations.hasStation(macOf(mac)),
  isAttached: (link) => stack().stations.hasLink(link),
  userOf: (address) => userOf(stack(), clock.now(), ipv4(address)),
});

export function userOf(stack: Stack, now: Instant, address: IpAddress): AddressUser | undefined {
  const user = stack.stations.userOf(now, address);
  return user === undefined ? undefined : { mac: formatMac(user.mac), heardAt: user.heardAt };
}

/** A client without an address: a new one, or that of a system that has started anew (RFC 2131 §4.4.1, §4.4.2). */
const isFirstOfClient = (request: DataView): boolean =>
  dhcpCiaddr(request) === 0 && [DISCOVER, REQUEST].includes(dhcpMessageType(request));

export function serveDhcp(
  stack: Stack,
  dhcp: DhcpServer,
  leases: LeaseHolders,
  directory: GuestDirectory,
): void {
  let seen = dhcp.revision;
  stack.serveDhcp((now, request, out, off, port) => {
    const source = { mac: port.addresses.lastEthernet, link: port.id };
    const len = dhcp.answer(request, out, off, now, Date.now(), source);
    if (dhcp.revision !== seen) directory.onLeases();
    seen = dhcp.revision;
    if (len > 0) directory.onGuestHeard(dhcpChaddr(request), true);
    if (len > 0 && isFirstOfClient(request)) port.guest.starts++;
    return len;
  }, leases);
}
