/** ICMPv6 to the guest: RFC 4443. */
import { KEY_REMOTE, keyRemote } from '../../base/flow-key.ts';
import type { IpAddress } from '../../base/ip-address.ts';
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
import {
  emitIpv6,
  IPV6_HEADER_LEN,
  IPV6_MAX_PAYLOAD,
  IPV6_MIN_MTU,
  ipv6PayloadLength,
} from '../../wire/ipv6.ts';
import { isNdp } from '../../wire/ndp.ts';
import type { EchoId, NetworkError } from '../flow.ts';
import { IcmpOutput, type IcmpOutputDeps } from '../icmp-output.ts';
import type { Neighbor } from '../neighbor.ts';
import { isIpv6LinkLocal, isOwnIpv6, type OwnIpv6 } from '../own-addresses.ts';
import type { Packet } from '../packet.ts';
import { type Path, pathSum } from '../path.ts';
import { HOP_LIMIT } from './family.ts';

/** RFC 4443 §3: as much of the packet as fits the minimum MTU. */
const MAX_QUOTE = IPV6_MIN_MTU - IPV6_HEADER_LEN - ICMPV6_HEADER_LEN;

export class Icmpv6Output extends IcmpOutput {
  protected readonly protocol: number = PROTOCOL_ICMPV6;
  protected readonly ipHeaderLen: number = IPV6_HEADER_LEN;
  private readonly own: OwnIpv6;

  constructor(deps: IcmpOutputDeps, own: OwnIpv6) {
    super(deps);
    this.own = own;
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
    // RFC 4443 §2.2 (a)
    const isToUs = isOwnIpv6(this.own, packet.key, KEY_REMOTE);
    const from = isToUs ? keyRemote(packet.key) : this.routerOf(neighbor);
    const len = Math.min(IPV6_HEADER_LEN + ipv6PayloadLength(slab.view, l3Off), MAX_QUOTE);
    this.report(packet, from, len, type, code, parameter);
  }

  routerOf({ address }: Neighbor): IpAddress {
    const { own } = this;
    return isIpv6LinkLocal(address.a) ? own.linkLocal : own.gateway;
  }

  protected writeReply(
    path: Path,
    { identifier, sequence }: Pick<EchoId, 'identifier' | 'sequence'>,
    len: number,
  ): void {
    const sum = pathSum(path, PROTOCOL_ICMPV6);
    emitEcho6(this.out.scratch.view, 0, ICMPV6_ECHO_REPLY, identifier, sequence, len, sum);
  }

  protected writeRequest(at: number, { identifier, sequence }: EchoId): void {
    emitEcho6(this.out.scratch.view, at, ICMPV6_ECHO, identifier, sequence, 0, 0);
  }

  protected writeError(
    path: Path,
    type: number,
    code: number,
    parameter: number,
    quoteLen: number,
  ): void {
    const sum = pathSum(path, PROTOCOL_ICMPV6);
    emitIcmpv6Error(this.out.scratch.view, 0, type, code, parameter, quoteLen, sum);
  }

  protected writeQuoted(
    { address }: Neighbor,
    remote: IpAddress,
    protocol: number,
    l4Len: number,
  ): void {
    const len = Math.min(l4Len, IPV6_MAX_PAYLOAD);
    const { view } = this.out.scratch;
    emitIpv6(view, ICMPV6_HEADER_LEN, address, remote, protocol, HOP_LIMIT - 1, len);
  }

  protected typeOf(error: NetworkError): number {
    return error === 'ttl-exceeded' ? ICMPV6_TIME_EXCEEDED : ICMPV6_UNREACHABLE;
  }

  protected codeOf(error: NetworkError): number {
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
}

/** RFC 4443 §2.4 (e): there is no error about an error. */
function isAboutError({ protocol, slab, l4Off, l4Len }: Packet): boolean {
  if (protocol !== PROTOCOL_ICMPV6 || l4Len === 0) return false;
  const type = icmpv6Type(slab.view, l4Off);
  return isIcmpv6Error(type) || isNdp(type);
}
