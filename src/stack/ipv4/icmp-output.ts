/**
 * ICMP to the guest (RFC 792, RFC 1122 §3.2.2, RFC 1812 §4.3): echo replies, and every error that the stack
 * or the proxy reports.
 */
import { copyBytes } from '../../base/copy-bytes.ts';
import type { Counters } from '../../base/counters.ts';
import { keyGuestPort, keyRemote, keyRemotePort } from '../../base/flow-key.ts';
import type { IpAddress } from '../../base/ip-address.ts';
import type { Seq } from '../../base/seq.ts';
import {
  emitEcho,
  emitIcmpError,
  ICMP_ECHO,
  ICMP_ECHO_REPLY,
  ICMP_HEADER_LEN,
  ICMP_TIME_EXCEEDED,
  ICMP_UNREACHABLE,
  icmpType,
  TIME_EXCEEDED_TRANSIT,
  UNREACHABLE_HOST,
  UNREACHABLE_NET,
  UNREACHABLE_PORT,
  UNREACHABLE_PROHIBITED,
} from '../../wire/icmpv4.ts';
import {
  emitIpv4,
  IPV4_DF,
  IPV4_HEADER_LEN,
  Ipv4Fields,
  ipv4TotalLength,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../../wire/ipv4.ts';
import type { StackDrop } from '../drops.ts';
import type { EchoId, FlowId, NetworkError, RefuseReason } from '../flow.ts';
import type { IcmpErrors, IcmpSender } from '../icmp-sender.ts';
import type { IpOutput } from '../ip-output.ts';
import type { Neighbor } from '../neighbor.ts';
import type { Packet } from '../packet.ts';
import { type Path, pathTo } from '../path.ts';
import { HOP_LIMIT } from './family.ts';

/** RFC 1812 §4.3.2.3: as much of the packet as fits 576 bytes. */
const MAX_QUOTE = 576 - IPV4_HEADER_LEN - ICMP_HEADER_LEN;
const MIN_QUOTED_L4 = 8;

export class IcmpOutput implements IcmpSender {
  private readonly errors: IcmpErrors;
  private readonly out: IpOutput;
  private readonly quoted = new Ipv4Fields();
  private readonly gateway: IpAddress;
  private readonly drops: Counters<StackDrop>;

  constructor(out: IpOutput, errors: IcmpErrors, gateway: IpAddress, drops: Counters<StackDrop>) {
    this.out = out;
    this.errors = errors;
    this.quoted.fragment = IPV4_DF;
    this.quoted.ttl = HOP_LIMIT - 1;
    this.gateway = gateway;
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
    copyBytes(bytes, off, scratch.bytes, ICMP_HEADER_LEN, len);
    emitEcho(scratch.view, 0, ICMP_ECHO_REPLY, echo.identifier, echo.sequence, len);
    return this.sendScratch(pathTo(neighbor, from), ICMP_HEADER_LEN + len);
  }

  // --- errors to the guest ---

  /** Report an error about the packet that the guest just sent. */
  sendErrorFor(packet: Packet, type: number, code: number, mtu = 0): void {
    const { neighbor, slab, l3Off } = packet;
    if (neighbor === undefined || packet.group || isIcmpError(packet)) return;
    if (!this.errors.mayReport(neighbor)) return;
    const len = Math.min(ipv4TotalLength(slab.view, l3Off), MAX_QUOTE);
    const { scratch } = this.out;
    copyBytes(slab.bytes, l3Off, scratch.bytes, ICMP_HEADER_LEN, len);
    const port = type === ICMP_UNREACHABLE && code === UNREACHABLE_PORT;
    const from = port ? keyRemote(packet.key) : this.gateway;
    this.sendError(pathTo(neighbor, from), type, code, mtu, len);
  }

  sendTcpError(
    path: Path,
    key: Int32Array,
    sequence: Seq,
    reason: Exclude<RefuseReason, 'refused' | 'timed-out'>,
  ): void {
    if (!this.errors.mayReport(path.neighbor)) return;
    const { view } = this.out.scratch;
    const at = this.quoteHeader(path.neighbor, path.source, PROTOCOL_TCP, IPV4_HEADER_LEN);
    view.setUint16(at, keyGuestPort(key));
    view.setUint16(at + 2, keyRemotePort(key));
    view.setInt32(at + 4, sequence);
    const fromGateway = pathTo(path.neighbor, this.gateway);
    this.sendQuoted(fromGateway, ICMP_UNREACHABLE, codeOf(reason));
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
    const at = this.quoteHeader(neighbor, id.remote, PROTOCOL_UDP, 8 + payloadLen);
    view.setUint16(at, id.guestPort);
    view.setUint16(at + 2, id.remotePort);
    view.setUint16(at + 4, 8 + payloadLen);
    view.setUint16(at + 6, 0);
    this.sendQuoted(pathTo(neighbor, from), typeOf(error), codeOf(error));
  }

  sendEchoError(neighbor: Neighbor, id: EchoId, error: NetworkError, from: IpAddress): void {
    if (!this.errors.mayReport(neighbor)) return;
    const { view } = this.out.scratch;
    const at = this.quoteHeader(neighbor, id.remote, PROTOCOL_ICMP, ICMP_HEADER_LEN);
    emitEcho(view, at, ICMP_ECHO, id.identifier, id.sequence, 0);
    this.sendQuoted(pathTo(neighbor, from), typeOf(error), codeOf(error));
  }

  /** Write the quoted IP header behind the error's own; returns where the quoted L4 header goes. */
  private quoteHeader(
    neighbor: Neighbor,
    remote: IpAddress,
    protocol: number,
    l4Len: number,
  ): number {
    const { quoted } = this;
    quoted.totalLength = IPV4_HEADER_LEN + Math.min(l4Len, 65_535 - IPV4_HEADER_LEN);
    quoted.protocol = protocol;
    quoted.src = neighbor.address.d;
    quoted.dst = remote.d;
    emitIpv4(this.out.scratch.view, ICMP_HEADER_LEN, quoted);
    return ICMP_HEADER_LEN + IPV4_HEADER_LEN;
  }

  private sendQuoted(path: Path, type: number, code: number): void {
    this.sendError(path, type, code, 0, IPV4_HEADER_LEN + MIN_QUOTED_L4);
  }

  private sendError(path: Path, type: number, code: number, mtu: number, quoteLen: number): void {
    emitIcmpError(this.out.scratch.view, 0, type, code, mtu, quoteLen);
    if (this.sendScratch(path, ICMP_HEADER_LEN + quoteLen)) this.errors.sent++;
  }

  private sendScratch(path: Path, len: number): boolean {
    if (this.out.sendScratch(path, PROTOCOL_ICMP, len)) return true;
    this.drops.add(this.out.drop);
    return false;
  }
}

/** RFC 1122 §3.2.2: there is no error about an error. */
function isIcmpError(packet: Packet): boolean {
  if (packet.protocol !== PROTOCOL_ICMP || packet.l4Len === 0) return false;
  const type = icmpType(packet.slab.view, packet.l4Off);
  return type !== ICMP_ECHO && type !== ICMP_ECHO_REPLY;
}

const typeOf = (error: NetworkError): number =>
  error === 'ttl-exceeded' ? ICMP_TIME_EXCEEDED : ICMP_UNREACHABLE;

function codeOf(error: NetworkError): number {
  switch (error) {
    case 'net-unreachable':
      return UNREACHABLE_NET;
    case 'host-unreachable':
      return UNREACHABLE_HOST;
    case 'port-unreachable':
      return UNREACHABLE_PORT;
    case 'prohibited':
      return UNREACHABLE_PROHIBITED;
    case 'ttl-exceeded':
      return TIME_EXCEEDED_TRANSIT;
  }
}
