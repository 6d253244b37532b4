/**
 * IPv6 input: check, learn the sender, go through the extension headers, reassemble, and fill the shared `Packet` for the
 * layer above.
 */
import type { Counters } from '../../base/counters.ts';
import { KEY_GUEST, KEY_REMOTE } from '../../base/flow-key.ts';
import { addressFromWords, V4_MAPPED } from '../../base/ip-address.ts';
import type { Slab } from '../../base/slab.ts';
import type { Instant } from '../../base/time.ts';
import { wordAt } from '../../base/word-at.ts';
import { pseudoAddressSum } from '../../wire/checksum.ts';
import { ETHERNET_DST, ETHERNET_HEADER_LEN, ETHERNET_SRC } from '../../wire/ethernet.ts';
import {
  ICMPV6_PARAMETER_PROBLEM,
  ICMPV6_TIME_EXCEEDED,
  ICMPV6_TOO_BIG,
  ICMPV6_UNREACHABLE,
  PROBLEM_FIELD,
  PROBLEM_INCOMPLETE_HEADERS,
  PROBLEM_NEXT_HEADER,
  PROTOCOL_ICMPV6,
  TIME_EXCEEDED6_HOP_LIMIT,
  TIME_EXCEEDED6_REASSEMBLY,
  UNREACHABLE6_BEYOND_SCOPE,
} from '../../wire/icmpv6.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../wire/ipv4.ts';
import {
  checkIpv6,
  IPV6_DST,
  IPV6_FRAGMENT_LEN,
  IPV6_HEADER_LEN,
  IPV6_MAX_PAYLOAD,
  IPV6_PAYLOAD_LENGTH,
  IPV6_SRC,
  Ipv6Chain,
  ipv6FragmentId,
  ipv6FragmentMore,
  ipv6FragmentOffset,
  ipv6HopLimit,
  ipv6NextHeader,
  ipv6PayloadLength,
  PROTOCOL_FRAGMENT,
  setIpv6Whole,
} from '../../wire/ipv6.ts';
import { isGroupMac, readMac } from '../../wire/mac.ts';
import { UDP_HEADER_LEN, udpChecksum } from '../../wire/udp.ts';
import type { StackDrop } from '../drops.ts';
import type { Frame } from '../frame.ts';
import type { IpOutput } from '../ip-output.ts';
import type { LinkPort } from '../link-port.ts';
import type { Neighbor, NeighborTable } from '../neighbor.ts';
import {
  isAddressAt,
  isGatewayIpv6,
  isGuestIpv6,
  isIpv6Group,
  isIpv6LinkLocal,
  isOwnIpv6,
  type OwnIpv6,
} from '../own-addresses.ts';
import type { Packet } from '../packet.ts';
import { Fragment, type Reassembler, type Whole } from '../reassembly.ts';
import type { AddressBindings } from '../separation/address-bindings.ts';
import type { UpperLayers } from '../upper-layers.ts';
import { ExtensionHeaders } from './extension-headers.ts';
import type { Icmpv6Input } from './icmp-input.ts';
import type { Icmpv6Output } from './icmp-output.ts';
import type { Ipv6Relay } from './relay.ts';

export interface Ipv6InputDeps {
  readonly own: OwnIpv6;
  readonly mtu: number;
  readonly verifyChecksums: boolean;
  readonly neighbors: NeighborTable;
  readonly bindings: AddressBindings;
  readonly out: IpOutput;
  readonly icmp: Icmpv6Output;
  readonly icmpInput: Icmpv6Input;
  readonly relay: Ipv6Relay;
  readonly reassembler: Reassembler;
  readonly drops: Counters<StackDrop>;
  /** Reused for each packet; shared with input of other families. */
  readonly packet: Packet;
  readonly upper: UpperLayers;
}

export class Ipv6Input {
  private readonly deps: Ipv6InputDeps;
  private readonly headers = new ExtensionHeaders();
  private readonly chain = new Ipv6Chain();
  private readonly fragment = new Fragment();
  /** The sender of the last packet: nearly always the sender of the next. */
  private last: Neighbor | undefined = undefined;

