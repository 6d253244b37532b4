/**
 * Whose address a frame claims: its Ethernet and IP sources, and what ARP and Neighbor Discovery say of the sender. A
 * frame that claims another's is dropped before anybody sees it, the host included.
 *
 * Addresses that no guest can have are nobody's: those of the gateway, groups, loopback, and those of the Internet,
 * which are behind the gateway and not on the segment. Sources without an address pass where a protocol begins without
 * one (DHCP, IGMP; for IPv6 duplicate address detection, router solicitations and MLD).
 */
import type { Instant } from '../../base/time.ts';
import { wordAt } from '../../base/word-at.ts';
import { arpSenderIp, arpSenderMac, arpTargetIp, checkArp } from '../../wire/arp.ts';
import { DHCP_SERVER_PORT } from '../../wire/dhcp.ts';
import { ETHERNET_HEADER_LEN } from '../../wire/ethernet.ts';
import { icmpv6Type, PROTOCOL_ICMPV6 } from '../../wire/icmpv6.ts';
import {
  IPV4_HEADER_LEN,
  IPV4_OFFSET_MASK,
  ipv4Fragment,
  ipv4HeaderLen,
  ipv4Protocol,
  ipv4Src,
  PROTOCOL_UDP,
} from '../../wire/ipv4.ts';
import { checkIpv6, IPV6_SRC, Ipv6Chain } from '../../wire/ipv6.ts';
import { isGroupMac, type Mac } from '../../wire/mac.ts';
import { MLD_DONE, MLD_REPORT, MLDV2_REPORT } from '../../wire/mld.ts';
import {
  NDP_TARGET,
  NEIGHBOR_ADVERTISEMENT,
  NEIGHBOR_SOLICITATION,
  ndpLinkLayerAddress,
  ndpOptions,
  nextNdpOption,
  ROUTER_SOLICITATION,
} from '../../wire/ndp.ts';
import { UDP_HEADER_LEN, udpDstPort } from '../../wire/udp.ts';
import {
  isGuestIpv4,
  isGuestIpv6,
  isIpv4Group,
  isIpv6LinkLocal,
  isOwnIpv4,
  isOwnIpv6,
  type OwnAddresses,
} from '../own-addresses.ts';
import type { AddressBindings } from './address-bindings.ts';
import type { AddressKind } from './address-key.ts';
import type { LinkAddresses } from './link-addresses.ts';
import { isAllowed } from './separation.ts';

const PROTOCOL_IGMP = 2;
const IPV6_HEADER_END = 54;

export type SourceDrop =
  | 'frame-bad-source'
  | 'ethernet-source-of-another'
  | 'ipv4-source-of-another'
  | 'ipv4-source-not-on-subnet'
  | 'ipv4-bad-source'
  | 'ipv6-source-of-another'
  | 'ipv6-bad-source'
  | 'arp-claims-our-address'
  | 'arp-claims-foreign-address'
  | 'ndp-bad-message'
  | 'ndp-claims-foreign-address';

/** The Ethernet source of the frame at hand is the `lastEthernet` of its link. */
export class SourceGuard {
  private readonly own: OwnAddresses;
  private readonly bindings: AddressBindings;
  private readonly chain = new Ipv6Chain();

  constructor(own: OwnAddresses, bindings: AddressBindings) {
    this.own = own;
    this.bindings = bindings;
  }

  /** The Ethernet source, which is not that of the frame before. */
  onEthernet(now: Instant, link: LinkAddresses, mac: Mac): SourceDrop | undefined {
    if (isGroupMac(mac) || mac === this.own.mac || mac === 0) return 'frame-bad-source';
    if (!this.claimEthernet(now, link, mac)) return 'ethernet-source-of-another';
    link.lastEthernet = mac;
    link.lastStation = this.bindings.stationOf(mac);
    return undefined;
  }

  /** @param len bytes of the frame */
  onIpv4(
    now: Instant,
    link: LinkAddresses,
    view: DataView,
    off: number,
    len: number,
  ): SourceDrop | undefined {
    const l3 = off + ETHERNET_HEADER_LEN;
    if (len < ETHERNET_HEADER_LEN + IPV4_HEADER_LEN) return undefined; // to be dropped as what it is
    const src = ipv4Src(view, l3);
    if (src === link.lastIpv4 && src !== 0) return undefined;
    if (src === 0) return maySendWithout(view, l3, off + len) ? undefined : 'ipv4-bad-source';
    const fault = this.ipv4Fault(link, src);
    if (fault !== undefined) return fault;
    if (!this.claimIpv4(now, link, src)) return 'ipv4-source-of-another';
    link.lastIpv4 = src;
    return undefined;
  }

