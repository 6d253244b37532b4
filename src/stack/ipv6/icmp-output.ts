/** ICMPv6 to the guest (RFC 4443): echo replies, and every error that the stack or the proxy reports. */
import { copyBytes } from '../../base/copy-bytes.ts';
import type { Counters } from '../../base/counters.ts';
import { KEY_REMOTE, keyGuestPort, keyRemote, keyRemotePort } from '../../base/flow-key.ts';
import type { IpAddress } from '../../base/ip-address.ts';
import type { Seq } from '../../base/seq.ts';
import {
  emitEcho6,
  emitIcmpv6Error,
  ICMPV6_ECHO,
  ICMPV6_ECHO_REPLY,
  ICMPV6_HEADER_LEN,
  ICMPV6_TIME_EXCEEDED,
  ICMPV6_UNREACHABLE,
  icmpv6Type,
  isIcmpv6Error,
  PROTOCOL_ICMPV6,
  TIME_EXCEEDED6_HOP_LIMIT,
  UNREACHABLE6_ADDRESS,
  UNREACHABLE6_NO_ROUTE,
  UNREACHABLE6_PORT,
  UNREACHABLE6_PROHIBITED,
} from '../../wire/icmpv6.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../wire/ipv4.ts';
import {
  emitIpv6,
  IPV6_HEADER_LEN,
  IPV6_MAX_PAYLOAD,
  IPV6_MIN_MTU,
  ipv6PayloadLength,
} from '../../wire/ipv6.ts';
import { isNdp } from '../../wire/ndp.ts';
import type { StackDrop } from '../drops.ts';
import type { EchoId, FlowId, NetworkError, RefuseReason } from '../flow.ts';
import type { IcmpErrors, IcmpSender } from '../icmp-sender.ts';
import type { IpOutput } from '../ip-output.ts';
import type { Neighbor } from '../neighbor.ts';
import { isIpv6LinkLocal, isOwnIpv6, type OwnIpv6 } from '../own-addresses.ts';
import type { Packet } from '../packet.ts';
import { type Path, pathSum, pathTo } from '../path.ts';
import { HOP_LIMIT } from './family.ts';

/** RFC 4443 §3: as much of the packet as fits the minimum MTU. */
const MAX_QUOTE = IPV6_MIN_MTU - IPV6_HEADER_LEN - ICMPV6_HEADER_LEN;
const MIN_QUOTED_L4 = 8;

export class Icmpv6Output implements IcmpSender {
  private readonly out: IpOutput;
  private readonly errors: IcmpErrors;
  private readonly own: OwnIpv6;
  private readonly drops: Counters<StackDrop>;

  constructor(out: IpOutput, errors: IcmpErrors, own: OwnIpv6, drops: Counters<StackDrop>) {
    this.out = out;
    this.errors = errors;
    this.own = own;
    this.drops = drops;
  }

  reply(
    neighbor: Neighbor,
    from: IpAddress,
    echo: Pick<EchoId, 'identifier' | 'sequence'>,
    bytes: Uint8Array,
    off: number,
    len: number,
  ): boolean {
    const { scratch } = this.out;
    const path = pathTo(neighbor, from);
    const sum = pathSum(path, PROTOCOL_ICMPV6);
    copyBytes(bytes, off, scratch.bytes, ICMPV6_HEADER_LEN, len);
    const { identifier, sequence } = echo;
    emitEcho6(scratch.view, 0, ICMPV6_ECHO_REPLY, identifier, sequence, len, sum);
    return this.sendScratch(path, ICMPV6_HEADER_LEN + len);
  }

  /**
   * Report an error about the packet that the guest just sent.
   *
   * @param parameter an MTU, or where in the packet the fault is
   * @param evenToGroup report it about a packet to a group as well
   */
  sendErrorFor(
    packet: Packet,
    type: number,
    code: number,
    parameter = 0,
    evenToGroup = false,
  ): void {
    const { neighbor, slab, l3Off } = packet;
    if (neighbor === undefined || isAboutError(packet)) return;
    if (packet.group && !evenToGroup) return;
    if (!this.errors.mayReport(neighbor)) return;
    const len = Math.min(IPV6_HEADER_LEN + ipv6PayloadLength(slab.view, l3Off), MAX_QUOTE);
    copyBytes(slab.bytes, l3Off, this.out.scratch.bytes, ICMPV6_HEADER_LEN, len);
    // RFC 4443 §2.2 (a)
    const isToUs = isOwnIpv6(this.own, packet.key, KEY_REMOTE);
    const from = isToUs ? keyRemote(packet.key) : this.routerOf(neighbor);
    this.sendError(pathTo(neighbor, from), type, code, parameter, len);
  }

