/**
 * The guest of a publication. An address is used as it is; a name and an Ethernet address are resolved
 * when a client connects, because a guest's address may change; without any of them it is the first guest,
 * which does not change once it is known.
 */
import type { IpAddress } from '../../base/ip-address.ts';

/** A DHCP or static-lease name in lower case, or an Ethernet address in lower case with colons. */
export type GuestName =
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'mac'; readonly mac: string };

/** Neither an address nor a name: the first guest. */
export interface GuestChoice {
  readonly guestAddress: IpAddress | undefined;
  readonly guest?: GuestName | undefined;
}

/** The guest as currently known; resolved again for every client. */
export interface GuestTarget {
  /** As it is shown; undefined while it is not known. */
  readonly address: IpAddress | undefined;
  /**
   * Where to dial it, the best first. A guest of both families is dialled by the client's, so that it sees the client.
   *
   * @param client family; undefined for one of a Unix socket
   */
  addressesFor(client: 4 | 6 | undefined): readonly IpAddress[];
  /** Lower case, colons; undefined while it is not known. */
  readonly mac: string | undefined;
  /** Its link is up. */
  readonly attached: boolean;
  /** The publication is withdrawn. */
  release(): void;
}

export interface Guests {
  targetOf(choice: GuestChoice): GuestTarget;
}

const MAC = /^([0-9a-f]{2}[:-]){5}[0-9a-f]{2}$/i;
/** What the DHCP server accepts as a host name, except for numeric names. */
const NAME = /^(?=.*[a-z])[a-z0-9][a-z0-9_.-]{0,62}$/i;

/** @returns undefined when `text` is neither a name nor an Ethernet address */
export function parseGuestName(text: string): GuestName | undefined {
  if (MAC.test(text)) return { kind: 'mac', mac: text.toLowerCase().replaceAll('-', ':') };
  return NAME.test(text) ? { kind: 'name', name: text.toLowerCase() } : undefined;
}

export const formatGuestName = (guest: GuestName): string =>
  guest.kind === 'mac' ? guest.mac : guest.name;