  onArp(
    now: Instant,
    link: LinkAddresses,
    view: DataView,
    off: number,
    len: number,
  ): SourceDrop | undefined {
    const arp = off + ETHERNET_HEADER_LEN;
    if (checkArp(view, arp, len - ETHERNET_HEADER_LEN) !== undefined) return undefined;
    const { bindings } = this;
    const senderMac = arpSenderMac(view, arp);
    if (senderMac !== link.lastEthernet && !this.isOfLink(now, link, senderMac)) {
      return 'arp-claims-foreign-address';
    }
    const sender = arpSenderIp(view, arp);
    if (sender === 0) {
      const target = arpTargetIp(view, arp);
      if (this.ipv4Fault(link, target) !== undefined) return undefined;
      bindings.setIpv4(target);
      bindings.probe(now, link, this.kindOf(target), link.lastEthernet);
      return undefined;
    }
    if (isOwnIpv4(this.own.ipv4, sender)) return 'arp-claims-our-address';
    if (sender === link.lastIpv4) return undefined;
    if (this.ipv4Fault(link, sender) !== undefined) return 'arp-claims-foreign-address';
    return this.claimIpv4(now, link, sender) ? undefined : 'arp-claims-foreign-address';
  }

  onIpv6(
    now: Instant,
    link: LinkAddresses,
    view: DataView,
    off: number,
    len: number,
  ): SourceDrop | undefined {
    if (len < IPV6_HEADER_END) return undefined;
    const l3 = off + ETHERNET_HEADER_LEN;
    const at = l3 + IPV6_SRC;
    const a = view.getInt32(at);
    const b = view.getInt32(at + 4);
    const c = view.getInt32(at + 8);
    const d = view.getInt32(at + 12);
    if (
      d === link.lastIpv6d &&
      c === link.lastIpv6c &&
      b === link.lastIpv6b &&
      a === link.lastIpv6a &&
      a !== 0
    ) {
      return undefined;
    }
    if ((a | b | c | d) === 0) {
      return this.maySendWithoutIpv6(view, l3, len - ETHERNET_HEADER_LEN)
        ? undefined
        : 'ipv6-bad-source';
    }
    const { bindings } = this;
    bindings.readIpv6(view, at);
    if (!this.isPossibleIpv6(link)) return 'ipv6-bad-source';
    if (!bindings.claim(now, link, 'other', link.lastEthernet)) return 'ipv6-source-of-another';
    link.lastIpv6a = a;
    link.lastIpv6b = b;
    link.lastIpv6c = c;
    link.lastIpv6d = d;
    return undefined;
  }

  /**
   * What a whole message of Neighbor Discovery says of its sender.
   *
   * @param at of the ICMPv6 header, in `view`
   * @param isProbe it came from the unspecified address
   */
  onNdp(
    now: Instant,
    link: LinkAddresses,
    view: DataView,
    at: number,
    len: number,
    isProbe: boolean,
  ): SourceDrop | undefined {
    const type = icmpv6Type(view, at);
    const end = at + len;
    let option = ndpOptions(type, at, len);
    if (option < 0) return 'ndp-bad-message';
    while (option < end) {
      const next = nextNdpOption(view, option, end);
      if (next < 0) return 'ndp-bad-message';
      const linkLayer = ndpLinkLayerAddress(view, option);
      if (
        linkLayer >= 0 &&
        linkLayer !== link.lastEthernet &&
        !this.isOfLink(now, link, linkLayer)
      ) {
        return 'ndp-claims-foreign-address';
      }
      option = next;
    }
    const isAnswer = type === NEIGHBOR_ADVERTISEMENT;
    if (!isAnswer && !(isProbe && type === NEIGHBOR_SOLICITATION)) return undefined;
    const { bindings } = this;
    bindings.readIpv6(view, at + NDP_TARGET);
    const isPossible = this.isPossibleIpv6(link);
    if (!isAnswer) {
      if (isPossible) bindings.probe(now, link, 'other', link.lastEthernet);
      return undefined;
    }
    return isPossible && bindings.claim(now, link, 'other', link.lastEthernet)
      ? undefined
      : 'ndp-claims-foreign-address';
  }

