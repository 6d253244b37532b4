/**
 * ICMPv6 from the guest (RFC 4443): Neighbor Discovery, echo for the gateway's own addresses, echo requests to others,
 * which are handed upward, and errors about what was sent.
 */
import type { Counters } from '../../base/counters.ts';
import { KEY_GUEST, KEY_REMOTE, keyRemote, makeKey, setKeyPorts } from '../../base/flow-key.ts';
import { seq } from '../../base/seq.ts';
import type { Instant } from '../../base/time.ts';
import { wordAt } from '../../base/word-at.ts';
import {
  checkIcmpv6,
  echo6Identifier,
  echo6Sequence,
  ICMPV6_ECHO,
  ICMPV6_ECHO_REPLY,
  ICMPV6_HEADER_LEN,
  ICMPV6_TOO_BIG,
  ICMPV6_UNREACHABLE,
  icmpv6Code,
  icmpv6Mtu,
  icmpv6Type,
  PROTOCOL_ICMPV6,
  UNREACHABLE6_ADDRESS,
  UNREACHABLE6_BEYOND_SCOPE,
  UNREACHABLE6_NO_ROUTE,
  UNREACHABLE6_PORT,
} from '../../wire/icmpv6.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../wire/ipv4.ts';
import {
  IPV6_DST,
  IPV6_FRAGMENT_LEN,
  IPV6_HEADER_LEN,
  IPV6_MIN_MTU,
  IPV6_SRC,
  ipv6FlowLabel,
  ipv6FragmentOffset,
  ipv6NextHeader,
  PROTOCOL_FRAGMENT,
} from '../../wire/ipv6.ts';
import { isMld } from '../../wire/mld.ts';
import { isNdp } from '../../wire/ndp.ts';
import { UDP_HEADER_LEN, udpDstPort, udpQuotedLen, udpSrcPort } from '../../wire/udp.ts';
import type { StackDrop } from '../drops.ts';
import type { Upstream } from '../flow.ts';
import type { IpOutput } from '../ip-output.ts';
import type { LinkPort } from '../link-port.ts';
import type { Packet } from '../packet.ts';
import type { TcpErrorSink } from '../path-errors.ts';
import type { Icmpv6Output } from './icmp-output.ts';
import type { MldLayer } from './mld.ts';
import type { NdpLayer } from './ndp.ts';

/** ff02::/32 */
const ALL_OF_LINK = 0xff02_0000 | 0;
/** Of the quoted upper layer: ports and sequence number. */
const MIN_QUOTED_L4 = 8;

/** Errors that may pass, as for IPv4 (RFC 1122 §4.2.3.9, RFC 5461 §2.1). */
const SOFT_CODES: readonly number[] = [
  UNREACHABLE6_NO_ROUTE,
  UNREACHABLE6_BEYOND_SCOPE,
  UNREACHABLE6_ADDRESS,
];

export interface Icmpv6InputDeps {
  readonly output: Icmpv6Output;
  readonly out: Pick<IpOutput, 'flowLabel'>;
  readonly ndp: NdpLayer;
  readonly mld: MldLayer;
  readonly tcp: TcpErrorSink;
  readonly upstream: Upstream;
  readonly drops: Counters<StackDrop>;
}

export class Icmpv6Input {
  private readonly deps: Icmpv6InputDeps;
  private readonly key = makeKey();

  constructor(deps: Icmpv6InputDeps) {
    this.deps = deps;
  }

  /** @param isWhole it came in no fragments */
  onPacket(
    now: Instant,
    packet: Packet,
    port: LinkPort,
    toGateway: boolean,
    isWhole: boolean,
  ): void {
    const { drops, ndp, mld, upstream } = this.deps;
    const { l4Off, l4Len, slab } = packet;
    const { view } = slab;
    const fault = checkIcmpv6(view, l4Off, l4Len, packet.addressSum);
    if (fault !== undefined) {
      drops.add(fault);
      return;
    }
    const type = icmpv6Type(view, l4Off);
    if (isNdp(type)) {
      if (isWhole) ndp.onMessage(now, packet, port, type);
      else drops.add('ndp-fragmented');
      return;
    }
    if (isMld(type)) {
      mld.onMessage(packet, port, type);
      return;
    }
    if (l4Len < ICMPV6_HEADER_LEN) {
      drops.add('icmpv6-truncated');
      return;
    }
    if (type === ICMPV6_TOO_BIG || type === ICMPV6_UNREACHABLE) {
      this.onError(now, packet, type);
      return;
    }
    const { neighbor } = packet;
    const { group, key } = packet;
    if (type !== ICMPV6_ECHO || neighbor === undefined || (group && !isToAll(key))) {
      drops.add('icmp-not-for-us');
      return;
    }
    packet.identifier = echo6Identifier(view, l4Off);
    packet.sequence = echo6Sequence(view, l4Off);
    packet.off = l4Off + ICMPV6_HEADER_LEN;
    packet.len = l4Len - ICMPV6_HEADER_LEN;
    if (!group && (!toGateway || upstream.decidesPings?.() === true)) {
      upstream.onEcho(now, packet);
      return;
    }
    const { off, len } = packet;
    const { output } = this.deps;
    const from = group ? output.routerOf(neighbor) : keyRemote(key);
    output.reply(neighbor, from, packet, slab.bytes, off, len);
  }

