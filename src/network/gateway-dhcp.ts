/** The gateway's DHCP server: its configuration, and its connection to the stack. */

import type { LeaseStore } from '../services/dhcp/lease.ts';
import { type DhcpSegment, DhcpServer } from '../services/dhcp/server.ts';
import type { Stack } from '../stack/stack.ts';
import { dhcpChaddr } from '../wire/dhcp.ts';
import { type Addresses, requiredAddress } from './addresses.ts';
import type { NetworkConfig } from './config.ts';
import type { GuestDirectory } from './guest-directory.ts';

const LEASE_SECONDS = 3600;

export function makeDhcpServer(
  config: NetworkConfig,
  { subnet, gateway, host }: Addresses,
  store: LeaseStore,
  segment: DhcpSegment,
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

export function serveDhcp(stack: Stack, dhcp: DhcpServer, directory: GuestDirectory): void {
  stack.serveDhcp((now, request, out, off, source) => {
    const len = dhcp.answer(request, out, off, now, Date.now(), source);
    directory.onLeases();
    if (len > 0) directory.onGuestHeard(dhcpChaddr(request));
    return len;
  });
}
