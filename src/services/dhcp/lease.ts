/**
 * Leases as the DHCP servers of both families keep them, as the API shows them, and as they are stored over a restart.
 */

import type { Instant } from '../../base/time.ts';

/** An address as its family's server has it: IPv4 as int32, IPv6 as the interface identifier (64 bits). */
export type AddressKey = number | bigint;

/**
 * - `reserved`: a static lease that its guest does not hold now
 * - `offered`: promised for a few seconds, not yet asked for
 * - `bound`: in use until its expiry
 * - `expired`, `released`: free, but the guest that had it gets it again while no other needs it
 * - `declined`: the guest found it in use (RFC 2131 §4.3.3, RFC 9915 §18.3.8); not assigned for a while
 */
export type LeaseState = 'reserved' | 'offered' | 'bound' | 'expired' | 'released' | 'declined';

export interface Lease {
  readonly address: string;
  /** Lower case, colons. */
  readonly mac: string;
  readonly hostname?: string;
  /** Wall clock, ms since the Unix epoch; 0 when the lease never began. */
  readonly expiresAtMs: number;
  readonly static: boolean;
  readonly state: LeaseState;
}

/** What survives a restart. */
export interface StoredLease {
  readonly address: string;
  readonly mac: string;
  /**
   * The holder, in hexadecimal: `id:` and the client identifier, or `hw:` and the MAC; of DHCPv6 `duid:` and the DUID, a
   * slash, and the identity association.
   */
  readonly client: string;
  readonly hostname?: string | undefined;
  readonly expiresAtMs: number;
}

/** By the clock that never jumps. */
export interface LeaseEnd {
  /** It is another once the lease is renewed. */
  readonly expiresAt: Instant;
  /** That, or before, where its guest has left, or has given it back. */
  readonly freeAt: Instant;
}

/** Where leases are kept over a restart. Implemented by `proxy/lease-file.ts`. */
export interface LeaseKeeper {
  load(): readonly StoredLease[];
  save(leases: readonly StoredLease[]): void;
}

/** Who keeps leases, and watches them. Implemented by `network/lease-watch.ts`. */
export interface LeaseStore {
  load(): readonly StoredLease[];
  /** Called after every change; the store decides when to write. @param ends of each */
  save(leases: readonly StoredLease[], ends: readonly LeaseEnd[]): void;
  /** The same leases, of which some end otherwise: their guests have left, or are back. It may happen as often as guests like. */
  onEnds?(read: () => KeptLeases): void;
}

export interface KeptLeases {
  readonly leases: readonly StoredLease[];
  /** Of each. */
  readonly ends: readonly LeaseEnd[];
}

export interface StaticLease<A extends AddressKey> {
  /** Lower case, colons. */
  readonly mac: string;
  readonly address: A;
  readonly hostname?: string | undefined;
}

/** What both families are configured with. */
export interface LeaseConfig<A extends AddressKey> {
  readonly search: readonly string[];
  readonly leaseSeconds: number;
  /** How long a lease waits for its guest when the link of that is gone. */
  readonly awayMs: number;
  readonly staticLeases: readonly StaticLease<A>[];
}
