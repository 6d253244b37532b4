/**
 * UDP: datagrams to the gateway's own services, all others handed upward; and datagrams to guests,
 * fragmented where the MTU asks for it.
 */
import { copyBytes } from '../base/copy-bytes.ts';
import type { Counters } from '../base/counters.ts';
import { setKeyPorts } from '../base/flow-key.ts';
import type { Instant } from '../base/time.ts';
import { PROTOCOL_UDP } from '../wire/ipv4.ts';
import {
  checkUdp,
  emitUdp,
  UDP_HEADER_LEN,
  udpDstPort,
  udpLength,
  udpSrcPort,
} from '../wire/udp.ts';
import type { StackDrop } from './drops.ts';
import type { Datagram, FlowId, Upstream } from './flow.ts';
import type { IpOutput } from './ip-output.ts';
import type { Neighbor } from './neighbor.ts';
import type { Packet } from './packet.ts';
import { pathSum } from './path.ts';

const MAX_PAYLOAD = 65_507;

/** A service on the gateway's address. `datagram` is borrowed for the call. */
export type UdpService = (now: Instant, datagram: Datagram) => void;

export class UdpLayer {
  private readonly services = new Map<number, UdpService>();
  private readonly out: IpOutput;
  private readonly drops: Counters<StackDrop>;
  private readonly upstream: Upstream;

  constructor(out: IpOutput, drops: Counters<StackDrop>, upstream: Upstream) {
    this.out = out;
    this.drops = drops;
    this.upstream = upstream;
  }

  /**
   * Have `service` called for datagrams to `port` of the gateway, in the place of what served it.
   *
   * @returns a function that undoes it: the last is undone first
   */
  serve(port: number, service: UdpService): () => void {
    const before = this.services.get(port);
    this.services.set(port, service);
    return () => {
      if (before === undefined) this.services.delete(port);
      else this.services.set(port, before);
    };
  }

  onPacket(now: Instant, packet: Packet, toGateway: boolean): void {
    const { slab, l4Off, l4Len, neighbor } = packet;
    const fault = checkUdp(slab.view, l4Off, l4Len, packet.addressSum);
    if (fault !== undefined) {
      this.drops.add(fault);
      return;
    }
    const dstPort = udpDstPort(slab.view, l4Off);
    setKeyPorts(packet.key, udpSrcPort(slab.view, l4Off), dstPort);
    packet.off = l4Off + UDP_HEADER_LEN;
    packet.len = udpLength(slab.view, l4Off) - UDP_HEADER_LEN;
    if (packet.group || neighbor === undefined) {
      this.drops.add('udp-group-destination'); // DHCP was taken before, see `stack.ts`
      return;
    }
    const service = toGateway ? this.services.get(dstPort) : undefined;
    if (service !== undefined) service(now, packet);
    // Datagrams to a closed port of the gateway too: it may stand for a client of a published port.
    else this.upstream.onDatagram(now, packet);
  }

  /** Send a datagram to `neighbor`. @returns false when it was dropped, and counted */
  send(neighbor: Neighbor, id: FlowId, bytes: Uint8Array, off: number, len: number): boolean {
    if (len > MAX_PAYLOAD) {
      this.drops.add('udp-too-long');
      return false;
    }
    const { out } = this;
    const path = out.flowPath(neighbor, id.remote, id.guestPort, id.remotePort);
    const l4Len = UDP_HEADER_LEN + len;
    const sum = pathSum(path, PROTOCOL_UDP);
    if (path.headerLen + l4Len > Math.min(out.mtu, neighbor.pathMtu)) {
      const { scratch } = out;
      copyBytes(bytes, off, scratch.bytes, UDP_HEADER_LEN, len);
      emitUdp(scratch.view, 0, id.remotePort, id.guestPort, len, sum);
      if (out.sendScratch(path, PROTOCOL_UDP, l4Len)) return true;
      this.drops.add(out.drop);
      return false;
    }
    const l4 = out.open(path, PROTOCOL_UDP, l4Len);
    if (l4 < 0) {
      this.drops.add(out.drop);
      return false;
    }
    const { slab } = out;
    copyBytes(bytes, off, slab.bytes, l4 + UDP_HEADER_LEN, len);
    emitUdp(slab.view, l4, id.remotePort, id.guestPort, len, sum);
    out.commit(l4 + l4Len);
    return true;
  }
}
