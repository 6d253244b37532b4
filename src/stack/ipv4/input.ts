/**
 * IPv4 input: check, learn the sender, reassemble, and fill the shared `Packet` for the layer above.
 */
import type { Counters } from '../../base/counters.ts';
import { KEY_GUEST, KEY_REMOTE } from '../../base/flow-key.ts';
import { ipv4, V4_MAPPED } from '../../base/ip-address.ts';
import type { Slab } from '../../base/slab.ts';
import type { Instant } from '../../base/time.ts';
import { pseudoAddressSum } from '../../wire/checksum.ts';
import { ETHERNET_HEADER_LEN, ETHERNET_SRC } from '../../wire/ethernet.ts';
import {
  ICMP_TIME_EXCEEDED,
  ICMP_UNREACHABLE,
  TIME_EXCEEDED_REASSEMBLY,
  TIME_EXCEEDED_TRANSIT,
  UNREACHABLE_NEEDS_FRAGMENTATION,
  UNREACHABLE_PROTOCOL,
} from '../../wire/icmpv4.ts';
import { PROTOCOL_IGMP } from '../../wire/igmp.ts';
import {
  checkIpv4,
  IPV4_DF,
  IPV4_HEADER_LEN,
  IPV4_MAX_LEN,
  IPV4_MF,
  IPV4_OFFSET_MASK,
  ipv4Dst,
  ipv4Fragment,
  ipv4HeaderLen,
  ipv4Identification,
  ipv4Protocol,
  ipv4Src,
  ipv4TotalLength,
  ipv4Ttl,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  setIpv4Whole,
} from '../../wire/ipv4.ts';
import { readMac } from '../../wire/mac.ts';
import type { StackDrop } from '../drops.ts';
import type { Frame } from '../frame.ts';
import type { LinkPort } from '../link-port.ts';
import type { Neighbor, NeighborTable } from '../neighbor.ts';
import {
  isGatewayIpv4,
  isGuestIpv4,
  isIpv4Group,
  type OwnAddresses,
  type OwnIpv4,
} from '../own-addresses.ts';
import type { Packet } from '../packet.ts';
import { Fragment, type Reassembler } from '../reassembly.ts';
import type { UpperLayers } from '../upper-layers.ts';
import type { IcmpInput } from './icmp-input.ts';
import type { Icmpv4Output } from './icmp-output.ts';
import type { IgmpLayer } from './igmp.ts';

export interface Ipv4InputDeps {
  readonly own: OwnAddresses;
  readonly mtu: number;
  readonly verifyChecksums: boolean;
  readonly neighbors: NeighborTable;
  readonly icmp: Icmpv4Output;
  readonly icmpInput: IcmpInput;
  readonly igmp: IgmpLayer;
  readonly reassembler: Reassembler;
  readonly drops: Counters<StackDrop>;
  /** Reused for each packet; shared with input of other families. */
  readonly packet: Packet;
  readonly upper: UpperLayers;
}

export class Ipv4Input {
  private readonly own: OwnIpv4;
  private readonly mtu: number;
  private readonly verify: boolean;
  private readonly neighbors: NeighborTable;
  private readonly icmp: Icmpv4Output;
  private readonly icmpInput: IcmpInput;
  private readonly igmp: IgmpLayer;
  private readonly drops: Counters<StackDrop>;
  private readonly upper: UpperLayers;
  private readonly packet: Packet;
  private readonly reassembler: Reassembler;
  private readonly fragment = new Fragment();
  /** The sender of the last packet: nearly always the sender of the next. */
  private last: Neighbor | undefined = undefined;

