import type { LeaseConfig } from './lease.ts';

/** Addresses are int32. */
export interface DhcpConfig extends LeaseConfig<number> {
  readonly subnet: number;
  readonly prefix: number;
  readonly gateway: number;
  readonly hostIp: number | undefined;
  readonly mtu: number;
  readonly dns: readonly number[];
  readonly ntp: readonly number[];
  readonly domain: string | undefined;
}
