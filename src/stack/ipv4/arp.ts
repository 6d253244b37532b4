/** ARP on the segment (RFC 826, RFC 5227): answers for our addresses, asks for guests'. */
import type { Counters } from '../../base/counters.ts';
import { type IpAddress, ipv4 } from '../../base/ip-address.ts';
import type { Instant } from '../../base/time.ts';
import {
  ARP_LEN,
  ARP_REPLY,
  ARP_REQUEST,
  ArpFields,
  arpOperation,
  arpSenderIp,
  arpSenderMac,
  arpTargetIp,
  checkArp,
  emitArp,
} from '../../wire/arp.ts';
import { ETHERNET_HEADER_LEN, ETHERTYPE_ARP } from '../../wire/ethernet.ts';
import { BROADCAST_MAC, isGroupMac, type Mac } from '../../wire/mac.ts';
import type { StackDrop } from '../drops.ts';
import type { LinkPort } from '../link-port.ts';
import { emitEthernetTo, type Neighbor, type NeighborTable } from '../neighbor.ts';
import { isGuestIpv4, isOwnIpv4, type OwnAddresses } from '../own-addresses.ts';
import type { AddressResolver } from '../resolution.ts';

export class ArpLayer implements AddressResolver {
  private readonly own: OwnAddresses;
  private readonly neighbors: NeighborTable;
  private readonly drops: Counters<StackDrop>;
  private readonly fields = new ArpFields();

  constructor(own: OwnAddresses, neighbors: NeighborTable, drops: Counters<StackDrop>) {
    this.own = own;
    this.neighbors = neighbors;
    this.drops = drops;
    this.fields.senderMac = own.mac;
  }

  onFrame(now: Instant, port: LinkPort, view: DataView, off: number, len: number): void {
    const arp = off + ETHERNET_HEADER_LEN;
    const fault = checkArp(view, arp, len - ETHERNET_HEADER_LEN);
    if (fault !== undefined) {
      this.drops.add(fault);
      return;
    }
    const senderMac = arpSenderMac(view, arp);
    const senderIp = arpSenderIp(view, arp);
    this.learn(now, port, senderMac, senderIp);
    if (arpOperation(view, arp) !== ARP_REQUEST) return;
    const target = arpTargetIp(view, arp);
    if (!isOwnIpv4(this.own.ipv4, target)) return;
    const { fields } = this;
    fields.operation = ARP_REPLY;
    fields.senderIp = target;
    fields.targetMac = senderMac;
    fields.targetIp = senderIp;
    this.emit(port, senderMac);
  }

  ask(port: LinkPort, { d }: IpAddress): void {
    this.request(port, BROADCAST_MAC, d);
  }

  probe(port: LinkPort, { mac, address }: Neighbor): void {
    this.request(port, mac, address.d);
  }

  private learn(now: Instant, port: LinkPort, mac: Mac, ip: number): void {
    // A probe (RFC 5227) has no sender address; one that claims ours is not believed.
    if (!isGuestIpv4(this.own.ipv4, ip) || isGroupMac(mac)) return;
    const neighbor = this.neighbors.obtain(now, ipv4(ip));
    if (neighbor === undefined) this.drops.add('neighbor-table-full');
    else this.neighbors.learn(now, neighbor, mac, port);
  }

  private request(port: LinkPort, to: Mac, targetIp: number): void {
    const { fields } = this;
    fields.operation = ARP_REQUEST;
    fields.senderIp = this.own.ipv4.gateway.d;
    fields.targetMac = 0;
    fields.targetIp = targetIp;
    this.emit(port, to);
  }

  private emit(port: LinkPort, to: Mac): void {
    const len = ETHERNET_HEADER_LEN + ARP_LEN;
    const off = port.writer.reserve(len);
    if (off < 0) {
      this.drops.add('out-link-full');
      return;
    }
    const { view } = port.writer.slab;
    emitEthernetTo(view, off, to, this.own.mac, ETHERTYPE_ARP);
    emitArp(view, off + ETHERNET_HEADER_LEN, this.fields);
    port.writer.commit(len);
    port.sent(len);
  }
}
