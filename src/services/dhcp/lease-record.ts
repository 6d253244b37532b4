/** One address of the table of leases: which client has it, and until when. */
import { type Instant, NEVER } from '../../base/time.ts';
import { type Mac, macOf } from '../../wire/mac.ts';
import type { AddressKey } from './lease.ts';

/** The requesting client: `client` identifies it, `mac` is for display and for clients that change their identifier. */
export interface ClientIdentity {
  readonly client: string;
  readonly mac: string;
  /** The number of the link that it is behind; undefined: not known. */
  readonly link?: number | undefined;
}

export class LeaseRecord<A extends AddressKey> {
  readonly address: A;
  readonly text: string;
  /** It is that of a static lease, or kept for its guest. */
  fixed: boolean;
  client: string;
  private holder: string;
  ethernet: Mac;
  /** Where it was offered or bound; undefined for a lease from a file. */
  link: number | undefined;
  /** When it is free, since its link is gone; else `NEVER`. */
  awayUntil: Instant;
  /** The name that the guest sent. */
  hostname: string | undefined;
  /** Whether it was ever more than an offer. */
  wasBound: boolean;
  expiresAt: Instant;
  /** Of an offer or a decline. */
  until: Instant;
  state: 'offered' | 'bound' | 'released' | 'declined';

  constructor(address: A, text: string, fixed: boolean, identity: ClientIdentity) {
    this.address = address;
    this.text = text;
    this.fixed = fixed;
    this.client = identity.client;
    this.holder = identity.mac;
    this.ethernet = macOf(identity.mac);
    this.link = undefined;
    this.awayUntil = NEVER;
    this.hostname = undefined;
    this.wasBound = false;
    this.expiresAt = 0;
    this.until = 0;
    this.state = 'released';
  }

  get mac(): string {
    return this.holder;
  }

  set mac(mac: string) {
    this.holder = mac;
    this.ethernet = macOf(mac);
  }

  /** When it has ended as a lease, if nothing happens. */
  get freeAt(): Instant {
    return this.state === 'bound' ? Math.min(this.expiresAt, this.awayUntil) : -NEVER;
  }

  isFree(now: Instant): boolean {
    switch (this.state) {
      case 'released':
        return true;
      case 'bound':
        return this.freeAt <= now;
      case 'offered':
      case 'declined':
        return this.until <= now;
    }
  }
}
