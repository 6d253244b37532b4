/**
 * ICMP (RFC 792, RFC 1122 §3.2.2, RFC 1812 §4.3): echo for the gateway's own address, echo requests
 * to others handed upward, errors from the guest about our segments, and every error that the
 * stack or the proxy reports to the guest. Errors are rate-limited (RFC 1812 §4.3.2.8).
 */
import { copyBytes } from '../../base/copy-bytes.ts';
import type { Counters } from '../../base/counters.ts';
import {
  KEY_GUEST,
  KEY_REMOTE,
  keyGuestPort,
  keyRemote,
  keyRemotePort,
  makeKey,
  setKeyAddress,
  setKeyPorts,
} from '../../base/flow-key.ts';
import { type IpAddress, ipv4 } from '../../base/ip-address.ts';
import { type Seq, seq } from '../../base/seq.ts';
import type { Instant } from '../../base/time.ts';
import {
  checkIcmp,
  echoIdentifier,
  echoSequence,
  emitEcho,
  emitIcmpError,
  ICMP_ECHO,
  ICMP_ECHO_REPLY,
  ICMP_HEADER_LEN,
  ICMP_TIME_EXCEEDED,
  ICMP_UNREACHABLE,
  icmpCode,
  icmpNextHopMtu,
  icmpType,
  TIME_EXCEEDED_TRANSIT,
  UNREACHABLE_HOST,
  UNREACHABLE_NEEDS_FRAGMENTATION,
  UNREACHABLE_NET,
  UNREACHABLE_PORT,
  UNREACHABLE_PROHIBITED,
} from '../../wire/icmpv4.ts';
import {
  emitIpv4,
  IPV4_DF,
  IPV4_HEADER_LEN,
  ipv4Dst,
  ipv4HeaderLen,
  ipv4Protocol,
  ipv4Src,
  ipv4TotalLength,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../../wire/ipv4.ts';
import type { StackDrop } from '../drops.ts';
import type { NetworkError, RefuseReason, Upstream } from '../flow.ts';
import type { Neighbor } from '../neighbor.ts';
import type { Packet } from '../packet.ts';
import { type IpOutput, type Path, pathTo } from './output.ts';

const ERRORS_PER_SECOND = 1000;
/** RFC 1812 §4.3.2.3: as much of the packet as fits 576 bytes. */
const MAX_QUOTE = 576 - IPV4_HEADER_LEN - ICMP_HEADER_LEN;
const MIN_QUOTED_L4 = 8;
const HOP_LIMIT = 64;

/** What the TCP layer does with an error about one of its segments. */
export interface TcpErrorSink {
  onPathMtu(now: Instant, key: Int32Array, quotedSeq: Seq, mtu: number): void;
  onUnreachable(now: Instant, key: Int32Array): void;
}

export class IcmpLayer {
  /** Set once the TCP layer exists. */
  tcp: TcpErrorSink | undefined = undefined;
  errorsSent = 0;
  private readonly out: IpOutput;
  private readonly gateway: IpAddress;
  private readonly drops: Counters<StackDrop>;
  private readonly upstream: Upstream;
  private readonly key = makeKey();
  private second = 0;
  private inSecond = 0;

  constructor(out: IpOutput, gateway: IpAddress, drops: Counters<StackDrop>, upstream: Upstream) {
    this.out = out;
    this.gateway = gateway;
    this.drops = drops;
    this.upstream = upstream;
  }

  onPacket(now: Instant, packet: Packet, toGateway: boolean): void {
    const { view } = packet.slab;
    const { l4Off, l4Len, neighbor } = packet;
    const fault = checkIcmp(view, l4Off, l4Len);
    if (fault !== undefined) {
      this.drops.add(fault);
      return;
    }
    const type = icmpType(view, l4Off);
    if (type === ICMP_UNREACHABLE) {
      this.onUnreachable(now, view, l4Off, l4Len);
      return;
    }
    if (type !== ICMP_ECHO || packet.group || neighbor === undefined) {
      this.drops.add('icmp-not-for-us');
      return;
    }
    packet.identifier = echoIdentifier(view, l4Off);
    packet.sequence = echoSequence(view, l4Off);
    packet.off = l4Off + ICMP_HEADER_LEN;
    packet.len = l4Len - ICMP_HEADER_LEN;
    if (!toGateway) {
      this.upstream.onEcho(now, packet);
      return;
    }
    const { bytes } = packet.slab;
    this.reply(
      neighbor,
      this.gateway,
      packet.identifier,
      packet.sequence,
      bytes,
      packet.off,
      packet.len,
    );
  }

  reply(
    neighbor: Neighbor,
    from: IpAddress,
    identifier: number,
    sequence: number,
    bytes: Uint8Array,
    off: number,
    len: number,
  ): boolean {
    const { scratch } = this.out;
    copyBytes(bytes, off, scratch.bytes, ICMP_HEADER_LEN, len);
    emitEcho(scratch.view, 0, ICMP_ECHO_REPLY, identifier, sequence, len);
    return this.sendScratch(pathTo(neighbor, from), ICMP_HEADER_LEN + len);
  }

  // --- errors to the guest ---

  /** Report an error about the packet that the guest just sent. */
  sendErrorFor(packet: Packet, type: number, code: number, mtu = 0): void {
    const { neighbor, slab, l3Off } = packet;
    if (neighbor === undefined || packet.group || isIcmpError(packet)) return;
    if (!this.mayReport()) return;
    const len = Math.min(ipv4TotalLength(slab.view, l3Off), MAX_QUOTE);
    const { scratch } = this.out;
    copyBytes(slab.bytes, l3Off, scratch.bytes, ICMP_HEADER_LEN, len);
    const port = type === ICMP_UNREACHABLE && code === UNREACHABLE_PORT;
    const from = port ? keyRemote(packet.key) : this.gateway;
    this.sendError(pathTo(neighbor, from), type, code, mtu, len);
  }

  /** Report that a SYN cannot be answered, in place of the router that knows why. */
  sendTcpError(
    _now: Instant,
    path: Path,
    key: Int32Array,
    sequence: Seq,
    reason: Exclude<RefuseReason, 'refused' | 'timed-out'>,
  ): void {
    if (!this.mayReport()) return;
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
    remote: IpAddress,
    guestPort: number,
    remotePort: number,
    error: NetworkError,
    from: IpAddress,
    payloadLen: number,
  ): void {
    if (!this.mayReport()) return;
    const { view } = this.out.scratch;
    const at = this.quoteHeader(neighbor, remote, PROTOCOL_UDP, 8 + payloadLen);
    view.setUint16(at, guestPort);
    view.setUint16(at + 2, remotePort);
    view.setUint16(at + 4, 8 + payloadLen);
    view.setUint16(at + 6, 0);
    this.sendQuoted(pathTo(neighbor, from), typeOf(error), codeOf(error));
  }

  sendEchoError(
    neighbor: Neighbor,
    remote: IpAddress,
    identifier: number,
    sequence: number,
    error: NetworkError,
    from: IpAddress,
  ): void {
    if (!this.mayReport()) return;
    const { view } = this.out.scratch;
    const at = this.quoteHeader(neighbor, remote, PROTOCOL_ICMP, ICMP_HEADER_LEN);
    emitEcho(view, at, ICMP_ECHO, identifier, sequence, 0);
    this.sendQuoted(pathTo(neighbor, from), typeOf(error), codeOf(error));
  }

  /** Write the quoted IP header behind the error's own; returns where the quoted L4 header goes. */
  private quoteHeader(
    neighbor: Neighbor,
    remote: IpAddress,
    protocol: number,
    l4Len: number,
  ): number {
    emitIpv4(
      this.out.scratch.view,
      ICMP_HEADER_LEN,
      IPV4_HEADER_LEN + Math.min(l4Len, 65_535 - IPV4_HEADER_LEN),
      0,
      IPV4_DF,
      HOP_LIMIT - 1,
      protocol,
      neighbor.address.d,
      remote.d,
    );
    return ICMP_HEADER_LEN + IPV4_HEADER_LEN;
  }

  private sendQuoted(path: Path, type: number, code: number): void {
    this.sendError(path, type, code, 0, IPV4_HEADER_LEN + MIN_QUOTED_L4);
  }

  private sendError(path: Path, type: number, code: number, mtu: number, quoteLen: number): void {
    emitIcmpError(this.out.scratch.view, 0, type, code, mtu, quoteLen);
    if (this.sendScratch(path, ICMP_HEADER_LEN + quoteLen)) this.errorsSent++;
  }

  private sendScratch(path: Path, len: number): boolean {
    if (this.out.sendScratch(path, PROTOCOL_ICMP, len)) return true;
    this.drops.add(this.out.drop);
    return false;
  }

  private mayReport(): boolean {
    if (this.inSecond < ERRORS_PER_SECOND) {
      this.inSecond++;
      return true;
    }
    this.drops.add('icmp-error-rate-limited');
    return false;
  }

  /** Start a new second of the rate limit if one has begun. */
  tick(now: Instant): void {
    const second = Math.floor(now / 1000);
    if (second === this.second) return;
    this.second = second;
    this.inSecond = 0;
  }

  // --- errors from the guest ---

  private onUnreachable(now: Instant, view: DataView, off: number, len: number): void {
    const quote = off + ICMP_HEADER_LEN;
    const quoteLen = len - ICMP_HEADER_LEN;
    if (quoteLen < IPV4_HEADER_LEN || view.getUint8(quote) >>> 4 !== 4) {
      this.drops.add('icmp-truncated');
      return;
    }
    const headerLen = ipv4HeaderLen(view, quote);
    if (headerLen < IPV4_HEADER_LEN || quoteLen < headerLen + MIN_QUOTED_L4) {
      this.drops.add('icmp-truncated');
      return;
    }
    if (ipv4Protocol(view, quote) !== PROTOCOL_TCP || this.tcp === undefined) {
      this.drops.add('icmp-not-for-us');
      return;
    }
    // The quoted packet is ours: its source is the remote side of the flow.
    const l4 = quote + headerLen;
    const { key } = this;
    setKeyAddress(key, KEY_GUEST, ipv4(ipv4Dst(view, quote)));
    setKeyAddress(key, KEY_REMOTE, ipv4(ipv4Src(view, quote)));
    setKeyPorts(key, view.getUint16(l4 + 2), view.getUint16(l4));
    if (icmpCode(view, off) === UNREACHABLE_NEEDS_FRAGMENTATION) {
      this.tcp.onPathMtu(now, key, seq(view.getInt32(l4 + 4)), icmpNextHopMtu(view, off));
    } else this.tcp.onUnreachable(now, key);
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