  sendTcpError(
    path: Path,
    key: Int32Array,
    sequence: Seq,
    reason: Exclude<RefuseReason, 'refused' | 'timed-out'>,
  ): void {
    const { neighbor } = path;
    if (!this.errors.mayReport(neighbor)) return;
    const { view } = this.out.scratch;
    const at = this.quoteHeader(neighbor, path.source, PROTOCOL_TCP, IPV6_HEADER_LEN);
    view.setUint16(at, keyGuestPort(key));
    view.setUint16(at + 2, keyRemotePort(key));
    view.setInt32(at + 4, sequence);
    this.sendQuoted(neighbor, this.routerOf(neighbor), reason);
  }

  sendUdpError(
    neighbor: Neighbor,
    id: FlowId,
    error: NetworkError,
    from: IpAddress,
    payloadLen: number,
  ): void {
    if (!this.errors.mayReport(neighbor)) return;
    const { view } = this.out.scratch;
    const len = MIN_QUOTED_L4 + payloadLen;
    const at = this.quoteHeader(neighbor, id.remote, PROTOCOL_UDP, len);
    view.setUint16(at, id.guestPort);
    view.setUint16(at + 2, id.remotePort);
    view.setUint16(at + 4, len);
    view.setUint16(at + 6, 0);
    this.sendQuoted(neighbor, from, error);
  }

  sendEchoError(neighbor: Neighbor, id: EchoId, error: NetworkError, from: IpAddress): void {
    if (!this.errors.mayReport(neighbor)) return;
    const { view } = this.out.scratch;
    const at = this.quoteHeader(neighbor, id.remote, PROTOCOL_ICMPV6, ICMPV6_HEADER_LEN);
    emitEcho6(view, at, ICMPV6_ECHO, id.identifier, id.sequence, 0, 0);
    this.sendQuoted(neighbor, from, error);
  }

  /** Write the quoted IP header behind the error's own; returns where the quoted L4 header goes. */
  private quoteHeader(
    neighbor: Neighbor,
    remote: IpAddress,
    protocol: number,
    l4Len: number,
  ): number {
    const len = Math.min(l4Len, IPV6_MAX_PAYLOAD);
    const { view } = this.out.scratch;
    emitIpv6(view, ICMPV6_HEADER_LEN, neighbor.address, remote, protocol, HOP_LIMIT - 1, len);
    return ICMPV6_HEADER_LEN + IPV6_HEADER_LEN;
  }

  private sendQuoted(neighbor: Neighbor, from: IpAddress, error: NetworkError): void {
    const path = pathTo(neighbor, from.family === 6 ? from : this.routerOf(neighbor));
    this.sendError(path, typeOf(error), codeOf(error), 0, IPV6_HEADER_LEN + MIN_QUOTED_L4);
  }

  private sendError(
    path: Path,
    type: number,
    code: number,
    parameter: number,
    quoteLen: number,
  ): void {
    const sum = pathSum(path, PROTOCOL_ICMPV6);
    emitIcmpv6Error(this.out.scratch.view, 0, type, code, parameter, quoteLen, sum);
    if (this.sendScratch(path, ICMPV6_HEADER_LEN + quoteLen)) this.errors.sent++;
  }

  private sendScratch(path: Path, len: number): boolean {
    if (this.out.sendScratch(path, PROTOCOL_ICMPV6, len)) return true;
    this.drops.add(this.out.drop);
    return false;
  }

  /** The gateway, as it is known where `neighbor` is. */
  routerOf({ address }: Neighbor): IpAddress {
    const { own } = this;
    return isIpv6LinkLocal(address.a) ? own.linkLocal : own.gateway;
  }
}

/** RFC 4443 §2.4 (e): there is no error about an error. */
function isAboutError({ protocol, slab, l4Off, l4Len }: Packet): boolean {
  if (protocol !== PROTOCOL_ICMPV6 || l4Len === 0) return false;
  const type = icmpv6Type(slab.view, l4Off);
  return isIcmpv6Error(type) || isNdp(type);
}

const typeOf = (error: NetworkError): number =>
  error === 'ttl-exceeded' ? ICMPV6_TIME_EXCEEDED : ICMPV6_UNREACHABLE;

function codeOf(error: NetworkError): number {
  switch (error) {
    case 'net-unreachable':
      return UNREACHABLE6_NO_ROUTE;
    case 'host-unreachable':
      return UNREACHABLE6_ADDRESS;
    case 'port-unreachable':
      return UNREACHABLE6_PORT;
    case 'prohibited':
      return UNREACHABLE6_PROHIBITED;
    case 'ttl-exceeded':
      return TIME_EXCEEDED6_HOP_LIMIT;
  }
}
