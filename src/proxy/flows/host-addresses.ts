/**
 * Which addresses are the host's own, remembered for a while: the kernel is asked (`native/address-of-host.ts`), which
 * takes longer than a flow may. An address that the host gets is noticed within {@link TTL_MS}.
 */
import type { Instant } from '../../base/time.ts';

export const TTL_MS = 2_000;
export const KNOWN_MAX = 1024;

export class HostAddresses {
  private readonly isOfHost: (address: string) => boolean;
  private readonly clock: { now(): Instant };
  private readonly known = new Map<string, boolean>();
  private endsAt: Instant = 0;

  constructor(isOfHost: (address: string) => boolean, clock: { now(): Instant }) {
    this.isOfHost = isOfHost;
    this.clock = clock;
  }

  has(address: string): boolean {
    const now = this.clock.now();
    if (now >= this.endsAt || this.known.size >= KNOWN_MAX) {
      this.known.clear();
      this.endsAt = now + TTL_MS;
    }
    const known = this.known.get(address);
    if (known !== undefined) return known;
    const isOfHost = this.isOfHost(address);
    this.known.set(address, isOfHost);
    return isOfHost;
  }
}
