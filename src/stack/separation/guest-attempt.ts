/**
 * What a guest wants of another, read from a frame: for lists of what is denied. A kernel that finds no neighbour sends
 * nothing but the question for it, which is an attempt of a protocol that nobody knows.
 */
import { makeKey } from '../../base/flow-key.ts';
import { ARP_REQUEST, arpOperation, arpSenderIp, arpTargetIp, checkArp } from '../../wire/arp.ts';
import {
  ETHERNET_HEADER_LEN,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  etherType,
} from '../../wire/ethernet.ts';
import { ICMP_ECHO } from '../../wire/icmpv4.ts';
import { ICMPV6_ECHO, icmpv6Type, PROTOCOL_ICMPV6 } from '../../wire/icmpv6.ts';
import {
  IPV4_HEADER_LEN,
  IPV4_OFFSET_MASK,
  ipv4Dst,
  ipv4Fragment,
  ipv4HeaderLen,
  ipv4Protocol,
  ipv4TotalLength,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../../wire/ipv4.ts';
import { checkIpv6, IPV6_DST, IPV6_SRC, Ipv6Chain } from '../../wire/ipv6.ts';
import { NDP_TARGET, NEIGHBOR_MESSAGE_MIN, NEIGHBOR_SOLICITATION } from '../../wire/ndp.ts';
import { ACK, SYN, TCP_HEADER_LEN, tcpDstPort, tcpFlags } from '../../wire/tcp.ts';
import { UDP_HEADER_LEN, udpDstPort } from '../../wire/udp.ts';
import type { Frame } from '../frame.ts';
import { isUnspecifiedIpv6, readIpv6Key, setIpv4Key } from './address-key.ts';

/** - `ip`: the other's Ethernet address was asked for, or it is another protocol */
export type AttemptProtocol = 'tcp' | 'udp' | 'icmp' | 'ip';

/** One record, filled anew by each frame. */
export interface GuestAttempt {
  protocol: AttemptProtocol;
  /** 0 of what has none. */
  port: number;
  /** Of the address, as in `address-key.ts`. */
  readonly words: Int32Array;
}

export class AttemptReader {
  private readonly attempt: GuestAttempt = { protocol: 'ip', port: 0, words: makeKey() };
  private readonly chain = new Ipv6Chain();

  /**
   * @param isToOne it is for one station: not to a group, where nothing but questions for a neighbour are attempts
   * @returns undefined: it begins nothing, or cannot be read
   */
  read({ slab: { view }, off, len }: Frame, isToOne: boolean): Readonly<GuestAttempt> | undefined {
    const l3 = off + ETHERNET_HEADER_LEN;
    const avail = len - ETHERNET_HEADER_LEN;
    switch (etherType(view, off)) {
      case ETHERTYPE_ARP:
        return this.readArp(view, l3, avail);
      case ETHERTYPE_IPV4:
        return isToOne ? this.readIpv4(view, l3, avail) : undefined;
      case ETHERTYPE_IPV6:
        return this.readIpv6(view, l3, avail, isToOne);
      default:
        return undefined;
    }
  }

  /** Not of probes and announcements (RFC 5227), which are of the guest's own address. */
  private readArp(view: DataView, l3: number, avail: number): GuestAttempt | undefined {
    if (checkArp(view, l3, avail) !== undefined || arpOperation(view, l3) !== ARP_REQUEST) {
      return undefined;
    }
    const [sender, target] = [arpSenderIp(view, l3), arpTargetIp(view, l3)];
    if (sender === 0 || sender === target) return undefined;
    setIpv4Key(this.attempt.words, target);
    return this.of('ip', 0);
  }

  private readIpv4(view: DataView, l3: number, avail: number): GuestAttempt | undefined {
    if (avail < IPV4_HEADER_LEN || (ipv4Fragment(view, l3) & IPV4_OFFSET_MASK) !== 0) {
      return undefined;
    }
    const headerLen = ipv4HeaderLen(view, l3);
    const left = Math.min(ipv4TotalLength(view, l3), avail) - headerLen;
    if (headerLen < IPV4_HEADER_LEN || left < 0) return undefined;
    setIpv4Key(this.attempt.words, ipv4Dst(view, l3));
    const protocol = ipv4Protocol(view, l3);
    if (protocol !== PROTOCOL_ICMP) return this.ofUpper(view, protocol, l3 + headerLen, left);
    const isEcho = left > 0 && view.getUint8(l3 + headerLen) === ICMP_ECHO;
    return isEcho ? this.of('icmp', 0) : undefined;
  }

  private readIpv6(
    view: DataView,
    l3: number,
    avail: number,
    isToOne: boolean,
  ): GuestAttempt | undefined {
    const { chain, attempt } = this;
    if (checkIpv6(view, l3, avail) !== undefined || chain.walk(view, l3) !== undefined) {
      return undefined;
    }
    if (chain.isLaterFragment || chain.isUpperCut) return undefined;
    const { protocol, upperOff, upperLen } = chain;
    if (protocol === PROTOCOL_ICMPV6) {
      const type = icmpv6Type(view, upperOff);
      if (type === NEIGHBOR_SOLICITATION) return this.readSolicitation(view, l3, upperLen);
      if (type !== ICMPV6_ECHO) return undefined;
    }
    if (!isToOne) return undefined;
    readIpv6Key(attempt.words, view, l3 + IPV6_DST);
    if (protocol === PROTOCOL_ICMPV6) return this.of('icmp', 0);
    return this.ofUpper(view, protocol, upperOff, upperLen);
  }

  /** Not one that asks whether its own address is another's (RFC 4862 §5.4.2). */
  private readSolicitation(view: DataView, l3: number, len: number): GuestAttempt | undefined {
    if (len < NEIGHBOR_MESSAGE_MIN || isUnspecifiedIpv6(view, l3 + IPV6_SRC)) return undefined;
    readIpv6Key(this.attempt.words, view, this.chain.upperOff + NDP_TARGET);
    return this.of('ip', 0);
  }

  /** Of TCP what opens a connection: the answers of a server are none. */
  private ofUpper(
    view: DataView,
    protocol: number,
    off: number,
    len: number,
  ): GuestAttempt | undefined {
    switch (protocol) {
      case PROTOCOL_TCP:
        if (len < TCP_HEADER_LEN || (tcpFlags(view, off) & (SYN | ACK)) !== SYN) return undefined;
        return this.of('tcp', tcpDstPort(view, off));
      case PROTOCOL_UDP:
        return len < UDP_HEADER_LEN ? undefined : this.of('udp', udpDstPort(view, off));
      default:
        return this.of('ip', 0);
    }
  }

  private of(protocol: AttemptProtocol, port: number): GuestAttempt {
    this.attempt.protocol = protocol;
    this.attempt.port = port;
    return this.attempt;
  }
}
