/** The guests, as the control API shows them: one entry for each Ethernet address heard, or that holds a lease. */
import { plainCount } from '../base/no-bytes.ts';
import type { Instant } from '../base/time.ts';
import type { GuestView } from '../control/network-view.ts';
import type { Lease } from '../services/dhcp/lease.ts';
import type { Guest } from '../stack/guest.ts';
import type { LinkPort } from '../stack/link-port.ts';
import type { Stack } from '../stack/stack.ts';
import type { Mac } from '../wire/mac.ts';
import { wholeMs } from './view-numbers.ts';

interface Machine {
  readonly addresses: Set<string>;
  port: LinkPort | undefined;
  guest: Guest | undefined;
}

export function guestViews(now: Instant, stack: Stack, leases: readonly Lease[]): GuestView[] {
  const byMac = new Map<string, Machine>();
  const machineOf = (mac: string): Machine => {
    const known = byMac.get(mac);
    if (known !== undefined) return known;
    const machine: Machine = { addresses: new Set(), port: undefined, guest: undefined };
    byMac.set(mac, machine);
    return machine;
  };
  const heard = new Map<Mac, Machine>();
  stack.forEachNeighbor((neighbor) => {
    if (neighbor.mac === 0) return;
    const machine = heard.get(neighbor.mac) ?? machineOf(neighbor.macText);
    heard.set(neighbor.mac, machine);
    machine.addresses.add(neighbor.address.toString());
    machine.port ??= neighbor.port;
    machine.guest ??= neighbor.guest;
  });
  const leaseOf = new Map<string, Lease>();
  for (const lease of leases) {
    if (!leaseOf.has(lease.mac)) leaseOf.set(lease.mac, lease);
    if (lease.state === 'bound') machineOf(lease.mac).addresses.add(lease.address);
  }
  return [...byMac].map(([mac, { addresses, port, guest }]) => ({
    id: guest?.id ?? null,
    mac,
    addresses: [...addresses],
    hostname: leaseOf.get(mac)?.hostname ?? null,
    link: port?.name ?? null,
    attachedMs: port === undefined ? null : wholeMs(now - port.attachedAt),
    knownMs: guest === undefined ? null : wholeMs(now - guest.since),
    framesToHost: port?.framesToHost ?? 0,
    framesToGuest: port?.framesToGuest ?? 0,
    bytesToHost: plainCount(port?.bytesToHost ?? 0),
    bytesToGuest: plainCount(port?.bytesToGuest ?? 0),
    framesRefused: port?.guest.framesRefused ?? 0,
    blocked: guest?.refusals.snapshot() ?? {},
    shares: guest === undefined ? {} : sharesOf(guest),
  }));
}

const sharesOf = ({ owner }: Guest): GuestView['shares'] =>
  Object.fromEntries(
    owner
      .holdings()
      .filter(({ held, refused, evicted }) => held + refused + evicted > 0)
      .map(({ budget, held, refused, evicted }) => [budget, { held, refused, evicted }]),
  );
