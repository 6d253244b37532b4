/** DHCPv6 messages of guests, and the answers of the server (RFC 9915 §7, §18.4). */
import type { Counters } from '../../base/counters.ts';
import { KEY_REMOTE, keyGuest, keyRemote } from '../../base/flow-key.ts';
import type { IpAddress } from '../../base/ip-address.ts';
import type { Slab } from '../../base/slab.ts';
import type { Instant } from '../../base/time.ts';
import { PROTOCOL_UDP } from '../../wire/ipv4.ts';
import { checkUdp, emitUdp, UDP_HEADER_LEN, udpDstPort, udpLength } from '../../wire/udp.ts';
import type { StackDrop } from '../drops.ts';
import type { IpOutput } from '../ip-output.ts';
import type { LinkPort } from '../link-port.ts';
import type { Neighbor } from '../neighbor.ts';
import type { OwnIpv6 } from '../own-addresses.ts';
import type { Packet } from '../packet.ts';
import { pathSum, pathTo } from '../path.ts';

const CLIENT_PORT = 546;
const SERVER_PORT = 547;
/** What fits the minimum MTU. */
const MAX_REPLY = 1280 - 40 - UDP_HEADER_LEN;

/** Who asks, and where. */
export interface Dhcpv6Client {
  readonly port: LinkPort;
  /** Its own address, link-local or not. */
  readonly address: IpAddress;
  /** Its Ethernet address. */
  readonly mac: number;
}

/**
 * @param request a whole message
 * @param room bytes that the answer may have
 * @returns bytes of the answer, written at `off`; 0: none
 */
export type Dhcpv6Responder = (
  now: Instant,
  request: DataView,
  out: Slab,
  off: number,
  room: number,
  client: Dhcpv6Client,
) => number;

export class Dhcpv6Layer {
  private readonly own: OwnIpv6;
  private readonly out: IpOutput;
  private readonly drops: Counters<StackDrop>;
  private responder: Dhcpv6Responder | undefined = undefined;

  constructor(own: OwnIpv6, out: IpOutput, drops: Counters<StackDrop>) {
    this.own = own;
    this.out = out;
    this.drops = drops;
  }

  serve(responder: Dhcpv6Responder): void {
    this.responder = responder;
  }

  /** Whether a UDP packet to a group, or to the gateway, is for the DHCP server. */
  takes({ slab, l4Off, l4Len }: Packet): boolean {
    return l4Len >= UDP_HEADER_LEN && udpDstPort(slab.view, l4Off) === SERVER_PORT;
  }

  onPacket(now: Instant, packet: Packet, port: LinkPort): void {
    const { slab, l4Off, l4Len, neighbor } = packet;
    const fault = checkUdp(slab.view, l4Off, l4Len, packet.addressSum);
    if (fault !== undefined) {
      this.drops.add(fault);
      return;
    }
    if (this.responder === undefined || neighbor === undefined) {
      this.drops.add('udp-no-service');
      return;
    }
    const { bytes } = slab;
    const at = bytes.byteOffset + l4Off + UDP_HEADER_LEN;
    const request = new DataView(bytes.buffer, at, udpLength(slab.view, l4Off) - UDP_HEADER_LEN);
    const client = { port, address: keyGuest(packet.key), mac: neighbor.mac };
    const { scratch } = this.out;
    const len = this.responder(now, request, scratch, UDP_HEADER_LEN, MAX_REPLY, client);
    if (len > 0) this.answer(neighbor, this.sourceFor(packet), len);
  }

  /** The address that was asked, where it is one of ours; for a group, that of the link. */
  private sourceFor({ group, key }: Packet): IpAddress {
    const { own } = this;
    return group || key[KEY_REMOTE] === own.linkLocal.a ? own.linkLocal : keyRemote(key);
  }

  private answer(neighbor: Neighbor, source: IpAddress, len: number): void {
    const path = pathTo(neighbor, source);
    const sum = pathSum(path, PROTOCOL_UDP);
    emitUdp(this.out.scratch.view, 0, SERVER_PORT, CLIENT_PORT, len, sum);
    if (!this.out.sendScratch(path, PROTOCOL_UDP, UDP_HEADER_LEN + len))
      this.drops.add(this.out.drop);
  }
}