  constructor(deps: Ipv6InputDeps) {
    this.deps = deps;
    this.fragment.headerLen = IPV6_HEADER_LEN;
    this.fragment.maxPayload = IPV6_MAX_PAYLOAD;
  }

  onFrame(now: Instant, port: LinkPort, frame: Frame): void {
    const { packet, drops, mtu } = this.deps;
    const { slab, off, len } = frame;
    const { view } = slab;
    const l3 = off + ETHERNET_HEADER_LEN;
    const fault = checkIpv6(view, l3, len - ETHERNET_HEADER_LEN);
    if (fault !== undefined) {
      drops.add(fault);
      return;
    }
    if (!this.fillAddresses(now, port, slab, l3, readMac(view, off + ETHERNET_SRC))) return;
    // RFC 4443 §2.4 (e.4), RFC 8200 §5: nothing that came to a group of stations is forwarded, or answered by an error.
    if (isGroupMac(readMac(view, off + ETHERNET_DST))) packet.group = true;
    const other = this.otherGuest(now);
    const isTooBig = frame.gsoSize === 0 && IPV6_HEADER_LEN + ipv6PayloadLength(view, l3) > mtu;
    if (isTooBig && (other !== undefined || port.writer.takesLarge !== true)) {
      drops.add('ipv6-too-big');
      this.sendTooBig(view, l3);
      return;
    }
    if (other === undefined) this.onHeaders(now, port, frame.checksum !== 'unknown', false);
    else if (other.port !== undefined) this.deps.relay.send(now, port, frame, other);
    else {
      drops.add('out-no-link');
      this.deps.out.reachability.onUnresolved(other);
    }
  }

  /** A packet of `port` is longer than what the guest that it is for takes. */
  onTooBig(now: Instant, port: LinkPort, frame: Frame): void {
    const { slab, off, len } = frame;
    const { view } = slab;
    const l3 = off + ETHERNET_HEADER_LEN;
    if (checkIpv6(view, l3, len - ETHERNET_HEADER_LEN) !== undefined) return;
    if (this.fillAddresses(now, port, slab, l3, readMac(view, off + ETHERNET_SRC))) {
      this.sendTooBig(view, l3);
    }
  }

  private sendTooBig(view: DataView, l3: number): void {
    const { packet, icmp, mtu } = this.deps;
    this.fillUpper(ipv6NextHeader(view, l3), l3 + IPV6_HEADER_LEN);
    icmp.sendErrorFor(packet, ICMPV6_TOO_BIG, 0, mtu);
  }

  /** Whom a packet is for that came to us as a router, if it is another guest. */
  private otherGuest(now: Instant): Neighbor | undefined {
    const { packet, own, neighbors } = this.deps;
    const { key, ttl, group, neighbor } = packet;
    const { a, b } = own.prefix;
    if (key[KEY_REMOTE] !== a || key[KEY_REMOTE + 1] !== b || group || ttl <= 1) return undefined;
    if (isOwnIpv6(own, key, KEY_REMOTE) || isIpv6LinkLocal(wordAt(key, KEY_GUEST)))
      return undefined;
    const other = neighbors.find(key, KEY_REMOTE);
    if (other?.port === undefined) return this.isClaimed() ? this.silentGuest(now) : undefined;
    return other === neighbor ? undefined : other;
  }

  private isClaimed(): boolean {
    const { bindings, packet } = this.deps;
    for (let i = 0; i < 4; i++) bindings.key[i] = wordAt(packet.key, KEY_REMOTE + i);
    return bindings.isClaimed;
  }

  /** It has made the address its own, by duplicate address detection, and was not heard with it yet: it is asked for. */
  private silentGuest(now: Instant): Neighbor | undefined {
    const { neighbors, packet } = this.deps;
    return neighbors.obtain(now, addressFromWords(packet.key, KEY_REMOTE));
  }

  /** The rest of a packet, of which this is the start, did not come. */
  onIncomplete({ slab, protocol, len }: Whole): void {
    const { packet, neighbors, icmp } = this.deps;
    setIpv6Whole(slab.view, 0, protocol, len);
    this.readEnds(slab, 0);
    packet.neighbor = neighbors.find(packet.key, KEY_GUEST);
    this.fillUpper(protocol, IPV6_HEADER_LEN);
    icmp.sendErrorFor(packet, ICMPV6_TIME_EXCEEDED, TIME_EXCEEDED6_REASSEMBLY);
  }

