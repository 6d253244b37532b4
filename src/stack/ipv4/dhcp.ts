/**
 * DHCP on the segment: its clients have no address yet, so requests are accepted from any
 * source, and replies are framed here, by Ethernet address (RFC 2131 §4.1). A client that gets a lease
 * is a neighbour from then on: the first packet to it needs no ARP.
 */
import type { Counters } from '../../base/counters.ts';
import { ipv4 } from '../../base/ip-address.ts';
import type { Slab } from '../../base/slab.ts';
import type { Instant } from '../../base/time.ts';
import { pseudoAddressSum } from '../../wire/checksum.ts';
import {
  ACK,
  DHCP_CLIENT_PORT,
  DHCP_SERVER_PORT,
  dhcpChaddr,
  dhcpCiaddr,
  dhcpMessageType,
  dhcpYiaddr,
  replyDestination,
} from '../../wire/dhcp.ts';
import { ETHERNET_HEADER_LEN, ETHERTYPE_IPV4 } from '../../wire/ethernet.ts';
import { emitIpv4, IPV4_HEADER_LEN, Ipv4Fields, PROTOCOL_UDP } from '../../wire/ipv4.ts';
import { BROADCAST_MAC, isGroupMac } from '../../wire/mac.ts';
import { checkUdp, emitUdp, UDP_HEADER_LEN, udpDstPort, udpLength } from '../../wire/udp.ts';
import type { StackDrop } from '../drops.ts';
import type { LinkPort } from '../link-port.ts';
import { emitEthernetTo, type NeighborTable } from '../neighbor.ts';
import { isGuestIpv4, type OwnAddresses } from '../own-addresses.ts';
import type { Packet } from '../packet.ts';
import type { AddressBindings, LeaseHolders } from '../separation/address-bindings.ts';

const MAX_REPLY = 1472;
const HEADERS = ETHERNET_HEADER_LEN + IPV4_HEADER_LEN + UDP_HEADER_LEN;
const BROADCAST = -1;

/**
 * Answers a DHCP request, from the last frame of `port`: the BOOTP reply is written to `out` at `off`.
 *
 * @returns its length; 0 for no reply
 */
export type DhcpResponder = (
  now: Instant,
  request: DataView,
  out: Slab,
  off: number,
  port: LinkPort,
) => number;

export class DhcpLayer {
  private readonly own: OwnAddresses;
  private readonly neighbors: NeighborTable;
  private readonly bindings: AddressBindings;
  private readonly drops: Counters<StackDrop>;
  private readonly header = new Ipv4Fields();
  private readonly words = new Int32Array(8);
  private responder: DhcpResponder | undefined = undefined;

  constructor(
    own: OwnAddresses,
    neighbors: NeighborTable,
    bindings: AddressBindings,
    drops: Counters<StackDrop>,
  ) {
    this.own = own;
    this.bindings = bindings;
    this.neighbors = neighbors;
    this.drops = drops;
    this.header.protocol = PROTOCOL_UDP;
    this.header.src = own.ipv4.gateway.d;
    this.words[3] = own.ipv4.gateway.d;
  }

  /** @param leases what is reserved, and for whom */
  serve(responder: DhcpResponder, leases: LeaseHolders): void {
    this.responder = responder;
    this.bindings.leases = leases;
  }

  /** Whether a UDP packet to all, or to the gateway, is for the DHCP server. */
  takes({ slab, l4Off, l4Len }: Packet): boolean {
    return l4Len >= UDP_HEADER_LEN && udpDstPort(slab.view, l4Off) === DHCP_SERVER_PORT;
  }

  onPacket(now: Instant, packet: Packet, port: LinkPort): void {
    const { slab, l4Off, l4Len } = packet;
    const fault = checkUdp(slab.view, l4Off, l4Len, packet.addressSum);
    if (fault !== undefined) {
      this.drops.add(fault);
      return;
    }
    if (this.responder === undefined) {
      this.drops.add('udp-no-service');
      return;
    }
    const { bytes } = slab;
    const at = bytes.byteOffset + l4Off + UDP_HEADER_LEN;
    const request = new DataView(bytes.buffer, at, udpLength(slab.view, l4Off) - UDP_HEADER_LEN);
    const off = port.writer.reserve(HEADERS + MAX_REPLY);
    if (off < 0) {
      this.drops.add('out-link-full');
      return;
    }
    const out = port.writer.slab;
    const len = this.responder(now, request, out, off + HEADERS, port);
    if (len === 0) {
      port.writer.commit(0);
      return;
    }
    const reply = new DataView(out.bytes.buffer, out.bytes.byteOffset + off + HEADERS, len);
    this.frame(out, off, reply);
    this.learn(now, reply, port);
    port.writer.commit(HEADERS + len);
    port.sent(HEADERS + len);
  }

  /** Write the headers before a reply. */
  private frame({ view }: Slab, off: number, reply: DataView): void {
    const { header, own, words } = this;
    const address = addressOf(reply);
    const mac = address === BROADCAST ? BROADCAST_MAC : dhcpChaddr(reply);
    const l3 = off + ETHERNET_HEADER_LEN;
    emitEthernetTo(view, off, mac, own.mac, ETHERTYPE_IPV4);
    header.totalLength = IPV4_HEADER_LEN + UDP_HEADER_LEN + reply.byteLength;
    header.dst = address;
    emitIpv4(view, l3, header);
    words[7] = address;
    const sum = pseudoAddressSum(words, 0, 4, 4, PROTOCOL_UDP);
    const udp = l3 + IPV4_HEADER_LEN;
    emitUdp(view, udp, DHCP_SERVER_PORT, DHCP_CLIENT_PORT, reply.byteLength, sum);
  }

  /** A lease resolves the address, like ARP. */
  private learn(now: Instant, reply: DataView, port: LinkPort): void {
    const address = dhcpYiaddr(reply);
    const mac = dhcpChaddr(reply);
    if (dhcpMessageType(reply) !== ACK || !isGuestIpv4(this.own.ipv4, address)) return;
    if (mac === 0 || mac === this.own.mac || isGroupMac(mac)) return;
    this.bindings.setIpv4(address);
    this.bindings.assign(port.addresses, 'subnet', mac);
    const neighbor = this.neighbors.obtain(now, ipv4(address));
    if (neighbor === undefined) this.drops.add('neighbor-table-full');
    else this.neighbors.learn(now, neighbor, mac, port);
  }
}

function addressOf(reply: DataView): number {
  switch (replyDestination(reply)) {
    case 'broadcast':
      return BROADCAST;
    case 'ciaddr':
      return dhcpCiaddr(reply);
    case 'yiaddr':
      return dhcpYiaddr(reply);
  }
}
