/** ICMP to the guest: RFC 792, RFC 1122 §3.2.2, RFC 1812 §4.3. */
import { keyRemote } from '../../base/flow-key.ts';
import type { IpAddress } from '../../base/ip-address.ts';
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
} from '../../wire/ipv4.ts';
import type { EchoId, NetworkError } from '../flow.ts';
import { IcmpOutput, type IcmpOutputDeps } from '../icmp-output.ts';
import type { Neighbor } from '../neighbor.ts';
import type { Packet } from '../packet.ts';
import type { Path } from '../path.ts';
import { HOP_LIMIT } from './family.ts';

/** RFC 1812 §4.3.2.3: as much of the packet as fits 576 bytes. */
const MAX_QUOTE = 576 - IPV4_HEADER_LEN - ICMP_HEADER_LEN;

export class Icmpv4Output extends IcmpOutput {
  protected readonly protocol: number = PROTOCOL_ICMP;
  protected readonly ipHeaderLen: number = IPV4_HEADER_LEN;
  private readonly quoted = new Ipv4Fields();
  private readonly gateway: IpAddress;

  constructor(deps: IcmpOutputDeps, gateway: IpAddress) {
    super(deps);
    this.quoted.fragment = IPV4_DF;
    this.quoted.ttl = HOP_LIMIT - 1;
    this.gateway = gateway;
  }

  /** Report an error about the packet that the guest just sent. */
  sendErrorFor(packet: Packet, type: number, code: number, mtu = 0): void {
    if (packet.group || isIcmpError(packet)) return;
    const isPort = type === ICMP_UNREACHABLE && code === UNREACHABLE_PORT;
    const from = isPort ? keyRemote(packet.key) : this.gateway;
    const len = Math.min(ipv4TotalLength(packet.slab.view, packet.l3Off), MAX_QUOTE);
    this.report(packet, from, len, type, code, mtu);
  }

  routerOf(): IpAddress {
    return this.gateway;
  }

  protected writeReply(
    _path: Path,
    { identifier, sequence }: Pick<EchoId, 'identifier' | 'sequence'>,
    len: number,
  ): void {
    emitEcho(this.out.scratch.view, 0, ICMP_ECHO_REPLY, identifier, sequence, len);
  }

  protected writeRequest(at: number, { identifier, sequence }: EchoId): void {
    emitEcho(this.out.scratch.view, at, ICMP_ECHO, identifier, sequence, 0);
  }

  protected writeError(
    _path: Path,
    type: number,
    code: number,
    mtu: number,
    quoteLen: number,
  ): void {
    emitIcmpError(this.out.scratch.view, 0, type, code, mtu, quoteLen);
  }

  protected writeQuoted(
    { address }: Neighbor,
    remote: IpAddress,
    protocol: number,
    l4Len: number,
  ): void {
    const { quoted } = this;
    quoted.totalLength = IPV4_HEADER_LEN + Math.min(l4Len, 65_535 - IPV4_HEADER_LEN);
    quoted.protocol = protocol;
    quoted.src = address.d;
    quoted.dst = remote.d;
    emitIpv4(this.out.scratch.view, ICMP_HEADER_LEN, quoted);
  }

  protected typeOf(error: NetworkError): number {
    return error === 'ttl-exceeded' ? ICMP_TIME_EXCEEDED : ICMP_UNREACHABLE;
  }

  protected codeOf(error: NetworkError): number {
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
}

/** RFC 1122 §3.2.2: there is no error about an error. */
function isIcmpError(packet: Packet): boolean {
  if (packet.protocol !== PROTOCOL_ICMP || packet.l4Len === 0) return false;
  const type = icmpType(packet.slab.view, packet.l4Off);
  return type !== ICMP_ECHO && type !== ICMP_ECHO_REPLY;
}