  private onHeaders(now: Instant, port: LinkPort, trusted: boolean, reassembled: boolean): void {
    const { packet } = this.deps;
    const { headers } = this;
    const { l3Off, slab } = packet;
    const fault = headers.walk(slab.view, l3Off, reassembled);
    this.fillUpper(headers.protocol, headers.off);
    if (fault !== undefined) {
      this.refuse(fault, headers.problem, headers.pointer, headers.reportsGroup);
    } else if (headers.protocol === PROTOCOL_FRAGMENT) this.onFragment(now, port);
    else this.deliver(now, port, trusted);
  }

  private onFragment(now: Instant, port: LinkPort): void {
    const { packet, reassembler } = this.deps;
    const { fragment, chain } = this;
    const { slab, l3Off, l4Off, key } = packet;
    const { view } = slab;
    const start = ipv6FragmentOffset(view, l4Off);
    const more = ipv6FragmentMore(view, l4Off);
    const len = packet.l4Len - IPV6_FRAGMENT_LEN;
    // RFC 8200 §4.5: the lengths are at fault, or where the piece would end.
    if (more && (len & 7) !== 0) {
      this.refuse('fragment-bad-length', PROBLEM_FIELD, IPV6_PAYLOAD_LENGTH);
      return;
    }
    if (start + len > IPV6_MAX_PAYLOAD) {
      this.refuse('fragment-bad-length', PROBLEM_FIELD, l4Off + 2 - l3Off);
      return;
    }
    // RFC 7112 §5
    if (start === 0 && (chain.walk(view, l3Off) !== undefined || chain.isUpperCut)) {
      this.refuse('ipv6-incomplete-headers', PROBLEM_INCOMPLETE_HEADERS, 0);
      return;
    }
    for (let i = 0; i < 8; i++) fragment.ends[i] = wordAt(key, KEY_GUEST + i);
    fragment.id = ipv6FragmentId(view, l4Off);
    fragment.protocol = view.getUint8(l4Off);
    fragment.headerOff = l3Off;
    fragment.off = l4Off + IPV6_FRAGMENT_LEN;
    fragment.len = len;
    fragment.start = start;
    fragment.more = more;
    const whole = reassembler.add(now, port.guest, slab, fragment);
    if (whole === undefined) return;
    setIpv6Whole(whole.slab.view, 0, whole.protocol, whole.len);
    packet.slab = whole.slab;
    packet.l3Off = 0;
    this.onHeaders(now, port, false, true);
  }

  private deliver(now: Instant, port: LinkPort, trusted: boolean): void {
    const { packet, own, upper, icmp, icmpInput, drops } = this.deps;
    const { key, protocol, slab, l4Off, group } = packet;
    const toGateway = isGatewayIpv6(own, key, KEY_REMOTE);
    const toHost = own.host !== undefined && isAddressAt(own.host, key, KEY_REMOTE);
    if (!toGateway && !toHost && !group) {
      if (isOfNoRouter(key)) {
        drops.add('ipv6-bad-destination');
        return;
      }
      if (packet.ttl <= 1) {
        drops.add('ipv6-hop-limit-exceeded');
        icmp.sendErrorFor(packet, ICMPV6_TIME_EXCEEDED, TIME_EXCEEDED6_HOP_LIMIT);
        return;
      }
      // RFC 4007 §9: what is of the link stays on it.
      if (isIpv6LinkLocal(wordAt(key, KEY_GUEST)) || isIpv6LinkLocal(wordAt(key, KEY_REMOTE))) {
        drops.add('ipv6-beyond-scope');
        icmp.sendErrorFor(packet, ICMPV6_UNREACHABLE, UNREACHABLE6_BEYOND_SCOPE);
        return;
      }
    }
    packet.addressSum =
      trusted || !this.deps.verifyChecksums
        ? -1
        : pseudoAddressSum(key, KEY_GUEST, KEY_REMOTE, 6, protocol);
    switch (protocol) {
      case PROTOCOL_TCP:
        upper.onTcp(now, packet);
        return;
      case PROTOCOL_UDP:
        // RFC 8200 §8.1
        if (packet.l4Len >= UDP_HEADER_LEN && udpChecksum(slab.view, l4Off) === 0) {
          drops.add('udp-no-checksum');
        } else upper.onUdp(now, packet, port, toGateway);
        return;
      case PROTOCOL_ICMPV6:
        icmpInput.onPacket(now, packet, port, toGateway, !this.headers.isFragment);
        return;
      default:
        this.refuse('ipv6-unknown-protocol', PROBLEM_NEXT_HEADER, this.headers.pointerToProtocol);
    }
  }