  private claimEthernet(now: Instant, link: LinkAddresses, mac: Mac): boolean {
    return this.bindings.claim(now, link, 'ethernet', mac);
  }

  /** An address that a station of the link names as its own, and that is not the frame's source. */
  private isOfLink(now: Instant, link: LinkAddresses, mac: Mac): boolean {
    if (isGroupMac(mac) || mac === this.own.mac || mac === 0) return false;
    return this.claimEthernet(now, link, mac);
  }

  private claimIpv4(now: Instant, link: LinkAddresses, word: number): boolean {
    this.bindings.setIpv4(word);
    return this.bindings.claim(now, link, this.kindOf(word), link.lastEthernet);
  }

  /** Why no guest on `link` has this address. */
  private ipv4Fault(link: LinkAddresses, word: number): SourceDrop | undefined {
    const { ipv4 } = this.own;
    if (isGuestIpv4(ipv4, word)) return undefined;
    if ((word & ipv4.mask) === ipv4.base) return 'ipv4-source-not-on-subnet';
    if (isIpv4Group(ipv4, word) || isUnusableIpv4(word)) return 'ipv4-bad-source';
    if (isPrivateIpv4(word)) return undefined;
    this.bindings.setIpv4(word);
    return isAllowed(link.allowed, this.bindings.key) ? undefined : 'ipv4-source-not-on-subnet';
  }

  /** Whether a guest on `link` can have the address in the key of the bindings. */
  private isPossibleIpv6({ allowed }: LinkAddresses): boolean {
    const { key } = this.bindings;
    const { ipv6 } = this.own;
    if (ipv6 !== undefined) {
      if (isOwnIpv6(ipv6, key, 0)) return false;
      if (isGuestIpv6(ipv6, key, 0)) return true;
    }
    return isIpv6OfSegment(key) || isAllowed(allowed, key);
  }

  private kindOf(word: number): AddressKind {
    const { base, mask } = this.own.ipv4;
    return (word & mask) === base ? 'subnet' : 'other';
  }

  private maySendWithoutIpv6(view: DataView, l3: number, avail: number): boolean {
    const { chain } = this;
    if (checkIpv6(view, l3, avail) !== undefined || chain.walk(view, l3) !== undefined)
      return false;
    if (chain.isFragment || chain.protocol !== PROTOCOL_ICMPV6 || chain.upperLen === 0)
      return false;
    switch (icmpv6Type(view, chain.upperOff)) {
      case NEIGHBOR_SOLICITATION:
      case ROUTER_SOLICITATION:
      case MLD_REPORT:
      case MLD_DONE:
      case MLDV2_REPORT:
        return true;
      default:
        return false;
    }
  }
}

/** DHCP clients (RFC 2131 §4.1) and members of groups (RFC 3376 §4.2.13) have no address yet. */
function maySendWithout(view: DataView, l3: number, end: number): boolean {
  const protocol = ipv4Protocol(view, l3);
  if (protocol === PROTOCOL_IGMP) return true;
  if (protocol !== PROTOCOL_UDP || (ipv4Fragment(view, l3) & IPV4_OFFSET_MASK) !== 0) return false;
  const l4 = l3 + ipv4HeaderLen(view, l3);
  return l4 + UDP_HEADER_LEN <= end && udpDstPort(view, l4) === DHCP_SERVER_PORT;
}

/** "This network", loopback, and what is above the groups. */
const isUnusableIpv4 = (word: number): boolean => {
  const first = word >>> 24;
  return first === 0 || first === 127 || first >= 224;
};

/** RFC 1918, RFC 6598, RFC 3927, RFC 2544: what a segment may have beside its subnet. */
function isPrivateIpv4(word: number): boolean {
  const unsigned = word >>> 0;
  const second = unsigned >>> 16;
  return (
    unsigned >>> 24 === 10 ||
    unsigned >>> 20 === 0xac1 ||
    second === 0xc0a8 ||
    unsigned >>> 22 === 0x191 ||
    second === 0xa9fe ||
    unsigned >>> 17 === 0x6309
  );
}

/** Link-local and unique local unicast: what a segment may have beside its prefix. No address that carries one of IPv4 is. */
function isIpv6OfSegment(key: Int32Array): boolean {
  const a = wordAt(key, 0);
  return a >>> 25 === 0x7e || isIpv6LinkLocal(a);
}
