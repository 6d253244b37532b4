/**
 * ICMP from the guest (RFC 792, RFC 1122 §3.2.2): echo for the gateway's own address is answered, unless those above
 * decide on it, echo requests to others are handed upward, errors about our segments go to the TCP layer.
 */
import type { Counters } from '../../base/counters.ts';
import {
  KEY_GUEST,
  KEY_REMOTE,
  keyRemote,
  makeKey,
  setKeyAddress,
  setKeyPorts,
} from '../../base/flow-key.ts';
import { ipv4 } from '../../base/ip-address.ts';
import { seq } from '../../base/seq.ts';
import type { Instant } from '../../base/time.ts';
import {
  checkIcmp,
  echoIdentifier,
  echoSequence,
  ICMP_ECHO,
  ICMP_HEADER_LEN,
  ICMP_UNREACHABLE,
  icmpCode,
  icmpNextHopMtu,
  icmpType,
  UNREACHABLE_NEEDS_FRAGMENTATION,
  UNREACHABLE_PORT,
} from '../../wire/icmpv4.ts';
import {
  IPV4_HEADER_LEN,
  ipv4Dst,
  ipv4HeaderLen,
  ipv4Protocol,
  ipv4Src,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../../wire/ipv4.ts';
import { UDP_HEADER_LEN, udpQuotedLen } from '../../wire/udp.ts';
import type { StackDrop } from '../drops.ts';
import type { Upstream } from '../flow.ts';
import type { Packet } from '../packet.ts';
import type { TcpErrorSink } from '../path-errors.ts';
import type { Icmpv4Output } from './icmp-output.ts';

/** Of the quoted upper layer: ports and sequence number (RFC 792). */
const MIN_QUOTED_L4 = 8;

/**
 * Errors that may pass (RFC 1122 §4.2.3.9): network, host, source route. With them what newer codes say of a type of
 * service (RFC 1812 §5.2.7.1).
 */
const SOFT_CODES: readonly number[] = [0, 1, 5, 11, 12];

export class IcmpInput {
  private readonly output: Icmpv4Output;
  private readonly drops: Counters<StackDrop>;
  private readonly tcp: TcpErrorSink;
  private readonly upstream: Upstream;
  private readonly key = makeKey();

  constructor(
    output: Icmpv4Output,
    drops: Counters<StackDrop>,
    tcp: TcpErrorSink,
    upstream: Upstream,
  ) {
    this.output = output;
    this.drops = drops;
    this.tcp = tcp;
    this.upstream = upstream;
  }

  onPacket(now: Instant, packet: Packet, toGateway: boolean): void {
    const { view } = packet.slab;
    const { l4Off, l4Len, neighbor } = packet;
    const fault = checkIcmp(view, l4Off, l4Len);
    if (fault !== undefined) {
      this.drops.add(fault);
      return;
    }
    const type = icmpType(view, l4Off);
    if (type === ICMP_UNREACHABLE) {
      this.onUnreachable(now, packet);
      return;
    }
    if (type !== ICMP_ECHO || packet.group || neighbor === undefined) {
      this.drops.add('icmp-not-for-us');
      return;
    }
    packet.identifier = echoIdentifier(view, l4Off);
    packet.sequence = echoSequence(view, l4Off);
    packet.off = l4Off + ICMP_HEADER_LEN;
    packet.len = l4Len - ICMP_HEADER_LEN;
    if (!toGateway || this.upstream.decidesPings?.() === true) {
      this.upstream.onEcho(now, packet);
      return;
    }
    const from = keyRemote(packet.key);
    this.output.reply(neighbor, from, packet, packet.slab.bytes, packet.off, packet.len);
  }

  private onUnreachable(now: Instant, { slab, l4Off: off, l4Len: len, neighbor }: Packet): void {
    const { view } = slab;
    const quote = off + ICMP_HEADER_LEN;
    const quoteLen = len - ICMP_HEADER_LEN;
    if (quoteLen < IPV4_HEADER_LEN || view.getUint8(quote) >>> 4 !== 4) {
      this.drops.add('icmp-truncated');
      return;
    }
    const headerLen = ipv4HeaderLen(view, quote);
    if (headerLen < IPV4_HEADER_LEN || quoteLen < headerLen + MIN_QUOTED_L4) {
      this.drops.add('icmp-truncated');
      return;
    }
    const protocol = ipv4Protocol(view, quote);
    const code = icmpCode(view, off);
    const isPort = protocol === PROTOCOL_UDP && code === UNREACHABLE_PORT;
    if (protocol !== PROTOCOL_TCP && !isPort) {
      this.drops.add('icmp-not-for-us');
      return;
    }
    // The quoted packet is ours: its source is the remote side of the flow.
    const l4 = quote + headerLen;
    const { key } = this;
    setKeyAddress(key, KEY_GUEST, ipv4(ipv4Dst(view, quote)));
    setKeyAddress(key, KEY_REMOTE, ipv4(ipv4Src(view, quote)));
    setKeyPorts(key, view.getUint16(l4 + 2), view.getUint16(l4));
    if (neighbor === undefined) return;
    if (isPort) {
      const payload = udpQuotedLen(view, l4, quote + quoteLen - l4);
      const at = l4 + UDP_HEADER_LEN;
      this.upstream.onDatagramRefused?.(now, neighbor.guest, key, slab, at, payload);
      return;
    }
    const quotedSeq = seq(view.getInt32(l4 + 4));
    if (code === UNREACHABLE_NEEDS_FRAGMENTATION) {
      this.tcp.onPathMtu(now, neighbor.guest, key, quotedSeq, icmpNextHopMtu(view, off));
    } else {
      this.tcp.onUnreachable(neighbor.guest, key, quotedSeq, !SOFT_CODES.includes(code));
    }
  }
}
