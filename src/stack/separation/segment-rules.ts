/** The rules of the segment, by mode: which frames of a link are taken at all, and which of them go to other links. */

import { makeKey } from '../../base/flow-key.ts';
import type { Instant } from '../../base/time.ts';
import { arpSenderIp, checkArp } from '../../wire/arp.ts';
import {
  ETHERNET_HEADER_LEN,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  etherType,
} from '../../wire/ethernet.ts';
import { icmpv6Type, PROTOCOL_ICMPV6 } from '../../wire/icmpv6.ts';
import { IPV4_HEADER_LEN, ipv4Src } from '../../wire/ipv4.ts';
import { checkIpv6, IPV6_HEADER_LEN, Ipv6Chain } from '../../wire/ipv6.ts';
import type { Mac } from '../../wire/mac.ts';
import { NDP_TARGET, NEIGHBOR_ADVERTISEMENT, NEIGHBOR_MESSAGE_MIN } from '../../wire/ndp.ts';
import type { Frame } from '../frame.ts';
import { isOwnIpv4, isOwnIpv6, type OwnAddresses, type OwnIpv6 } from '../own-addresses.ts';
import type { AddressBindings } from './address-bindings.ts';
import { readIpv6Key, readIpv6Source } from './address-key.ts';
import type { LinkAddresses } from './link-addresses.ts';
import { Passage, type PassageDrop } from './passage.ts';
import type { PolicedPassage, SeparationMode } from './separation.ts';
import { type SourceDrop, SourceGuard } from './source-guard.ts';

export class SegmentRules {
  policed: PolicedPassage = 'free';
  private readonly own: OwnAddresses;
  private readonly mode: SeparationMode;
  private readonly sources: SourceGuard;
  private readonly passage: Passage;
  private readonly key: Int32Array = makeKey();
  private readonly chain = new Ipv6Chain();

  constructor(own: OwnAddresses, mode: SeparationMode, bindings: AddressBindings) {
    this.own = own;
    this.mode = mode;
    this.sources = new SourceGuard(own, bindings);
    this.passage = new Passage(this.sources);
  }

  /** Why a frame with the Ethernet source `mac`, which is not that of the frame before, is dropped. */
  ethernetFault(now: Instant, link: LinkAddresses, mac: Mac): SourceDrop | undefined {
    return this.sources.onEthernet(now, link, mac);
  }

  /** Why a frame that {@link ethernetFault} let pass is dropped, before anybody sees it. */
  sourceFault(now: Instant, link: LinkAddresses, frame: Frame): SourceDrop | undefined {
    if (this.mode === 'trust') return undefined;
    const { slab, off, len } = frame;
    const { view } = slab;
    switch (etherType(view, off)) {
      case ETHERTYPE_IPV4:
        return this.sources.onIpv4(now, link, view, off, len);
      case ETHERTYPE_ARP:
        return this.sources.onArp(now, link, view, off, len);
      case ETHERTYPE_IPV6:
        return this.sources.onIpv6(now, link, view, off, len);
      default:
        return undefined;
    }
  }

  /** Why a message of Neighbor Discovery to us is dropped. The parameters are those of {@link SourceGuard.onNdp}. */
  ndpFault(
    now: Instant,
    link: LinkAddresses,
    view: DataView,
    at: number,
    len: number,
    isProbe: boolean,
  ): SourceDrop | undefined {
    if (this.mode === 'trust') return undefined;
    return this.sources.onNdp(now, link, view, at, len, isProbe);
  }

  /** Whether frames may go between guests at all. */
  get mayForward(): boolean {
    return this.mode !== 'isolate' && this.policed !== 'isolated';
  }

  /** Why a frame that {@link sourceFault} let pass does not go to another guest. */
  passageFault(now: Instant, link: LinkAddresses, frame: Frame): PassageDrop | undefined {
    const { slab, off, len } = frame;
    const { view } = slab;
    const type = etherType(view, off);
    return this.mode === 'trust'
      ? this.ownAddressFault(view, off, len, type)
      : this.passage.fault(now, link, view, off, len, type);
  }

  /** Not even a trusted guest announces our addresses to another, which would then send all its traffic there. */
  private ownAddressFault(
    view: DataView,
    off: number,
    len: number,
    type: number,
  ): SourceDrop | undefined {
    const { ipv4, ipv6 } = this.own;
    const l3 = off + ETHERNET_HEADER_LEN;
    const avail = len - ETHERNET_HEADER_LEN;
    if (type === ETHERTYPE_ARP) {
      const isOurs =
        checkArp(view, l3, avail) === undefined && isOwnIpv4(ipv4, arpSenderIp(view, l3));
      return isOurs ? 'arp-claims-our-address' : undefined;
    }
    if (type === ETHERTYPE_IPV6 && ipv6 !== undefined && avail >= IPV6_HEADER_LEN) {
      readIpv6Source(this.key, view, l3);
      if (isOwnIpv6(ipv6, this.key, 0)) return 'ipv6-bad-source';
      return this.isOwnAdvertised(ipv6, view, l3, avail) ? 'ndp-claims-foreign-address' : undefined;
    }
    if (type !== ETHERTYPE_IPV4 || avail < IPV4_HEADER_LEN) return undefined;
    return isOwnIpv4(ipv4, ipv4Src(view, l3)) ? 'ipv4-source-not-on-subnet' : undefined;
  }

  /** Whether a neighbour is advertised that is one of us. */
  private isOwnAdvertised(own: OwnIpv6, view: DataView, l3: number, avail: number): boolean {
    const { chain, key } = this;
    if (checkIpv6(view, l3, avail) !== undefined || chain.walk(view, l3) !== undefined)
      return false;
    const { protocol, upperOff, upperLen } = chain;
    if (protocol !== PROTOCOL_ICMPV6 || chain.isLaterFragment) return false;
    if (upperLen < NEIGHBOR_MESSAGE_MIN) return false;
    if (icmpv6Type(view, upperOff) !== NEIGHBOR_ADVERTISEMENT) return false;
    readIpv6Key(key, view, upperOff + NDP_TARGET);
    return isOwnIpv6(own, key, 0);
  }
}