  /** About a packet of ours: it had no extension headers but that of a fragment. */
  private onError(now: Instant, { slab, l4Off, l4Len, neighbor }: Packet, type: number): void {
    const { drops, tcp, upstream } = this.deps;
    const { view } = slab;
    const quote = l4Off + ICMPV6_HEADER_LEN;
    if (l4Len < ICMPV6_HEADER_LEN + IPV6_HEADER_LEN + MIN_QUOTED_L4) {
      drops.add('icmpv6-truncated');
      return;
    }
    const mtu = icmpv6Mtu(view, l4Off);
    if (type === ICMPV6_TOO_BIG && mtu < IPV6_MIN_MTU) {
      drops.add('icmpv6-mtu-too-small'); // RFC 8201 §4
      return;
    }
    if (neighbor === undefined) return;
    const { guest } = neighbor;
    const protocol = ipv6NextHeader(view, quote);
    const { key } = this;
    // The quoted packet is ours: its source is the remote side of the flow.
    for (let i = 0; i < 4; i++) {
      key[KEY_GUEST + i] = view.getInt32(quote + IPV6_DST + 4 * i);
      key[KEY_REMOTE + i] = view.getInt32(quote + IPV6_SRC + 4 * i);
    }
    const l4 = quote + IPV6_HEADER_LEN;
    setKeyPorts(key, view.getUint16(l4 + 2), view.getUint16(l4));
    if (protocol === PROTOCOL_TCP) {
      const quotedSeq = seq(view.getInt32(l4 + 4));
      if (type === ICMPV6_TOO_BIG) tcp.onPathMtu(now, guest, key, quotedSeq, mtu);
      else tcp.onUnreachable(guest, key, quotedSeq, !SOFT_CODES.includes(icmpv6Code(view, l4Off)));
      return;
    }
    const isPort = type === ICMPV6_UNREACHABLE && icmpv6Code(view, l4Off) === UNREACHABLE6_PORT;
    if (isPort && protocol === PROTOCOL_UDP) {
      const len = udpQuotedLen(view, l4, l4Off + l4Len - l4);
      upstream.onDatagramRefused?.(now, guest, key, slab, l4 + UDP_HEADER_LEN, len);
      return;
    }
    // A guest may say of itself what it takes; nobody else speaks for it.
    if (
      type === ICMPV6_TOO_BIG &&
      neighbor.isAt(key, KEY_GUEST) &&
      ipv6FlowLabel(view, quote) === this.labelOf(view, protocol, l4, l4Off + l4Len)
    ) {
      neighbor.pathMtu = Math.min(neighbor.pathMtu, mtu);
      return;
    }
    drops.add('icmp-not-for-us');
  }

  /**
   * The label of a datagram or an echo reply of which a quote begins at `at`: who has it was sent one of that flow.
   *
   * @returns -1: it is of none, or the quote does not say which
   */
  private labelOf(view: DataView, protocol: number, at: number, end: number): number {
    const { out } = this.deps;
    if (at + MIN_QUOTED_L4 > end) return -1;
    if (protocol === PROTOCOL_FRAGMENT) {
      const next = view.getUint8(at);
      const isFirst = ipv6FragmentOffset(view, at) === 0 && next !== PROTOCOL_FRAGMENT;
      return isFirst ? this.labelOf(view, next, at + IPV6_FRAGMENT_LEN, end) : -1;
    }
    const remote = keyRemote(this.key);
    if (protocol === PROTOCOL_UDP) {
      return out.flowLabel(remote, udpDstPort(view, at), udpSrcPort(view, at));
    }
    const isReply = protocol === PROTOCOL_ICMPV6 && icmpv6Type(view, at) === ICMPV6_ECHO_REPLY;
    return isReply ? out.flowLabel(remote, echo6Identifier(view, at), 0) : -1;
  }
}

/** To all nodes of the link, or all its routers (RFC 4443 §4.2). */
const isToAll = (key: Int32Array): boolean =>
  key[KEY_REMOTE] === ALL_OF_LINK &&
  (wordAt(key, KEY_REMOTE + 1) | wordAt(key, KEY_REMOTE + 2)) === 0 &&
  (key[KEY_REMOTE + 3] === 1 || key[KEY_REMOTE + 3] === 2);
