/**
 * The addresses that one link holds, by kind, the oldest first; and the sources of its last frames, so that the next
 * one with the same source costs a comparison.
 */
import { Chain, type Chained } from '../../base/chain.ts';
import { type Instant, NEVER } from '../../base/time.ts';
import type { Mac } from '../../wire/mac.ts';
import type { AddressKind } from './address-key.ts';
import { RefusedClaims } from './refused-claims.ts';
import type { AllowedAddress } from './separation.ts';

export const ADDRESS_KINDS: readonly AddressKind[] = ['ethernet', 'subnet', 'other'];

/** An address, and who holds it. */
export class AddressBinding implements Chained<AddressBinding> {
  chainNext: AddressBinding | undefined = undefined;
  chainPrev: AddressBinding | undefined = undefined;
  kind: AddressKind;
  /** As in `address-key.ts`. */
  a = 0;
  b = 0;
  c = 0;
  d = 0;
  /** Undefined: the link is gone. */
  holder: LinkAddresses | undefined = undefined;
  /** The number of the link. */
  link = 0;
  /** Ethernet address of the frame that claimed it. */
  mac: Mac = 0;
  /** When it is anybody's: of a probe, or of a link that is gone; else `NEVER`. */
  until: Instant = NEVER;
  /** Number of the link that was the youngest when this one went. */
  youngest = 0;
  /** Of an Ethernet address: when a frame last came from it; `NEVER`: none did. */
  heardAt: Instant = NEVER;

  constructor(kind: AddressKind) {
    this.kind = kind;
  }
}

export class LinkAddresses {
  readonly ethernet: Chain<AddressBinding> = new Chain();
  readonly subnet: Chain<AddressBinding> = new Chain();
  readonly other: Chain<AddressBinding> = new Chain();
  /** Of addresses that are another's. */
  readonly refused: RefusedClaims = new RefusedClaims();
  /** The number of a link that is gone, and whose Ethernet addresses came back on this one. */
  heirOf = -1;
  /** Of the last frames. An address that is in use is never one of these initial values. */
  lastEthernet: Mac = -1;
  /** The record of `lastEthernet`. */
  lastStation: AddressBinding | undefined = undefined;
  lastIpv4 = 0;
  lastIpv6a = 0;
  lastIpv6b = 0;
  lastIpv6c = 0;
  lastIpv6d = 0;
  /** The number of the link. */
  readonly link: number;
  /** What it may take from others. */
  readonly allowed: readonly AllowedAddress[];

  constructor(link: number, allowed: readonly AllowedAddress[]) {
    this.link = link;
    this.allowed = allowed;
  }

  forgetLast(): void {
    this.lastEthernet = -1;
    this.lastStation = undefined;
    this.forgetLastIp();
  }

  forgetLastIp(): void {
    this.lastIpv4 = 0;
    this.lastIpv6a = 0;
    this.lastIpv6b = 0;
    this.lastIpv6c = 0;
    this.lastIpv6d = 0;
  }
}
