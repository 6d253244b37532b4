/**
 * What may pass from guest to guest: ARP and IP in plain Ethernet frames, with every header in reach, and nothing that
 * only the gateway sends: DHCP answers, router advertisements and redirects (RFC 7610, RFC 6105, RFC 7113).
 *
 * Frames with VLAN tags, priority tags (VLAN 0) and LLC/SNAP headers do not pass: guests' kernels unwrap some of them,
 * so that whatever stands here would be evaded (CVE-2021-27853, CVE-2021-27861).
 */
import type { Instant } from '../../base/time.ts';
import { checkArp } from '../../wire/arp.ts';
import { DHCP_CLIENT_PORT, DHCP_SERVER_PORT } from '../../wire/dhcp.ts';
import {
  ETHERNET_HEADER_LEN,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
} from '../../wire/ethernet.ts';
import { ICMPV6_HEADER_LEN, icmpv6Type, PROTOCOL_ICMPV6 } from '../../wire/icmpv6.ts';
import {
  IPV4_HEADER_LEN,
  IPV4_MF,
  IPV4_OFFSET_MASK,
  ipv4Fragment,
  ipv4HeaderLen,
  ipv4Protocol,
  ipv4TotalLength,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../../wire/ipv4.ts';
import { checkIpv6, IPV6_SRC, Ipv6Chain, type Ipv6Drop, ipv6HopLimit } from '../../wire/ipv6.ts';
import { isNdp, NDP_HOP_LIMIT, REDIRECT, ROUTER_ADVERTISEMENT } from '../../wire/ndp.ts';
import { UDP_HEADER_LEN, udpDstPort, udpSrcPort } from '../../wire/udp.ts';
import { isUnspecifiedIpv6 } from './address-key.ts';
import type { LinkAddresses } from './link-addresses.ts';
import type { SourceDrop, SourceGuard } from './source-guard.ts';

const ICMP_REDIRECT = 5;
const ICMP_ROUTER_ADVERTISEMENT = 9;
const ICMP_HEADER_LEN = 8;
const DHCPV6_CLIENT_PORT = 546;
const DHCPV6_SERVER_PORT = 547;

export type PassageDrop =
  | SourceDrop
  | Ipv6Drop
  | 'guest-isolated'
  | 'guest-not-ip'
  | 'guest-malformed'
  | 'guest-incomplete-headers'
  | 'guest-dhcp-answer'
  | 'guest-router-advertisement'
  | 'guest-redirect'
  | 'guest-fragmented-ndp'
  | 'guest-bad-hop-limit';

export class Passage {
  private readonly sources: SourceGuard;
  private readonly chain = new Ipv6Chain();

  constructor(sources: SourceGuard) {
    this.sources = sources;
  }

  /**
   * Whether a frame of `link`, whose sources are its own, may go to another guest.
   *
   * @param type of the frame
   * @returns why not
   */
  fault(
    now: Instant,
    link: LinkAddresses,
    view: DataView,
    off: number,
    len: number,
    type: number,
  ): PassageDrop | undefined {
    const l3 = off + ETHERNET_HEADER_LEN;
    const avail = len - ETHERNET_HEADER_LEN;
    switch (type) {
      case ETHERTYPE_IPV4:
        return ipv4Fault(view, l3, avail);
      case ETHERTYPE_IPV6:
        return this.ipv6Fault(now, link, view, l3, avail);
      case ETHERTYPE_ARP:
        return checkArp(view, l3, avail) === undefined ? undefined : 'guest-malformed';
      default:
        return 'guest-not-ip';
    }
  }

  private ipv6Fault(
    now: Instant,
    link: LinkAddresses,
    view: DataView,
    l3: number,
    avail: number,
  ): PassageDrop | undefined {
    const { chain } = this;
    const fault = checkIpv6(view, l3, avail) ?? chain.walk(view, l3);
    if (fault !== undefined) return fault;
    if (chain.isLaterFragment) return undefined;
    const { protocol, upperOff, upperLen, isFragment } = chain;
    if (protocol === PROTOCOL_UDP) {
      if (upperLen < UDP_HEADER_LEN) return 'guest-incomplete-headers';
      const isAnswer =
        udpDstPort(view, upperOff) === DHCPV6_CLIENT_PORT ||
        udpSrcPort(view, upperOff) === DHCPV6_SERVER_PORT;
      return isAnswer ? 'guest-dhcp-answer' : undefined;
    }
    if (protocol !== PROTOCOL_ICMPV6) return undefined;
    if (upperLen < ICMPV6_HEADER_LEN) return 'guest-incomplete-headers';
    const type = icmpv6Type(view, upperOff);
    if (!isNdp(type)) return undefined;
    if (type === ROUTER_ADVERTISEMENT) return 'guest-router-advertisement';
    if (type === REDIRECT) return 'guest-redirect';
    if (isFragment) return 'guest-fragmented-ndp'; // RFC 6980 §5
    if (ipv6HopLimit(view, l3) !== NDP_HOP_LIMIT) return 'guest-bad-hop-limit';
    const isProbe = isUnspecifiedIpv6(view, l3 + IPV6_SRC);
    return this.sources.onNdp(now, link, view, upperOff, upperLen, isProbe);
  }
}

function ipv4Fault(view: DataView, l3: number, avail: number): PassageDrop | undefined {
  if (avail < IPV4_HEADER_LEN || view.getUint8(l3) >>> 4 !== 4) return 'guest-malformed';
  const headerLen = ipv4HeaderLen(view, l3);
  const total = ipv4TotalLength(view, l3);
  if (headerLen < IPV4_HEADER_LEN || total < headerLen || total > avail) return 'guest-malformed';
  const protocol = ipv4Protocol(view, l3);
  if (protocol === PROTOCOL_TCP) return undefined;
  const fragment = ipv4Fragment(view, l3);
  if ((fragment & IPV4_OFFSET_MASK) !== 0) return undefined;
  const l4 = l3 + headerLen;
  const l4Len = total - headerLen;
  const short = (fragment & IPV4_MF) === 0 ? 'guest-malformed' : 'guest-incomplete-headers';
  if (protocol === PROTOCOL_UDP) {
    if (l4Len < UDP_HEADER_LEN) return short;
    const isAnswer =
      udpDstPort(view, l4) === DHCP_CLIENT_PORT || udpSrcPort(view, l4) === DHCP_SERVER_PORT;
    return isAnswer ? 'guest-dhcp-answer' : undefined;
  }
  if (protocol !== PROTOCOL_ICMP) return undefined;
  if (l4Len < ICMP_HEADER_LEN) return short;
  const type = view.getUint8(l4);
  if (type === ICMP_REDIRECT) return 'guest-redirect';
  return type === ICMP_ROUTER_ADVERTISEMENT ? 'guest-router-advertisement' : undefined;
}