  constructor(deps: Ipv4InputDeps) {
    const { own, mtu, verifyChecksums, neighbors, icmp, igmp, icmpInput } = deps;
    const { reassembler, drops, packet, upper } = deps;
    this.own = own.ipv4;
    this.mtu = mtu;
    this.verify = verifyChecksums;
    this.neighbors = neighbors;
    this.icmp = icmp;
    this.icmpInput = icmpInput;
    this.igmp = igmp;
    this.drops = drops;
    this.packet = packet;
    this.upper = upper;
    this.reassembler = reassembler;
    this.fragment.headerLen = IPV4_HEADER_LEN;
    this.fragment.maxPayload = IPV4_MAX_LEN - IPV4_HEADER_LEN;
  }

  onFrame(now: Instant, port: LinkPort, frame: Frame): void {
    const { slab, off, len } = frame;
    const l3 = off + ETHERNET_HEADER_LEN;
    const { view } = slab;
    const fault = checkIpv4(view, l3, len - ETHERNET_HEADER_LEN);
    if (fault !== undefined) {
      this.drops.add(fault);
      return;
    }
    const { packet } = this;
    const src = ipv4Src(view, l3);
    const neighbor = this.sender(now, port, view, off, src);
    if (neighbor === undefined && src !== 0) return;
    packet.neighbor = neighbor;
    const word = ipv4Fragment(view, l3);
    if ((word & (IPV4_OFFSET_MASK | IPV4_MF)) !== 0) {
      this.onFragment(now, port, slab, l3);
      return;
    }
    const trusted = frame.checksum !== 'unknown';
    const isTooBig = frame.gsoSize === 0 && ipv4TotalLength(view, l3) > this.mtu;
    if (isTooBig && (word & IPV4_DF) !== 0 && port.writer.takesLarge !== true) {
      this.drops.add('ipv4-too-big');
      this.sendTooBig(slab, l3);
      return;
    }
    this.deliver(now, port, slab, l3, trusted);
  }

  /** A packet of `port` is longer than what the guest that it is for takes. */
  onTooBig(now: Instant, port: LinkPort, frame: Frame): void {
    const { slab, off, len } = frame;
    const { view } = slab;
    const l3 = off + ETHERNET_HEADER_LEN;
    if (checkIpv4(view, l3, len - ETHERNET_HEADER_LEN) !== undefined) return;
    const word = ipv4Fragment(view, l3);
    if ((word & IPV4_DF) === 0 || (word & IPV4_OFFSET_MASK) !== 0) return; // RFC 1122 §3.2.2: not for later fragments
    this.packet.neighbor = this.sender(now, port, view, off, ipv4Src(view, l3));
    if (this.packet.neighbor !== undefined) this.sendTooBig(slab, l3);
  }

  private sendTooBig(slab: Slab, l3: number): void {
    const { packet, icmp, mtu } = this;
    this.fill(slab, l3, false);
    icmp.sendErrorFor(packet, ICMP_UNREACHABLE, UNREACHABLE_NEEDS_FRAGMENTATION, mtu);
  }

  /** The rest of a packet whose first fragment is at the start of `slab` did not come. */
  onIncomplete(slab: Slab): void {
    this.packet.neighbor = this.neighbors.findAddress(ipv4(ipv4Src(slab.view, 0)));
    this.fill(slab, 0, false);
    this.icmp.sendErrorFor(this.packet, ICMP_TIME_EXCEEDED, TIME_EXCEEDED_REASSEMBLY);
  }

  private onFragment(now: Instant, port: LinkPort, slab: Slab, l3: number): void {
    const { fragment } = this;
    const { view } = slab;
    const word = ipv4Fragment(view, l3);
    const headerLen = ipv4HeaderLen(view, l3);
    fragment.ends[0] = ipv4Src(view, l3);
    fragment.ends[4] = ipv4Dst(view, l3);
    fragment.id = (ipv4Identification(view, l3) << 8) | ipv4Protocol(view, l3);
    fragment.headerOff = l3;
    fragment.off = l3 + headerLen;
    fragment.len = ipv4TotalLength(view, l3) - headerLen;
    fragment.start = (word & IPV4_OFFSET_MASK) << 3;
    fragment.more = (word & IPV4_MF) !== 0;
    const whole = this.reassembler.add(now, port.guest, slab, fragment);
    if (whole === undefined) return;
    setIpv4Whole(whole.slab.view, 0, IPV4_HEADER_LEN + whole.len);
    this.deliver(now, port, whole.slab, 0, false);
  }

