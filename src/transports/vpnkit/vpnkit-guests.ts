/**
 * Who connects to a `vpnkit:` link: guests by UUID. The Ethernet address of a guest is made of its UUID, and is the same
 * over restarts of either side; an IPv4 address is kept for it as long as it is known. A client without a UUID gets one
 * that nobody knows, and is forgotten when it leaves. Known guests are bounded: the one that has been away for longest
 * is forgotten first.
 */
import { createHash, randomUUID } from 'node:crypto';
import { formatIpv4 } from '../../base/ip-address.ts';
import type { KeepFault } from '../../services/dhcp/lease-table.ts';
import type { Mac } from '../../wire/mac.ts';
import type { Vmn3tCommand } from '../../wire/vmn3t.ts';
import type { GuestAddresses } from '../link-context.ts';
import { Twins, type TwinsDeps } from './twins.ts';

const GUESTS_MAX = 256;
/** Connections with one UUID. */
const TWINS_MAX = 4;
/** VPNKit's own begin with these bytes. */
const MAC_PREFIX = 0x0250_0000_0000;

/** As the end of a sentence that begins with the address. */
const FAULTS: Readonly<Record<KeepFault, string>> = {
  'pool-exhausted': "is not to be had: the guests' network has none left",
  'not-in-pool': "is no guest's address of this network",
  taken: 'is taken by another guest',
  'has-static-lease': 'is not the one of its static lease',
  'too-many': 'is one too many to be kept for guests',
};
const SHORT: ReadonlySet<KeepFault> = new Set(['pool-exhausted', 'too-many']);

export interface VpnkitGuest {
  readonly uuid: string;
  /** Whether the client did not name one. */
  readonly isNameless: boolean;
  readonly mac: Mac;
  /** At the other end of its socket. */
  readonly uid: number | undefined;
  readonly twins: Twins;
  readonly preferred: number | undefined;
}

export interface VpnkitGuestsDeps {
  readonly twins: TwinsDeps;
  readonly addresses: GuestAddresses;
  /** By UUID, of guests whose Ethernet address is not made of it. */
  readonly macs: ReadonlyMap<string, Mac>;
}

export class VpnkitGuests {
  private readonly deps: VpnkitGuestsDeps;
  /** In the order in which they left; connected ones anywhere. */
  private readonly byUuid = new Map<string, VpnkitGuest>();

  constructor(deps: VpnkitGuestsDeps) {
    this.deps = deps;
  }

  /** @returns why it is refused, or the guest that a client is */
  admit({ uuid, preferred }: Vmn3tCommand, uid: number | undefined): VpnkitGuest | string {
    const known = uuid === undefined ? undefined : this.byUuid.get(uuid);
    const isOfAnother = known?.uid !== undefined && uid !== undefined && known.uid !== uid;
    if (isOfAnother) return 'its UUID is that of another user';
    if (known === undefined || known.twins.isEmpty) return this.add(uuid, preferred, uid, known);
    if (known.twins.size >= TWINS_MAX) return 'too many connections with its UUID';
    if (preferred === undefined || preferred === known.preferred) return known;
    return 'its UUID is in use with another address';
  }

  /** A connection of `guest` is gone, or did not come about. */
  onLeft(guest: VpnkitGuest): void {
    if (!guest.twins.isEmpty || this.byUuid.get(guest.uuid) !== guest) return;
    this.byUuid.delete(guest.uuid);
    if (guest.isNameless) this.deps.addresses.release(guest.mac);
    else this.byUuid.set(guest.uuid, guest);
  }

  private add(
    named: string | undefined,
    preferred: number | undefined,
    uid: number | undefined,
    before: VpnkitGuest | undefined,
  ): VpnkitGuest | string {
    const uuid = named ?? randomUUID();
    const mac = before?.mac ?? this.deps.macs.get(uuid.toLowerCase()) ?? macOfUuid(uuid);
    if (before === undefined) {
      if (this.hasMac(mac)) return 'its Ethernet address is in use';
      if (this.byUuid.size >= GUESTS_MAX && !this.forgetOne()) return 'there are too many guests';
    }
    const isNameless = named === undefined;
    if (!isNameless || preferred !== undefined) {
      const why = this.keep(mac, preferred);
      if (why !== undefined) return why;
    }
    const twins = new Twins(this.deps.twins);
    const guest = { uuid, isNameless, mac, uid: uid ?? before?.uid, twins, preferred };
    this.byUuid.set(uuid, guest);
    return guest;
  }

  /** An address is kept for those that are known and away as long as there is another for who comes. */
  private keep(mac: Mac, preferred: number | undefined): string | undefined {
    const { addresses } = this.deps;
    let why = addresses.reserve(mac, preferred);
    while (why !== undefined && SHORT.has(why) && this.forgetOne()) {
      why = addresses.reserve(mac, preferred);
    }
    if (why === undefined) return undefined;
    if (why === 'too-many' && preferred === undefined) return undefined; // it has one as long as its lease lasts
    return `${preferred === undefined ? 'an address' : formatIpv4(preferred)} ${FAULTS[why]}`;
  }

  private hasMac(mac: Mac): boolean {
    for (const guest of this.byUuid.values()) if (guest.mac === mac) return true;
    return false;
  }

  private forgetOne(): boolean {
    for (const guest of this.byUuid.values()) {
      if (!guest.twins.isEmpty) continue;
      this.byUuid.delete(guest.uuid);
      this.deps.addresses.release(guest.mac);
      return true;
    }
    return false;
  }
}

/** Locally administered, and the same for the same UUID. */
export function macOfUuid(uuid: string): Mac {
  return MAC_PREFIX + createHash('sha256').update(uuid).digest().readUInt32BE(0);
}
