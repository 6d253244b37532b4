import type { LeaseConfig } from './lease.ts';

/** Both are part of it. */
export interface DhcpRange {
  readonly first: number;
  readonly last: number;
}

/** Addresses are int32. */
export interface DhcpConfig extends LeaseConfig<number> {
  readonly subnet: number;
  readonly prefix: number;
  readonly gateway: number;
  readonly hostIp: number | undefined;
  /** The addresses that are given out; undefined: all of the subnet. */
  readonly range?: DhcpRange | undefined;
  readonly mtu: number;
  readonly dns: readonly number[];
  readonly ntp: readonly number[];
  readonly domain: string | undefined;
}
