/** Ethernet frames from small records, and back: what packet scripts and hostile tests are made of. */
import { seq } from '../../src/base/seq.ts';
import { emitArp } from '../../src/wire/arp.ts';
import { pseudoAddressSum } from '../../src/wire/checksum.ts';
import {
  ETHERNET_HEADER_LEN,
  ETHERNET_SRC,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  etherType,
  setEtherType,
} from '../../src/wire/ethernet.ts';
import { emitEcho, emitIcmpError } from '../../src/wire/icmpv4.ts';
import { PROTOCOL_ICMPV6 } from '../../src/wire/icmpv6.ts';
import {
  emitIpv4,
  IPV4_DF,
  IPV4_HEADER_LEN,
  ipv4Fragment,
  ipv4HeaderLen,
  ipv4Protocol,
  ipv4TotalLength,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../../src/wire/ipv4.ts';
import {
  emitIpv6,
  IPV6_HEADER_LEN,
  ipv6NextHeader,
  ipv6PayloadLength,
} from '../../src/wire/ipv6.ts';
import { writeMac } from '../../src/wire/mac.ts';
import {
  ACK,
  emitTcp,
  FIN,
  PSH,
  RST,
  SYN,
  tcpAck,
  tcpFlags,
  tcpHeaderLen,
  tcpSeq,
  tcpWindow,
} from '../../src/wire/tcp.ts';
import { TcpOptions } from '../../src/wire/tcp-options.ts';
import { emitUdp, UDP_HEADER_LEN } from '../../src/wire/udp.ts';
import { family } from './family.ts';

export const GATEWAY_MAC = 0x5a94_efe4_0cdd;
export const GUEST_MAC = 0x5254_0012_3456;
/** IPv4 words. */
export const GATEWAY_IP: number = 0xc0a8_7f01 | 0;
export const GUEST_IP: number = 0xc0a8_7f02 | 0;
export const HOST_IP: number = 0xc0a8_7ffe | 0;
/** Somewhere on the internet. */
export const SERVER_IP: number = 0x0808_0808;

const L3 = ETHERNET_HEADER_LEN;
const L4 = L3 + IPV4_HEADER_LEN;

export const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export function ethernetFrame(
  type: number,
  len: number,
  src: number = GUEST_MAC,
  dst: number = GATEWAY_MAC,
): Uint8Array {
  const frame = new Uint8Array(L3 + len);
  const view = viewOf(frame);
  writeMac(view, 0, dst);
  writeMac(view, ETHERNET_SRC, src);
  setEtherType(view, 0, type);
  return frame;
}

export interface IpFields {
  readonly src?: number;
  readonly dst?: number;
  readonly srcMac?: number;
  readonly dstMac?: number;
  readonly ttl?: number;
  readonly id?: number;
  /** Flags and offset word. */
  readonly fragment?: number;
}

/** A frame around `l4`, of the family that runs. */
export function ipFrame(protocol: number, l4: Uint8Array, fields: IpFields = {}): Uint8Array {
  return family().version === 4 ? ip4Frame(protocol, l4, fields) : ip6Frame(protocol, l4, fields);
}

function ip6Frame(protocol: number, l4: Uint8Array, fields: IpFields): Uint8Array {
  const { src = GUEST_IP, dst = SERVER_IP, ttl = 64 } = fields;
  const frame = ethernetFrame(
    ETHERTYPE_IPV6,
    IPV6_HEADER_LEN + l4.length,
    fields.srcMac ?? GUEST_MAC,
    fields.dstMac ?? GATEWAY_MAC,
  );
  const [from, to] = [family().address(src), family().address(dst)];
  emitIpv6(viewOf(frame), L3, from, to, protocol, ttl, l4.length);
  frame.set(l4, L3 + IPV6_HEADER_LEN);
  return frame;
}

function ip4Frame(protocol: number, l4: Uint8Array, fields: IpFields): Uint8Array {
  const { src = GUEST_IP, dst = SERVER_IP, ttl = 64, id = 1, fragment = IPV4_DF } = fields;
  const frame = ethernetFrame(
    ETHERTYPE_IPV4,
    IPV4_HEADER_LEN + l4.length,
    fields.srcMac ?? GUEST_MAC,
    fields.dstMac ?? GATEWAY_MAC,
  );
  const totalLength = IPV4_HEADER_LEN + l4.length;
  const header = { totalLength, identification: id, fragment, ttl, protocol, src, dst };
  emitIpv4(viewOf(frame), L3, header);
  frame.set(l4, L4);
  return frame;
}

function sumOf(src: number, dst: number, protocol: number): number {
  const words = [src, dst].flatMap((word) => {
    const { a, b, c, d } = family().address(word);
    return [a, b, c, d];
  });
  return pseudoAddressSum(Int32Array.from(words), 0, 4, family().version, protocol);
}

export interface TcpRecord {
  readonly flags: string;
  readonly seq: number;
  readonly ack: number;
  readonly win: number;
  readonly data: Uint8Array;
  readonly sport: number;
  readonly dport: number;
  readonly mss: number;
  /** -1: none. */
  readonly ws: number;
  readonly sackOk: boolean;
  readonly ts: readonly [number, number] | undefined;
  readonly sack: readonly (readonly [number, number])[];
}

const FLAG_NAMES: readonly (readonly [string, number])[] = [
  ['S', SYN],
  ['F', FIN],
  ['R', RST],
  ['P', PSH],
  ['A', ACK],
];

const flagBits = (text: string): number =>
  FLAG_NAMES.reduce((bits, [name, bit]) => bits | (text.includes(name) ? bit : 0), 0);
const flagText = (bits: number): string =>
  FLAG_NAMES.reduce((text, [name, bit]) => text + ((bits & bit) === 0 ? '' : name), '');

function optionBytes(t: Partial<TcpRecord>): number[] {
  const out: number[] = [];
  const word = (n: number): number[] => [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255];
  if (t.mss !== undefined && t.mss > 0) out.push(2, 4, t.mss >> 8, t.mss & 255);
  if (t.ws !== undefined && t.ws >= 0) out.push(1, 3, 3, t.ws);
  if (t.sackOk === true) out.push(1, 1, 4, 2);
  if (t.ts !== undefined) out.push(1, 1, 8, 10, ...word(t.ts[0]), ...word(t.ts[1]));
  const sack = t.sack ?? [];
  if (sack.length > 0) out.push(1, 1, 5, 2 + 8 * sack.length);
  for (const [start, end] of sack) out.push(...word(start), ...word(end));
  return out;
}

const NO_BYTES = new Uint8Array(0);

export function tcpFrame(t: Partial<TcpRecord>, ip: IpFields = {}): Uint8Array {
  const options = optionBytes(t);
  const data = t.data ?? NO_BYTES;
  const headerLen = 20 + options.length;
  const l4 = new Uint8Array(headerLen + data.length);
  l4.set(options, 20);
  l4.set(data, headerLen);
  emitTcp(viewOf(l4), 0, {
    srcPort: t.sport ?? 40_000,
    dstPort: t.dport ?? 80,
    sequence: seq(t.seq ?? 0),
    acknowledgment: seq(t.ack ?? 0),
    headerLen,
    flags: flagBits(t.flags ?? 'A'),
    window: t.win ?? 65_535,
    len: l4.length,
    addressSum: sumOf(ip.src ?? GUEST_IP, ip.dst ?? SERVER_IP, PROTOCOL_TCP),
    partial: false,
  });
  return ipFrame(PROTOCOL_TCP, l4, ip);
}

export function udpFrame(
  sport: number,
  dport: number,
  data: Uint8Array,
  ip: IpFields = {},
): Uint8Array {
  return ipFrame(PROTOCOL_UDP, udpPacket(sport, dport, data, ip), { fragment: 0, ...ip });
}

/** UDP header and payload, to be cut into fragments. */
export function udpPacket(
  sport: number,
  dport: number,
  data: Uint8Array,
  ip: IpFields = {},
): Uint8Array {
  const l4 = new Uint8Array(UDP_HEADER_LEN + data.length);
  l4.set(data, UDP_HEADER_LEN);
  const sum = sumOf(ip.src ?? GUEST_IP, ip.dst ?? SERVER_IP, PROTOCOL_UDP);
  emitUdp(viewOf(l4), 0, sport, dport, data.length, sum);
  return l4;
}

export function echoFrame(
  id: number,
  sequence: number,
  data: Uint8Array,
  ip: IpFields = {},
): Uint8Array {
  const l4 = new Uint8Array(8 + data.length);
  l4.set(data, 8);
  emitEcho(viewOf(l4), 0, 8, id, sequence, data.length);
  return ipFrame(PROTOCOL_ICMP, l4, { fragment: 0, ...ip });
}

/** An ICMP error that quotes the start of `quoted`, an IP packet. */
export function icmpErrorFrame(
  type: number,
  code: number,
  mtu: number,
  quoted: Uint8Array,
  ip: IpFields = {},
): Uint8Array {
  const l4 = new Uint8Array(8 + quoted.length);
  l4.set(quoted, 8);
  emitIcmpError(viewOf(l4), 0, type, code, mtu, quoted.length);
  return ipFrame(PROTOCOL_ICMP, l4, { dst: GATEWAY_IP, ...ip });
}

export function arpFrame(
  operation: number,
  senderMac: number,
  senderIp: number,
  targetIp: number,
  dstMac = 0xffff_ffff_ffff,
): Uint8Array {
  const frame = ethernetFrame(ETHERTYPE_ARP, 28, senderMac, dstMac);
  emitArp(viewOf(frame), L3, { operation, senderMac, senderIp, targetMac: 0, targetIp });
  return frame;
}

export const isArp = (frame: Uint8Array): boolean => etherType(viewOf(frame), 0) === ETHERTYPE_ARP;
const isIpv6 = (frame: Uint8Array): boolean => etherType(viewOf(frame), 0) === ETHERTYPE_IPV6;
export function protocolOf(frame: Uint8Array): number {
  const view = viewOf(frame);
  if (isIpv6(frame)) return ipv6NextHeader(view, L3);
  return isArp(frame) ? -1 : ipv4Protocol(view, L3);
}
/** How a guest is asked for: ARP, or Neighbor Discovery as all that is ICMPv6. */
export const isQuestion = (frame: Uint8Array): boolean =>
  isArp(frame) || (isIpv6(frame) && protocolOf(frame) === PROTOCOL_ICMPV6);
export const fragmentOf = (frame: Uint8Array): number => ipv4Fragment(viewOf(frame), L3);
/** The IP packet without the Ethernet header. */
export function l3Of(frame: Uint8Array): Uint8Array {
  const view = viewOf(frame);
  const len = isIpv6(frame)
    ? IPV6_HEADER_LEN + ipv6PayloadLength(view, L3)
    : ipv4TotalLength(view, L3);
  return frame.subarray(L3, L3 + len);
}
/** What is behind the IP header; extension headers are part of it. */
export const l4Of = (frame: Uint8Array): Uint8Array =>
  l3Of(frame).subarray(isIpv6(frame) ? IPV6_HEADER_LEN : ipv4HeaderLen(viewOf(frame), L3));

export function parseTcp(frame: Uint8Array): TcpRecord {
  const l4 = l4Of(frame);
  const view = viewOf(l4);
  const options = new TcpOptions();
  const headerLen = tcpHeaderLen(view, 0);
  options.read(view, 0, headerLen);
  const sack: [number, number][] = [];
  for (let i = 0; i < options.sackCount; i++)
    sack.push([options.sackStartAt(i), options.sackEndAt(i)]);
  return {
    flags: flagText(tcpFlags(view, 0)),
    seq: tcpSeq(view, 0),
    ack: tcpAck(view, 0),
    win: tcpWindow(view, 0),
    data: l4.slice(headerLen),
    sport: view.getUint16(0),
    dport: view.getUint16(2),
    mss: options.mss,
    ws: options.windowScale,
    sackOk: options.sackPermitted,
    ts: options.hasTimestamps ? [options.tsVal, options.tsEcr] : undefined,
    sack,
  };
}
