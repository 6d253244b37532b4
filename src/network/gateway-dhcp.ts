/** The gateway's DHCP server: its configuration, and its connection to the stack. */

import { ipv4 } from '../base/ip-address.ts';
import type { Log } from '../base/log.ts';
import type { Clock, Instant } from '../base/time.ts';
import type { LeaseStore } from '../services/dhcp/lease.ts';
import type { DhcpSegment } from '../services/dhcp/lease-server.ts';
import { DhcpServer } from '../services/dhcp/server.ts';
import type { Stack } from '../stack/stack.ts';
import { dhcpChaddr } from '../wire/dhcp.ts';
import { formatMac, type Mac, macOf } from '../wire/mac.ts';
import { type Addresses, requiredAddress } from './addresses.ts';
import type { NetworkConfig } from './config.ts';
import type { GuestDirectory } from './guest-directory.ts';

const LEASE_SECONDS = 3600;

export function makeDhcpServer(
  config: NetworkConfig,
  { subnet, gateway, host }: Addresses,
  store: LeaseStore,
  segment: DhcpSegment<number>,
): DhcpServer {
  return new DhcpServer(
    {
      subnet: subnet.address.d,
      prefix: subnet.bits,
      gateway: gateway.d,
      hostIp: host?.d,
      mtu: config.mtu,
      dns: [gateway.d],
      ntp: [gateway.d],
      search: config.dns.search ?? [],
      domain: undefined,
      leaseSeconds: LEASE_SECONDS,
      awayMs: config.linkGraceMs,
      staticLeases: config.leases.static.map((lease) => ({
        mac: lease.mac,
        address: requiredAddress(lease.address).d,
        hostname: lease.hostname,
      })),
    },
    store,
    segment,
  );
}

/** @param stack made after the server */
export const dhcpSegment = (
  log: Log,
  clock: Pick<Clock, 'now'>,
  stack: () => Stack,
): DhcpSegment<number> => ({
  log,
  isPresent: (mac) => stack().hasStation(macOf(mac)),
  isAttached: (link) => stack().hasLink(link),
  userOf: (address) => {
    const user = stack().userOf(clock.now(), ipv4(address));
    return user === undefined ? undefined : { mac: formatMac(user.mac), heardAt: user.heardAt };
  },
});

export function serveDhcp(stack: Stack, dhcp: DhcpServer, directory: GuestDirectory): void {
  const holderOf = (now: Instant, address: number): Mac => dhcp.holderOf(address, now, Date.now());
  let seen = dhcp.revision;
  stack.serveDhcp(
    (now, request, out, off, port) => {
      const source = { mac: port.addresses.lastEthernet, link: port.id };
      const len = dhcp.answer(request, out, off, now, Date.now(), source);
      if (dhcp.revision !== seen) directory.onLeases();
      seen = dhcp.revision;
      if (len > 0) directory.onGuestHeard(dhcpChaddr(request));
      return len;
    },
    { holderOf },
  );
}
