/**
 * The simulated guest's network card. A `Stack` is made for the gateway's end of a link: it has
 * no DHCP client and no `ping`. Here both are added below it: DHCP answers and echo replies are taken
 * from the frames that come, and requests are built as frames. All else is the stack's, which
 * exists once there is an address to give it.
 */
import { Buffer } from 'node:buffer';
import { KEY_GUEST, KEY_REMOTE, makeKey } from '../../base/flow-key.ts';
import type { Instant } from '../../base/time.ts';
import type { Frame } from '../../stack/frame.ts';
import type { FrameReader, FrameWriter, LinkAcceptor } from '../../stack/link.ts';
import { emitEthernetTo } from '../../stack/neighbor.ts';
import { pseudoAddressSum } from '../../wire/checksum.ts';
import { DHCP_CLIENT_PORT, DHCP_SERVER_PORT } from '../../wire/dhcp.ts';
import {
  ETHERNET_HEADER_LEN,
  ETHERNET_SRC,
  ETHERTYPE_IPV4,
  etherType,
} from '../../wire/ethernet.ts';
import {
  checkIcmp,
  echoIdentifier,
  echoSequence,
  emitEcho,
  ICMP_ECHO,
  ICMP_ECHO_REPLY,
  ICMP_HEADER_LEN,
  icmpType,
} from '../../wire/icmpv4.ts';
import {
  checkIpv4,
  emitIpv4,
  IPV4_HEADER_LEN,
  ipv4HeaderLen,
  ipv4Protocol,
  ipv4Src,
  ipv4TotalLength,
  PROTOCOL_ICMP,
  PROTOCOL_UDP,
} from '../../wire/ipv4.ts';
import { BROADCAST_MAC, type Mac, readMac } from '../../wire/mac.ts';
import { checkUdp, emitUdp, UDP_HEADER_LEN, udpDstPort, udpLength } from '../../wire/udp.ts';

const TTL = 64;
const ANYBODY = -1;
const NOBODY = 0;
const L4 = ETHERNET_HEADER_LEN + IPV4_HEADER_LEN;

export class SimulatedNic implements LinkAcceptor, FrameReader {
  readonly mac: Mac;
  /** `message` is borrowed for the call. */
  onDhcp: (message: DataView) => void = () => {};
  onEchoReply: (from: number, identifier: number, sequence: number) => void = () => {};
  /** Who answered by DHCP: the router, behind which everything else is. */
  private router: Mac = BROADCAST_MAC;
  private name = '';
  private writer: FrameWriter | undefined = undefined;
  private stack: FrameReader | undefined = undefined;

  constructor(mac: Mac) {
    this.mac = mac;
  }

  attach(_now: Instant, name: string, writer: FrameWriter): FrameReader {
    this.name = name;
    this.writer = writer;
    return this;
  }

  /** Hand the frames that come from now on to `stack`. */
  connect(now: Instant, stack: LinkAcceptor): void {
    if (this.writer !== undefined) this.stack = stack.attach(now, this.name, this.writer);
  }

  sendDhcp(message: Uint8Array): void {
    const { writer } = this;
    const off = writer?.reserve(L4 + UDP_HEADER_LEN + message.length) ?? -1;
    if (writer === undefined || off < 0) return; // it is sent again
    const { bytes, view } = writer.slab;
    const l4Len = UDP_HEADER_LEN + message.length;
    emitEthernetTo(view, off, BROADCAST_MAC, this.mac, ETHERTYPE_IPV4);
    this.emitIp(view, off, l4Len, PROTOCOL_UDP, NOBODY, ANYBODY);
    bytes.set(message, off + L4 + UDP_HEADER_LEN);
    const sum = addressSum(NOBODY, ANYBODY);
    emitUdp(view, off + L4, DHCP_CLIENT_PORT, DHCP_SERVER_PORT, message.length, sum);
    writer.commit(L4 + l4Len);
    writer.flush();
  }

  /** @param from and `to` are IPv4 words */
  sendEcho(from: number, to: number, identifier: number, sequence: number, dataLen: number): void {
    const { writer } = this;
    const off = writer?.reserve(L4 + ICMP_HEADER_LEN + dataLen) ?? -1;
    if (writer === undefined || off < 0) return;
    const { bytes, view } = writer.slab;
    const l4 = off + L4;
    emitEthernetTo(view, off, this.router, this.mac, ETHERTYPE_IPV4);
    this.emitIp(view, off, ICMP_HEADER_LEN + dataLen, PROTOCOL_ICMP, from, to);
    bytes.set(Buffer.alloc(dataLen, 'hawser '), l4 + ICMP_HEADER_LEN);
    emitEcho(view, l4, ICMP_ECHO, identifier, sequence, dataLen);
    writer.commit(L4 + ICMP_HEADER_LEN + dataLen);
    writer.flush();
  }

  // --- FrameReader ---

  onFrame(now: Instant, frame: Frame): void {
    if (!this.takes(frame.slab.view, frame.off, frame.len)) this.stack?.onFrame(now, frame);
  }

  onBatchEnd(now: Instant): void {
    this.stack?.onBatchEnd(now);
  }

  onWritable(now: Instant): void {
    this.stack?.onWritable(now);
  }

  onLinkDown(now: Instant): void {
    this.writer = undefined;
    this.stack?.onLinkDown(now);
  }

  private emitIp(
    view: DataView,
    off: number,
    l4Len: number,
    protocol: number,
    from: number,
    to: number,
  ): void {
    const totalLen = IPV4_HEADER_LEN + l4Len;
    emitIpv4(view, off + ETHERNET_HEADER_LEN, {
      totalLength: totalLen,
      identification: 0,
      fragment: 0,
      ttl: TTL,
      protocol,
      src: from,
      dst: to,
    });
  }

  /** @returns whether the frame was for DHCP or `ping` */
  private takes(view: DataView, off: number, len: number): boolean {
    const l3 = off + ETHERNET_HEADER_LEN;
    if (len < ETHERNET_HEADER_LEN || etherType(view, off) !== ETHERTYPE_IPV4) return false;
    if (checkIpv4(view, l3, len - ETHERNET_HEADER_LEN) !== undefined) return false;
    const l4 = l3 + ipv4HeaderLen(view, l3);
    const l4Len = ipv4TotalLength(view, l3) - ipv4HeaderLen(view, l3);
    const protocol = ipv4Protocol(view, l3);
    if (protocol === PROTOCOL_UDP) {
      if (checkUdp(view, l4, l4Len, -1) !== undefined) return false;
      if (udpDstPort(view, l4) !== DHCP_CLIENT_PORT) return false;
      this.router = readMac(view, off + ETHERNET_SRC);
      const at = view.byteOffset + l4 + UDP_HEADER_LEN;
      this.onDhcp(new DataView(view.buffer, at, udpLength(view, l4) - UDP_HEADER_LEN));
      return true;
    }
    if (protocol !== PROTOCOL_ICMP || checkIcmp(view, l4, l4Len) !== undefined) return false;
    if (icmpType(view, l4) !== ICMP_ECHO_REPLY) return false;
    this.onEchoReply(ipv4Src(view, l3), echoIdentifier(view, l4), echoSequence(view, l4));
    return true;
  }
}

function addressSum(from: number, to: number): number {
  const key = makeKey();
  key[KEY_GUEST + 3] = from;
  key[KEY_REMOTE + 3] = to;
  return pseudoAddressSum(key, KEY_GUEST, KEY_REMOTE, 4, PROTOCOL_UDP);
}