  /** @param problem code of the report; negative: none */
  private refuse(drop: StackDrop, problem: number, pointer: number, evenToGroup = false): void {
    const { drops, icmp, packet } = this.deps;
    drops.add(drop);
    if (problem < 0) return;
    icmp.sendErrorFor(packet, ICMPV6_PARAMETER_PROBLEM, problem, pointer, evenToGroup);
  }

  /** @returns false when the packet is dropped */
  private fillAddresses(
    now: Instant,
    port: LinkPort,
    slab: Slab,
    l3: number,
    mac: number,
  ): boolean {
    const { packet } = this.deps;
    this.readEnds(slab, l3);
    const { key } = packet;
    packet.neighbor = undefined;
    const isUnspecified = (wordAt(key, 0) | wordAt(key, 1) | wordAt(key, 2) | wordAt(key, 3)) === 0;
    if (isUnspecified) return true; // what may come without an address, the segment's rules have said
    packet.neighbor = this.sender(now, port, mac);
    return packet.neighbor !== undefined;
  }

  private readEnds(slab: Slab, l3: number): void {
    const { packet } = this.deps;
    const { key } = packet;
    const { view } = slab;
    for (let i = 0; i < 4; i++) {
      key[KEY_GUEST + i] = view.getInt32(l3 + IPV6_SRC + 4 * i);
      key[KEY_REMOTE + i] = view.getInt32(l3 + IPV6_DST + 4 * i);
    }
    packet.slab = slab;
    packet.family = 6;
    packet.l3Off = l3;
    packet.ttl = ipv6HopLimit(view, l3);
    packet.group = isIpv6Group(wordAt(key, KEY_REMOTE));
  }

  private fillUpper(protocol: number, l4Off: number): void {
    const { packet } = this.deps;
    const { l3Off, slab } = packet;
    packet.protocol = protocol;
    packet.l3HeaderLen = l4Off - l3Off;
    packet.l4Off = l4Off;
    packet.l4Len = l3Off + IPV6_HEADER_LEN + ipv6PayloadLength(slab.view, l3Off) - l4Off;
  }

  /** The neighbour with this source address, learned or refreshed; undefined drops the packet. */
  private sender(now: Instant, port: LinkPort, mac: number): Neighbor | undefined {
    const { packet, own, neighbors, drops } = this.deps;
    const { key } = packet;
    const { last } = this;
    if (last !== undefined && last.port === port && last.mac === mac && last.isAt(key, KEY_GUEST)) {
      last.lastSeen = now;
      return last;
    }
    if (!isGuestIpv6(own, key, KEY_GUEST)) {
      drops.add('ipv6-source-not-on-subnet');
      return undefined;
    }
    const neighbor = neighbors.obtain(now, addressFromWords(key, KEY_GUEST));
    if (neighbor === undefined) {
      drops.add('neighbor-table-full');
      return undefined;
    }
    neighbors.learn(now, neighbor, mac, port);
    this.last = neighbor;
    return neighbor;
  }
}

/** RFC 4291 §2.5.2, §2.5.3, §2.5.5: unspecified, loopback, and what carries an IPv4 address outside of a prefix for it. */
function isOfNoRouter(key: Int32Array): boolean {
  const c = wordAt(key, KEY_REMOTE + 2);
  return (
    (wordAt(key, KEY_REMOTE) | wordAt(key, KEY_REMOTE + 1)) === 0 && (c === 0 || c === V4_MAPPED)
  );
}
