/** Leases as the DHCP server keeps them, as the API shows them, and as they are stored over a restart. */

/**
 * - `reserved`: a static lease that its guest does not hold now
 * - `offered`: promised for a few seconds, not yet asked for
 * - `bound`: in use until its expiry
 * - `expired`, `released`: free, but the guest that had it gets it again while no other needs it
 * - `declined`: the guest found it in use (RFC 2131 §4.3.3); not assigned for a while
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
  /** The holder: `id:` and the client identifier, or `hw:` and the MAC, in hexadecimal. */
  readonly client: string;
  readonly hostname?: string | undefined;
  readonly expiresAtMs: number;
}

/** Where leases are kept. Implemented by `proxy/lease-file.ts`. */
export interface LeaseStore {
  load(): readonly StoredLease[];
  /** Called after every change; the store decides when to write. */
  save(leases: readonly StoredLease[]): void;
}

export interface StaticLease {
  /** Lower case, colons. */
  readonly mac: string;
  /** int32. */
  readonly address: number;
  readonly hostname?: string | undefined;
}

/** Addresses are int32. */
export interface DhcpConfig {
  readonly subnet: number;
  readonly prefix: number;
  readonly gateway: number;
  readonly hostIp: number | undefined;
  readonly mtu: number;
  readonly dns: readonly number[];
  readonly ntp: readonly number[];
  readonly search: readonly string[];
  readonly domain: string | undefined;
  readonly leaseSeconds: number;
  /** How long a lease waits for its guest when the link of that is gone. */
  readonly awayMs: number;
  readonly staticLeases: readonly StaticLease[];
}
