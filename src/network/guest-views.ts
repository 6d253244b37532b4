/** The guests, as the control API shows them: one entry for each Ethernet address heard, or that holds a lease. */
import { IpAddress } from '../base/ip-address.ts';
import { plainCount } from '../base/no-bytes.ts';
import type { Instant } from '../base/time.ts';
import type { GuestView } from '../control/network-view.ts';
import { parseAddress } from '../services/address-text.ts';
import type { Lease } from '../services/dhcp/lease.ts';
import type { Guest } from '../stack/guest.ts';
import type { LinkPort } from '../stack/link-port.ts';
import type { Stack } from '../stack/stack.ts';
import { type Mac, macOf } from '../wire/mac.ts';
import { wholeMs } from './view-numbers.ts';

/** Shown of those that a guest was heard with: it can make up thousands. */
const ADDRESSES_MAX = 256;

interface Machine {
  /** By their text. */
  readonly addresses: Map<string, IpAddress>;
  /** Of these. */
  readonly leased: Set<string>;
  port: LinkPort | undefined;
  guest: Guest | undefined;
}

/** @param only of these Ethernet addresses; absent: all */
export function guestViews(
  now: Instant,
  stack: Stack,
  leases: readonly Lease[],
  only?: ReadonlySet<Mac>,
): GuestView[] {
  const byMac = new Map<string, Machine>();
  const machineOf = (mac: string): Machine => {
    const known = byMac.get(mac);
    if (known !== undefined) return known;
    const machine: Machine = {
      addresses: new Map(),
      leased: new Set(),
      port: undefined,
      guest: undefined,
    };
    byMac.set(mac, machine);
    return machine;
  };
  const heard = new Map<Mac, Machine>();
  stack.stations.forEachNeighbor((neighbor) => {
    if (neighbor.mac === 0 || only?.has(neighbor.mac) === false) return;
    const machine = heard.get(neighbor.mac) ?? machineOf(neighbor.macText);
    heard.set(neighbor.mac, machine);
    hear(machine, neighbor.address);
    machine.port ??= neighbor.port;
    machine.guest ??= neighbor.guest;
  });
  for (const port of stack.links) {
    for (const { a, b, c, d, mac } of port.addresses.other) {
      const machine = heard.get(mac);
      if (machine !== undefined) hear(machine, new IpAddress(a, b, c, d));
    }
  }
  const leaseOf = new Map<string, Lease>();
  for (const lease of leases) {
    if (only?.has(macOf(lease.mac)) === false) continue;
    if (!leaseOf.has(lease.mac)) leaseOf.set(lease.mac, lease);
    const address = lease.state === 'bound' ? parseAddress(lease.address) : undefined;
    if (address === undefined) continue;
    const machine = machineOf(lease.mac);
    machine.addresses.set(lease.address, address);
    machine.leased.add(lease.address);
  }
  return [...byMac].map(([mac, machine]) => viewOf(now, mac, machine, leaseOf.get(mac)));
}

function hear({ addresses }: Machine, address: IpAddress): void {
  if (addresses.size < ADDRESSES_MAX) addresses.set(`${address}`, address);
}

const viewOf = (
  now: Instant,
  mac: string,
  machine: Machine,
  lease: Lease | undefined,
): GuestView => {
  const { port, guest } = machine;
  return {
    id: guest?.id ?? null,
    mac,
    addresses: inOrder(machine),
    hostname: lease?.hostname ?? null,
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
  };
};

function inOrder({ addresses, leased }: Machine): string[] {
  const rank = ([text, { family, a }]: readonly [string, IpAddress]): number =>
    (family === 4 ? 0 : isLinkLocal(a) ? 4 : 2) + (leased.has(text) ? 0 : 1);
  return [...addresses].sort((one, other) => rank(one) - rank(other)).map(([text]) => text);
}

/** fe80::/10 (RFC 4291 §2.5.6). @param word the first of the address */
const isLinkLocal = (word: number): boolean => word >>> 22 === 0xfe80 >>> 6;

const sharesOf = ({ owner }: Guest): GuestView['shares'] =>
  Object.fromEntries(
    owner
      .holdings()
      .filter(({ held, refused, evicted }) => held + refused + evicted > 0)
      .map(({ budget, held, refused, evicted }) => [budget, { held, refused, evicted }]),
  );
