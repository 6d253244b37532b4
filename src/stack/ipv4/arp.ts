/** ARP on the segment (RFC 826, RFC 5227): answers for our addresses, asks for guests'. */
import type { Counters } from '../../base/counters.ts';
import { type IpAddress, ipv4 } from '../../base/ip-address.ts';
import type { Instant } from '../../base/time.ts';
import {
  ARP_LEN,
  ARP_REPLY,
  ARP_REQUEST,
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
import { emitEthernetTo, type NeighborTable } from '../neighbor.ts';
import type { Subnet } from './input.ts';

export class ArpLayer {
  private readonly ours: Mac;
  private readonly subnet: Subnet;
  private readonly neighbors: NeighborTable;
  private readonly drops: Counters<StackDrop>;

  constructor(ours: Mac, subnet: Subnet, neighbors: NeighborTable, drops: Counters<StackDrop>) {
    this.ours = ours;
    this.subnet = subnet;
    this.neighbors = neighbors;
    this.drops = drops;
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
    if (!this.isOurs(target)) return;
    this.emit(port, senderMac, ARP_REPLY, target, senderMac, senderIp);
  }

  /** Whether a guest's frame says that the gateway's or the host's address is the guest's. */
  claimsOurs(view: DataView, off: number, len: number): boolean {
    const arp = off + ETHERNET_HEADER_LEN;
    if (checkArp(view, arp, len - ETHERNET_HEADER_LEN) !== undefined) return false;
    return this.isOurs(arpSenderIp(view, arp));
  }

  /** Ask on every link who has `address`. */
  ask(ports: Iterable<LinkPort>, address: IpAddress): void {
    for (const port of ports) {
      this.emit(port, BROADCAST_MAC, ARP_REQUEST, this.subnet.gateway.d, 0, address.d);
    }
  }

  private isOurs(ip: number): boolean {
    return ip === this.subnet.gateway.d || ip === this.subnet.host?.d;
  }

  private learn(now: Instant, port: LinkPort, mac: Mac, ip: number): void {
    const { base, mask } = this.subnet;
    // A probe (RFC 5227) has no sender address; one that claims ours is not believed.
    if (ip === 0 || (ip & mask) !== base || this.isOurs(ip)) return;
    if (isGroupMac(mac)) return;
    const neighbor = this.neighbors.obtain(now, ipv4(ip));
    if (neighbor === undefined) this.drops.add('neighbor-table-full');
    else this.neighbors.learn(now, neighbor, mac, port);
  }

  private emit(
    port: LinkPort,
    to: Mac,
    operation: number,
    senderIp: number,
    targetMac: Mac,
    targetIp: number,
  ): void {
    const len = ETHERNET_HEADER_LEN + ARP_LEN;
    const off = port.writer.reserve(len);
    if (off < 0) {
      this.drops.add('out-link-full');
      return;
    }
    const { view } = port.writer.slab;
    emitEthernetTo(view, off, to, this.ours, ETHERTYPE_ARP);
    emitArp(view, off + ETHERNET_HEADER_LEN, operation, this.ours, senderIp, targetMac, targetIp);
    port.writer.commit(len);
    port.sent(len);
  }
}
