/** The gateway's DHCPv6 server: its configuration, and its connection to the stack. */
import type { Log } from '../base/log.ts';
import type { Clock } from '../base/time.ts';
import { parseAddress } from '../services/address-text.ts';
import type { LeaseStore } from '../services/dhcp/lease.ts';
import type { DhcpSegment } from '../services/dhcp/lease-server.ts';
import { addressIn, interfaceIdOf } from '../services/dhcpv6/dhcpv6-config.ts';
import { Dhcpv6Server } from '../services/dhcpv6/dhcpv6-server.ts';
import type { Stack } from '../stack/stack.ts';
import { grantedAddress } from '../wire/dhcpv6.ts';
import { readIpv6Address } from '../wire/ipv6-address.ts';
import type { Addresses, Ipv6Addresses } from './addresses.ts';
import type { NetworkConfig } from './config.ts';
import { LEASE_SECONDS, userOf } from './gateway-dhcp.ts';
import { isInPrefix } from './guest-address.ts';
import type { GuestDirectory } from './guest-directory.ts';
import { type ParsedLease, staticLeasesOf } from './static-leases.ts';

/** @returns undefined where guests have no IPv6 */
export function makeDhcpv6Server(
  config: NetworkConfig,
  { ipv6, mac }: Addresses,
  store: LeaseStore,
  log: Log,
  clock: Pick<Clock, 'now'>,
  stack: () => Stack,
): Dhcpv6Server | undefined {
  if (ipv6 === undefined) return undefined;
  const { gateway, dns = gateway, prefix } = ipv6;
  const segment: DhcpSegment<bigint> = {
    log,
    isAttached: (link) => stack().stations.hasLink(link),
    userOf: (key) => userOf(stack(), clock.now(), addressIn(prefix, key)),
  };
  const staticLeases = staticLeasesOf(config, 6)
    .filter((lease) => isInPrefix(ipv6, lease.address) || noteForeign(lease, ipv6, log))
    .map(({ address, ...lease }) => ({ ...lease, address: interfaceIdOf(address) }));
  return new Dhcpv6Server(
    {
      prefix,
      gateway,
      mac,
      dns: config.dns.isServed ? [dns] : [],
      ntp: [gateway],
      search: config.dns.search ?? [],
      leaseSeconds: LEASE_SECONDS,
      awayMs: config.linkGraceMs,
      staticLeases,
      assigns: config.ipv6.mode !== 'slaac',
    },
    parseAddress,
    store,
    segment,
  );
}

export function serveDhcpv6(stack: Stack, dhcp: Dhcpv6Server, directory: GuestDirectory): void {
  const layer = stack.ipv6;
  let seen = dhcp.revision;
  layer?.serveDhcp((now, request, out, off, _room, { port, mac }) => {
    const len = dhcp.answer(request, out, off, now, Date.now(), { mac, link: port.id });
    if (dhcp.revision !== seen) directory.onLeases();
    seen = dhcp.revision;
    if (len === 0) return 0;
    const reply = new DataView(out.bytes.buffer, out.bytes.byteOffset + off, len);
    const granted = grantedAddress(reply);
    if (granted >= 0) layer.assign(now, port, mac, readIpv6Address(reply, granted));
    directory.onGuestHeard(mac, true);
    return len;
  });
}

function noteForeign({ mac, address }: ParsedLease, { prefix }: Ipv6Addresses, log: Log): false {
  log.warn(
    { mac, address: address.toString(), prefix: `${prefix}/64` },
    "a static lease is not in the host's network, and left out",
  );
  return false;
}