  private deliver(now: Instant, port: LinkPort, slab: Slab, l3: number, trusted: boolean): void {
    const { packet, own } = this;
    this.fill(slab, l3, trusted);
    const dst = ipv4Dst(slab.view, l3);
    const toGateway = isGatewayIpv4(own, dst);
    if (!toGateway && dst !== own.host?.d && packet.ttl <= 1 && !packet.group) {
      this.drops.add('ipv4-ttl-expired');
      this.icmp.sendErrorFor(packet, ICMP_TIME_EXCEEDED, TIME_EXCEEDED_TRANSIT);
      return;
    }
    const { protocol } = packet;
    if (protocol === PROTOCOL_TCP) this.upper.onTcp(now, packet);
    else if (protocol === PROTOCOL_UDP) this.upper.onUdp(now, packet, port, toGateway);
    else if (protocol === PROTOCOL_ICMP) this.icmpInput.onPacket(now, packet, toGateway);
    else if (protocol === PROTOCOL_IGMP) this.igmp.onMessage(packet, port);
    else {
      this.drops.add('ipv4-unknown-protocol');
      this.icmp.sendErrorFor(packet, ICMP_UNREACHABLE, UNREACHABLE_PROTOCOL);
    }
  }

  private fill(slab: Slab, l3: number, trusted: boolean): void {
    const { packet } = this;
    const { view } = slab;
    const { key } = packet;
    const headerLen = ipv4HeaderLen(view, l3);
    const dst = ipv4Dst(view, l3);
    packet.slab = slab;
    packet.family = 4;
    packet.l3Off = l3;
    packet.l3HeaderLen = headerLen;
    packet.protocol = ipv4Protocol(view, l3);
    packet.ttl = ipv4Ttl(view, l3);
    packet.l4Off = l3 + headerLen;
    packet.l4Len = ipv4TotalLength(view, l3) - headerLen;
    packet.group = isIpv4Group(this.own, dst);
    setV4Prefix(key, KEY_GUEST);
    setV4Prefix(key, KEY_REMOTE);
    key[KEY_GUEST + 3] = ipv4Src(view, l3);
    key[KEY_REMOTE + 3] = dst;
    packet.addressSum =
      trusted || !this.verify
        ? -1
        : pseudoAddressSum(key, KEY_GUEST, KEY_REMOTE, 4, packet.protocol);
  }

  /** The neighbour with this source address, learned or refreshed; undefined drops the packet. */
  private sender(
    now: Instant,
    port: LinkPort,
    view: DataView,
    off: number,
    src: number,
  ): Neighbor | undefined {
    const { last } = this;
    if (src === 0) return undefined; // a DHCP client without an address
    if (last !== undefined && last.address.d === src && last.port === port) {
      const mac = readMac(view, off + ETHERNET_SRC);
      if (last.mac === mac) {
        last.lastSeen = now;
        return last;
      }
    }
    if (!isGuestIpv4(this.own, src)) {
      this.drops.add('ipv4-source-not-on-subnet');
      return undefined;
    }
    const neighbor = this.neighbors.obtain(now, ipv4(src));
    if (neighbor === undefined) {
      this.drops.add('neighbor-table-full');
      return undefined;
    }
    this.neighbors.learn(now, neighbor, readMac(view, off + ETHERNET_SRC), port);
    this.last = neighbor;
    return neighbor;
  }
}

/** The words before an IPv4 address: a packet of another family may have been in the record before. */
function setV4Prefix(key: Int32Array, at: number): void {
  key[at] = 0;
  key[at + 1] = 0;
  key[at + 2] = V4_MAPPED;
}
