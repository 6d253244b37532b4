/**
 * Which addresses are the host's own, remembered for a while: the kernel is asked (`native/address-of-host.ts`), which
 * takes longer than a flow may. An address that the host gets is noticed within {@link TTL_MS}.
 */
import { type AddressKey, addressKey, type IpAddress } from '../../base/ip-address.ts';
import type { Instant } from '../../base/time.ts';

export const TTL_MS = 2_000;
export const KNOWN_MAX = 1024;

export class HostAddresses {
  private readonly isOfHost: (address: string) => boolean;
  private readonly clock: { now(): Instant };
  private readonly known = new Map<AddressKey, boolean>();
  private endsAt: Instant = 0;

  constructor(isOfHost: (address: string) => boolean, clock: { now(): Instant }) {
    this.isOfHost = isOfHost;
    this.clock = clock;
  }

  has(address: string): boolean {
    return this.find(address) ?? this.learn(address, address);
  }

  /** As {@link has}, without a text where the answer is known. */
  hasAddress(address: IpAddress): boolean {
    const key = addressKey(address);
    return this.find(key) ?? this.learn(key, address.toString());
  }

  private find(key: AddressKey): boolean | undefined {
    const now = this.clock.now();
    if (now >= this.endsAt || this.known.size >= KNOWN_MAX) {
      this.known.clear();
      this.endsAt = now + TTL_MS;
    }
    return this.known.get(key);
  }

  private learn(key: AddressKey, address: string): boolean {
    const isOfHost = this.isOfHost(address);
    this.known.set(key, isOfHost);
    return isOfHost;
  }
}
