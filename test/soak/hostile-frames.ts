/**
 * What a hostile guest sends: valid frames of every kind, frames of recorded guests, mutations of
 * both with and without repaired checksums, answers that carry connections further, and noise.
 */
import type { Random } from '../../src/base/random.ts';
import { sum16 } from '../../src/wire/checksum.ts';
import { ETHERTYPE_ARP, ETHERTYPE_IPV4, etherType } from '../../src/wire/ethernet.ts';
import {
  checkIpv4,
  IPV4_HEADER_LEN,
  ipv4HeaderLen,
  ipv4Protocol,
  ipv4TotalLength,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../../src/wire/ipv4.ts';
import {
  arpFrame,
  echoFrame,
  GATEWAY_IP,
  HOST_IP,
  type IpFields,
  icmpErrorFrame,
  ipFrame,
  parseTcp,
  protocolOf,
  type TcpRecord,
  tcpFrame,
  udpFrame,
  viewOf,
} from '../support/frames.ts';

const L3 = 14;
const SUBNET = 0xc0a8_7f00 | 0;
const OUTSIDE = 0xc612_0001 | 0;
/** Source addresses of the hostile guest: .100 to .163, one Ethernet address each. */
const FIRST = 100;
const ADDRESSES = 64;
const MAC = 0x0200_0bad_0000;
const HTTP = new TextEncoder().encode('GET /bytes/300000?seed=1 HTTP/1.1\r\nHost: x\r\n\r\n');
const PORTS = [8000, 8001, 8002, 8003, 8004, 8005, 53, 67, 68, 123, 80, 22] as const;

export class HostileFrames {
  private readonly random: Random;
  /** Frames of recorded guests. */
  private readonly corpus: readonly Uint8Array[];
  /** Another guest's address: never claimed, as any segment believes a sender. IPv4 word. */
  private readonly spare: number;

  constructor(random: Random, corpus: readonly Uint8Array[], spare: number) {
    this.random = random;
    this.corpus = corpus;
    this.spare = spare;
  }

  /** One frame to send. */
  next(): Uint8Array {
    const kind = this.pick(10);
    if (kind === 0) return this.noise();
    const frame = kind < 4 ? this.recorded() : this.valid();
    if (kind < 7) this.mutateFields(frame);
    const cut = kind % 3 === 1 ? this.deform(frame) : frame;
    if (this.pick(4) > 0) repair(cut);
    return this.disarm(cut);
  }

  /** What a hostile guest says to `frame` from the daemon; undefined for nothing. */
  answer(frame: Uint8Array): Uint8Array | undefined {
    if (frame.length < 54 || protocolOf(frame) !== PROTOCOL_TCP) return undefined;
    const view = viewOf(frame);
    const got = parseTcp(frame);
    if (got.flags.includes('R')) return undefined;
    const length = got.data.length + (/[SF]/.test(got.flags) ? 1 : 0);
    const reply: Partial<TcpRecord> = {
      sport: got.dport,
      dport: got.sport,
      seq: got.ack,
      ack: got.seq + length,
      win: this.pick(3) === 0 ? this.pick(3) : 65_535,
      ...(got.ts === undefined ? {} : { ts: [got.ts[1] + 1, got.ts[0]] as const }),
    };
    const ip: IpFields = {
      src: view.getInt32(L3 + 16),
      dst: view.getInt32(L3 + 12),
      srcMac: MAC + (view.getUint8(L3 + 19) & 63),
    };
    return this.disarm(tcpFrame(this.bend(reply, got), ip));
  }

  /** Make an honest ACK into what a hostile TCP would send. */
  private bend(reply: Partial<TcpRecord>, got: TcpRecord): Partial<TcpRecord> {
    const { seq = 0, ack = 0 } = reply;
    switch (this.pick(8)) {
      case 0:
        return { ...reply, flags: 'PA', data: HTTP };
      case 1:
        return { ...reply, flags: 'FA' };
      case 2:
        return { ...reply, flags: 'R' };
      case 3: // SACK of what was never sent, or upside down
        return { ...reply, flags: 'A', ack: got.seq, sack: [[ack + this.pick(9000), ack + 10]] };
      case 4: // an ACK ahead of what was sent, or far behind
        return { ...reply, flags: 'A', ack: ack + this.pick(0x4000_0000) - 0x2000_0000 };
      case 5: // data with a hole before it
        return { ...reply, flags: 'A', seq: seq + this.pick(60_000), data: this.bytes(900) };
      case 6:
        return { ...reply, flags: 'A', win: 0 };
      default:
        return { ...reply, flags: 'A' };
    }
  }

  private valid(): Uint8Array {
    const from = this.pick(ADDRESSES);
    const data = this.bytes(this.pick(1400));
    const seq = this.word();
    const sport = 1024 + this.pick(2000);
    const dport = this.pick(3) === 0 ? this.pick(65_536) : (PORTS[this.pick(PORTS.length)] ?? 0);
    const dst = [HOST_IP, GATEWAY_IP, OUTSIDE, this.word()][this.pick(4)] ?? 0;
    const ip: IpFields = {
      src: SUBNET + FIRST + from,
      dst,
      srcMac: MAC + from,
      id: this.pick(500),
    };
    const quoted = ipFrame(this.pick(20), data, { src: dst, dst: ip.src ?? 0 }).subarray(L3);
    switch (this.pick(10)) {
      case 0:
      case 1:
        return tcpFrame({ flags: 'S', seq, sport, dport, ...SYN_OFFER, ts: [seq, 0] }, ip);
      case 2:
        return tcpFrame({ flags: 'PA', seq, ack: this.word(), sport, dport, data }, ip);
      case 3:
        return tcpFrame({ flags: this.pick(2) === 0 ? 'FA' : 'R', seq, sport, dport }, ip);
      case 4:
        return udpFrame(sport, dport, data, ip);
      case 5: // to DHCP, where options are
        return udpFrame(68, 67, data, { ...ip, src: 0, dst: -1 });
      case 6:
        return echoFrame(this.pick(65_536), this.pick(65_536), data, ip);
      case 7:
        return icmpErrorFrame(3 + 8 * this.pick(2), this.pick(16), this.pick(2000), quoted, ip);
      case 8:
        return arpFrame(1 + this.pick(2), MAC + from, SUBNET + this.pick(256), GATEWAY_IP);
      default:
        return ipFrame([6, 17, 1][this.pick(3)] ?? 1, data, { ...ip, fragment: this.pick(0x4000) });
    }
  }

  private recorded(): Uint8Array {
    const frame = this.corpus[this.pick(this.corpus.length)];
    return frame === undefined ? this.valid() : frame.slice();
  }

  private noise(): Uint8Array {
    const frame = this.bytes(this.pick(1600));
    if (frame.length > L3) viewOf(frame).setUint16(12, this.pick(2) === 0 ? 0x0800 : 0x86dd);
    return frame;
  }

  /** Bits and bytes of the headers; now and then a value at the edge of its range. */
  private mutateFields(frame: Uint8Array): void {
    for (let i = this.pick(4); i >= 0; i--) {
      const at = this.pick(Math.min(frame.length, 90));
      frame[at] =
        [0, 255, this.pick(256), (frame[at] ?? 0) ^ (1 << this.pick(8))][this.pick(4)] ?? 0;
    }
  }

  private deform(frame: Uint8Array): Uint8Array {
    if (this.pick(2) === 0) return frame.slice(0, this.pick(frame.length + 1));
    const longer = new Uint8Array(frame.length + this.pick(200));
    longer.set(frame);
    return longer;
  }

  /** The other guest's address is not claimed; see {@link spare}. */
  private disarm(frame: Uint8Array): Uint8Array {
    if (frame.length < L3 + IPV4_HEADER_LEN) return frame;
    const view = viewOf(frame);
    const at = etherType(view, 0) === ETHERTYPE_ARP ? L3 + 14 : L3 + 12;
    if (view.getInt32(at) === this.spare) {
      view.setInt32(at, SUBNET + FIRST);
      if (at === L3 + 12) repair(frame);
    }
    return frame;
  }

  private bytes(len: number): Uint8Array {
    const bytes = new Uint8Array(len);
    for (let i = 0; i < len; i += 7) bytes[i] = this.random.next32();
    return bytes;
  }

  private word(): number {
    return this.random.next32() | 0;
  }

  private pick(n: number): number {
    return n === 0 ? 0 : (this.random.next32() >>> 0) % n;
  }
}

const SYN_OFFER = { mss: 1460, ws: 7, sackOk: true } as const;
const CHECKSUM_AT = new Map([
  [PROTOCOL_ICMP, 2],
  [PROTOCOL_TCP, 16],
  [PROTOCOL_UDP, 6],
]);

/** Make the checksums right where the lengths allow, so that a mutation gets past them. */
function repair(frame: Uint8Array): void {
  const view = viewOf(frame);
  const room = frame.length - L3;
  if (room < IPV4_HEADER_LEN || etherType(view, 0) !== ETHERTYPE_IPV4) return;
  const headerLen = ipv4HeaderLen(view, L3);
  if (headerLen < IPV4_HEADER_LEN || headerLen > room) return;
  view.setUint16(L3 + 10, 0);
  view.setUint16(L3 + 10, ~sum16(view, L3, headerLen) & 0xffff);
  if (checkIpv4(view, L3, room) !== undefined) return;
  const protocol = ipv4Protocol(view, L3);
  const len = ipv4TotalLength(view, L3) - headerLen;
  const at = CHECKSUM_AT.get(protocol);
  if (at === undefined || len < at + 2) return;
  const l4 = L3 + headerLen;
  view.setUint16(l4 + at, 0);
  let pseudo = 0;
  if (protocol !== PROTOCOL_ICMP) {
    const header = viewOf(new Uint8Array(12));
    header.setInt32(0, view.getInt32(L3 + 12));
    header.setInt32(4, view.getInt32(L3 + 16));
    header.setUint16(8, protocol);
    header.setUint16(10, len);
    pseudo = sum16(header, 0, 12);
  }
  view.setUint16(l4 + at, ~sum16(view, l4, len, pseudo) & 0xffff);
}
