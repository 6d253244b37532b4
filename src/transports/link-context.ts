import type { Log } from '../base/log.ts';
import type { Clock } from '../base/time.ts';
import type { Turns } from '../proxy/turns.ts';
import type { KeepFault } from '../services/dhcp/lease-table.ts';
import type { LinkAcceptor } from '../stack/link.ts';
import type { Mac } from '../wire/mac.ts';
import type { LinkStats } from './link-stats.ts';
import type { MachineMemory } from './vhost-user/machine-memory.ts';

/** IPv4 addresses of guests that a link knows by more than their frames. */
export interface GuestAddresses {
  /**
   * Keep an address for the guest with this Ethernet address, which DHCP then gives to it and to no other.
   *
   * @param wanted as int32; undefined: the one that the guest had before, or any
   * @returns why there is none
   */
  reserve(mac: Mac, wanted: number | undefined): KeepFault | undefined;
  /** The guest is not expected any more. */
  release(mac: Mac): void;
}

/** What every kind of link needs of its environment. */
export interface LinkContext {
  readonly acceptor: LinkAcceptor;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
  /** What the link's frames cause is done within the link's share. */
  readonly turns: Turns;
  /** Of interfaces that the link creates or configures (TAP). */
  readonly mtu: number;
  /** Idle time before the peer of a TCP link is probed, in s. */
  readonly keepaliveS?: number;
  /** Permission bits of the Unix sockets that the link listens on. */
  readonly socketMode: number;
  /** Of machines whose network card we serve. */
  readonly vhostMemory: MachineMemory;
  readonly addresses: GuestAddresses;
  /** Ethernet addresses of guests of `vpnkit:` links, by their UUID in lower case; others are made of it. */
  readonly vpnkitMacs?: ReadonlyMap<string, Mac>;
  /** Web pages that may attach guests by WebSocket; none: those of the same host. */
  readonly wsOrigins: readonly string[];
}

/** One `--listen` in service. */
export interface OpenLink {
  /** As given by the user, with the assigned port in place of 0. */
  readonly description: string;
  readonly stats: LinkStats;
  /** Why it carries nothing any more, and what to do. */
  readonly failure?: string | undefined;
  /** Detach every guest, stop listening, remove the socket. */
  close(): Promise<void>;
}

/** A link of one guest, which ends with it. */
export interface EndingLink extends OpenLink {
  readonly closed: Promise<void>;
}

/** Another program serves the socket, or its path is not a socket. */
export class LinkInUseError extends Error {
  readonly code = 'ERR_HAWSER_LINK_IN_USE';
  /** A path, or an address and port. */
  readonly place: string;

  constructor(place: string, why: string, options?: ErrorOptions) {
    super(`${place} ${why}`, options);
    this.name = 'LinkInUseError';
    this.place = place;
  }
}

/** The link cannot be opened: no permission, no such address, table of links full. */
export class LinkError extends Error {
  readonly code = 'ERR_HAWSER_LINK';

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'LinkError';
  }
}
