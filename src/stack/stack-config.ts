/** What a stack is made with: its configuration, and the events that it reports. */
import type { IpAddress } from '../base/ip-address.ts';
import type { Instant } from '../base/time.ts';
import { eui64Address, LINK_LOCAL } from '../wire/eui64.ts';
import type { Mac } from '../wire/mac.ts';
import type { StackDrop } from './drops.ts';
import type { Ipv6Config } from './ipv6/layer.ts';
import type { LinkPort } from './link-port.ts';
import type { OwnAddresses } from './own-addresses.ts';
import type { GuestAttempt } from './separation/guest-attempt.ts';
import type { RefusedClaim } from './separation/refused-claims.ts';
import type { SeparationConfig } from './separation/separation.ts';
import type { TcpConfig } from './tcp/config.ts';

export interface StackConfig {
  /** First address of the segment, and its prefix length. */
  readonly subnet: IpAddress;
  readonly prefixLen: number;
  readonly gateway: IpAddress;
  /** Another address of the gateway. */
  readonly alias?: IpAddress | undefined;
  /** Undefined closes the host's loopback to guests. */
  readonly host: IpAddress | undefined;
  /** Undefined: guests have no IPv6 through the gateway. */
  readonly ipv6?: Ipv6Config | undefined;
  readonly mtu: number;
  /** The gateway's Ethernet address. */
  readonly mac: Mac;
  /** Whether checksums of TCP and UDP are verified where the link does not vouch for them. */
  readonly verifyChecksums: boolean;
  readonly tcp: Partial<TcpConfig>;
  /** How guests are separated from each other. Default: `separate`, with no list. */
  readonly separation?: SeparationConfig | undefined;
}

/** Events for the composition. */
export interface StackEvents {
  /** After each batch and flush: deadlines may have moved. */
  afterWork(): void;
  /** A link came or went; `links` are left. */
  onLinkCount(links: number): void;
  onLinkDown?(now: Instant, link: number): void;
  /** A frame of a guest was dropped: for an address of another, or for what may not pass between guests. */
  onRefused?(port: LinkPort, reason: StackDrop): void;
  /** A link begins to claim an address of another. */
  onConflict?(port: LinkPort, claim: RefusedClaim): void;
  /** A guest tries another, where `policePassage` says more than `free`. The record is borrowed for the call. */
  onAttempt?(port: LinkPort, attempt: Readonly<GuestAttempt>): void;
  /**
   * Whether the work at hand may go on; absent: always. What is left at the end of a batch waits for the next, or for
   * `onBatchEnd`; see `owed`.
   */
  hasTime?(): boolean;
}

export const NO_EVENTS: StackEvents = {
  afterWork: () => {},
  onLinkCount: () => {},
};

export function ownAddresses(config: StackConfig): OwnAddresses {
  const { mac, subnet, prefixLen, gateway, alias, host, ipv6 } = config;
  return {
    mac,
    ipv4: { base: subnet.d, mask: -1 << (32 - prefixLen), gateway, alias, host },
    ipv6: ipv6 === undefined ? undefined : { ...ipv6, linkLocal: eui64Address(LINK_LOCAL, mac) },
  };
}
