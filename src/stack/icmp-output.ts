/**
 * ICMP of either family to a guest: answers to echo, and every error that the stack or the proxy reports. What an error
 * quotes is written anew, for what the guest sent is gone when its outcome is known.
 */
import { copyBytes } from '../base/copy-bytes.ts';
import type { Counters } from '../base/counters.ts';
import { keyGuestPort, keyRemotePort } from '../base/flow-key.ts';
import type { IpAddress } from '../base/ip-address.ts';
import type { Seq } from '../base/seq.ts';
import { ICMP_HEADER_LEN } from '../wire/icmpv4.ts'; // ICMPv6's is as long
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/ipv4.ts';
import type { StackDrop } from './drops.ts';
import type { EchoId, FlowId, NetworkError, RefuseReason } from './flow.ts';
import type { IcmpErrors, IcmpSender } from './icmp-sender.ts';
import type { IpOutput } from './ip-output.ts';
import type { Neighbor } from './neighbor.ts';
import type { Packet } from './packet.ts';
import { type Path, pathTo } from './path.ts';

const UDP_HEADER_LEN = 8;
const MIN_QUOTED_L4 = 8;

export interface IcmpOutputDeps {
  readonly out: IpOutput;
  readonly errors: IcmpErrors;
  readonly drops: Counters<StackDrop>;
}

export abstract class IcmpOutput implements IcmpSender {
  protected readonly out: IpOutput;
  protected abstract readonly protocol: number;
  protected abstract readonly ipHeaderLen: number;
  private readonly errors: IcmpErrors;
  private readonly drops: Counters<StackDrop>;

  constructor({ out, errors, drops }: IcmpOutputDeps) {
    this.out = out;
    this.errors = errors;
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
    const path = this.out.flowPath(neighbor, from, echo.identifier, 0);
    copyBytes(bytes, off, this.out.scratch.bytes, ICMP_HEADER_LEN, len);
    this.writeReply(path, echo, len);
    return this.sendScratch(path, ICMP_HEADER_LEN + len);
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
    const at = this.quote(neighbor, path.source, PROTOCOL_TCP, this.ipHeaderLen);
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
    const len = UDP_HEADER_LEN + payloadLen;
    const at = this.quote(neighbor, id.remote, PROTOCOL_UDP, len);
    view.setUint16(at, id.guestPort);
    view.setUint16(at + 2, id.remotePort);
    view.setUint16(at + 4, len);
    view.setUint16(at + 6, 0);
    this.sendQuoted(neighbor, from, error);
  }

  sendEchoError(neighbor: Neighbor, id: EchoId, error: NetworkError, from: IpAddress): void {
    if (!this.errors.mayReport(neighbor)) return;
    this.writeRequest(this.quote(neighbor, id.remote, this.protocol, ICMP_HEADER_LEN), id);
    this.sendQuoted(neighbor, from, error);
  }

  /** The gateway, as it is known where `neighbor` is. */
  abstract routerOf(neighbor: Neighbor): IpAddress;

  /**
   * Report an error about the packet that the guest just sent.
   *
   * @param quotable bytes of it to quote at most
   */
  protected report(
    { neighbor, slab, l3Off }: Packet,
    from: IpAddress,
    quotable: number,
    type: number,
    code: number,
    parameter: number,
  ): void {
    if (neighbor === undefined || !this.errors.mayReport(neighbor)) return;
    copyBytes(slab.bytes, l3Off, this.out.scratch.bytes, ICMP_HEADER_LEN, quotable);
    this.sendError(pathTo(neighbor, from), type, code, parameter, quotable);
  }

  /** Write the header of an echo reply, and the sum of header and `len` bytes behind it, to the scratch slab. */
  protected abstract writeReply(
    path: Path,
    echo: Pick<EchoId, 'identifier' | 'sequence'>,
    len: number,
  ): void;
  /** Write the header of an echo request to the scratch slab, to be quoted. */
  protected abstract writeRequest(at: number, echo: EchoId): void;
  /** Write the header of an error about the `quoteLen` bytes behind it to the scratch slab. */
  protected abstract writeError(
    path: Path,
    type: number,
    code: number,
    parameter: number,
    quoteLen: number,
  ): void;
  /** Write the IP header of a packet of the guest behind that of the error. */
  protected abstract writeQuoted(
    neighbor: Neighbor,
    remote: IpAddress,
    protocol: number,
    l4Len: number,
  ): void;
  protected abstract typeOf(error: NetworkError): number;
  protected abstract codeOf(error: NetworkError): number;

  /** @returns where the quoted L4 header goes */
  private quote(neighbor: Neighbor, remote: IpAddress, protocol: number, l4Len: number): number {
    this.writeQuoted(neighbor, remote, protocol, l4Len);
    return ICMP_HEADER_LEN + this.ipHeaderLen;
  }

  private sendQuoted(neighbor: Neighbor, from: IpAddress, error: NetworkError): void {
    const isSame = from.family === neighbor.address.family; // a router behind NAT64 has no address here
    const path = pathTo(neighbor, isSame ? from : this.routerOf(neighbor));
    const quoteLen = this.ipHeaderLen + MIN_QUOTED_L4;
    this.sendError(path, this.typeOf(error), this.codeOf(error), 0, quoteLen);
  }

  private sendError(
    path: Path,
    type: number,
    code: number,
    parameter: number,
    quoteLen: number,
  ): void {
    this.writeError(path, type, code, parameter, quoteLen);
    if (this.sendScratch(path, ICMP_HEADER_LEN + quoteLen)) this.errors.sent++;
  }

  private sendScratch(path: Path, len: number): boolean {
    if (this.out.sendScratch(path, this.protocol, len)) return true;
    this.drops.add(this.out.drop);
    return false;
  }
}
