/**
 * A captured conversation with the stack in the gateway's place. What the guest sent is handed to the stack at
 * its time; what the gateway sent then is what the layer above has sent now, so that only the stack is under test.
 *
 * Initial sequence numbers and timestamp clocks differ from those of the capture: acknowledgements and echoes of
 * the guest are moved by the difference, and its segments are otherwise as they were.
 */
import assert from 'node:assert/strict';
import { keyGuest, keyRemote } from '../../../src/base/flow-key.ts';
import { type IpAddress, ipv4 } from '../../../src/base/ip-address.ts';
import { seededRandom } from '../../../src/base/random.ts';
import { parseAddress } from '../../../src/services/address-text.ts';
import type {
  CloseReason,
  Datagram,
  FlowId,
  TcpFlow,
  TcpRequest,
  Upstream,
} from '../../../src/stack/flow.ts';
import type { Ipv6Config } from '../../../src/stack/ipv6/layer.ts';
import type { FrameReader } from '../../../src/stack/link.ts';
import { Stack } from '../../../src/stack/stack.ts';
import { pseudoAddressSum, sum16 } from '../../../src/wire/checksum.ts';
import {
  ETHERNET_SRC,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  etherType,
} from '../../../src/wire/ethernet.ts';
import {
  IPV4_MF,
  ipv4Dst,
  ipv4Src,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../../../src/wire/ipv4.ts';
import { IPV6_DST, IPV6_SRC } from '../../../src/wire/ipv6.ts';
import { readIpv6Address } from '../../../src/wire/ipv6-address.ts';
import { readMac } from '../../../src/wire/mac.ts';
import {
  fragmentOf,
  GATEWAY_IP,
  GATEWAY_MAC,
  HOST_IP,
  isArp,
  l3Of,
  l4Of,
  parseTcp,
  protocolOf,
  type TcpRecord,
  viewOf,
} from '../../support/frames.ts';
import { lend } from '../../support/lend.ts';
import { App, RecordingWriter } from '../../support/script.ts';
import type { CapturedFrame } from './capture.ts';

const START_MS = 100_000;
const ACK_AT = 8;
const CHECKSUM_AT = 16;
/** After two NOPs, as Linux has it. */
const TS_ECR_AT = 28;

export const isFromGuest = ({ bytes }: CapturedFrame): boolean =>
  readMac(viewOf(bytes), ETHERNET_SRC) !== GATEWAY_MAC;
/** IPv6 has captures of its own. */
export const isOurs = ({ bytes }: CapturedFrame): boolean =>
  isArp(bytes) || etherType(viewOf(bytes), 0) === ETHERTYPE_IPV4;
export const isOfIpv6 = ({ bytes }: CapturedFrame): boolean =>
  etherType(viewOf(bytes), 0) === ETHERTYPE_IPV6;

/** One connection of the capture, as it was and as it is now. */
export class Conversation {
  readonly app: App = new App();
  request: TcpRequest | undefined = undefined;
  /** Payload of the capture, in order, each byte once. */
  readonly toHost: Sequence = new Sequence();
  readonly toGuest: Sequence = new Sequence();
  /** Of the gateway, then and now. */
  issThen = 0;
  issNow = 0;
  tsNow = 0;
  /** Payload that the stack sent. */
  readonly sent: Sequence = new Sequence();
  readonly handshakes: TcpRecord[] = [];
  readonly handshakesThen: TcpRecord[] = [];

  get closed(): CloseReason | undefined {
    return this.app.closed;
  }
}

/** A stream put together from segments, whatever came twice. */
class Sequence {
  readonly bytes: number[] = [];
  private next = 0;
  private begun = false;

  take({ flags, seq, data }: TcpRecord): void {
    if (flags.includes('S')) {
      this.next = (seq + 1) | 0;
      this.begun = true;
      return;
    }
    const skip = (this.next - seq) | 0;
    if (!this.begun || skip < 0 || skip >= data.length) return;
    this.bytes.push(...data.subarray(skip));
    this.next = (this.next + data.length - skip) | 0;
  }
}

/** Every connection carries what it carried, and begins as it did. */
export function assertConversations({ conversations }: Replay): void {
  for (const [ends, talk] of conversations) {
    const { app, toHost, toGuest, sent, handshakes, handshakesThen } = talk;
    assert.deepEqual(app.received, toHost.bytes, `${ends}: to the host`);
    assert.deepEqual(sent.bytes, toGuest.bytes, `${ends}: to the guest`);
    const [now] = handshakes;
    const [then] = handshakesThen;
    assert.deepEqual(
      [now?.flags, now?.mss, now?.ws, now?.sackOk, now?.win],
      [then?.flags, then?.mss, then?.ws, then?.sackOk, then?.win],
      ends,
    );
  }
}

export class Replay implements Upstream {
  readonly stack: Stack;
  readonly writer: RecordingWriter = new RecordingWriter();
  readonly conversations: Map<string, Conversation> = new Map();
  readonly datagrams: Uint8Array[] = [];
  readonly dhcp: Uint8Array[] = [];
  readonly echoes: string[] = [];
  /** Every frame of the stack's. */
  readonly sent: Uint8Array[] = [];
  private readonly reader: FrameReader;
  private readonly isOurs: (frame: CapturedFrame) => boolean;
  private now = START_MS;

  /** @param ipv6 the gateway's addresses in a capture of IPv6 */
  constructor(ipv6?: Ipv6Config) {
    this.isOurs = ipv6 === undefined ? isOurs : isOfIpv6;
    this.stack = new Stack(
      {
        subnet: ipv4(0xc0a8_7f00 | 0),
        prefixLen: 24,
        gateway: ipv4(GATEWAY_IP),
        host: ipv4(HOST_IP),
        ipv6,
        mtu: 1500,
        mac: GATEWAY_MAC,
        verifyChecksums: true,
        tcp: {},
      },
      this.now,
      seededRandom(1),
      this,
    );
    const reader = this.stack.attach(this.now, 'replay', this.writer);
    if (reader === undefined) throw new Error('no room for a link');
    this.reader = reader;
    this.stack.serveDhcp((_now, request) => {
      const { buffer, byteOffset, byteLength } = request;
      this.dhcp.push(new Uint8Array(buffer, byteOffset, byteLength).slice());
      return 0;
    });
  }

  play(frames: readonly CapturedFrame[]): void {
    for (const frame of frames.filter(this.isOurs)) {
      this.passTime(START_MS + frame.atMs);
      if (isFromGuest(frame)) this.fromGuest(frame.bytes);
      else this.fromGateway(frame.bytes);
      this.look();
    }
    this.passTime(this.now + 1000);
  }

  onTcpRequest(_now: number, request: TcpRequest): void {
    const { guest, guestPort, remote, remotePort } = request.id;
    this.conversation(endOf(guest, guestPort), endOf(remote, remotePort)).request = request;
  }

  onDatagram(_now: number, { slab, off, len, key, guestPort, remotePort }: Datagram): void {
    this.datagrams.push(slab.bytes.slice(off, off + len));
    this.peers.set(endOf(keyRemote(key), remotePort), {
      guest: keyGuest(key),
      guestPort,
      remote: keyRemote(key),
      remotePort,
    });
  }

  onEcho(_now: number, { identifier, sequence, len }: Parameters<Upstream['onEcho']>[1]): void {
    this.echoes.push(`${identifier} ${sequence} ${len}`);
  }

  /** By the remote's end: who may be answered. */
  private readonly peers = new Map<string, FlowId>();

  private fromGuest(bytes: Uint8Array): void {
    const frame = bytes.slice();
    if (protocolOf(frame) === PROTOCOL_TCP) this.adapt(frame);
    lend(this.reader, this.now, frame);
    this.reader.onBatchEnd(this.now);
  }

  /** Move the guest's acknowledgements to our numbers, and put the checksum right. */
  private adapt(frame: Uint8Array): void {
    const record = parseTcp(frame);
    const [guest, remote] = endsOf(frame, true);
    const talk = this.conversation(guest, remote);
    talk.toHost.take(record);
    if (!record.flags.includes('A')) return;
    const l4 = l4Of(frame);
    const view = viewOf(l4);
    view.setInt32(ACK_AT, record.ack - talk.issThen + talk.issNow);
    if (record.ts !== undefined && !record.flags.includes('S')) {
      view.setInt32(TS_ECR_AT, talk.tsNow);
    }
    view.setUint16(CHECKSUM_AT, 0);
    const [from, to] = addressesOf(frame);
    const words = Int32Array.from([from, to].flatMap(({ a, b, c, d }) => [a, b, c, d]));
    const pseudo = pseudoAddressSum(words, 0, 4, from.family, PROTOCOL_TCP) + l4.length;
    view.setUint16(CHECKSUM_AT, ~sum16(view, 0, l4.length, pseudo) & 0xffff);
  }

  /** What the layer above the stack did at this moment of the capture. */
  private fromGateway(frame: Uint8Array): void {
    const protocol = protocolOf(frame);
    if (protocol === PROTOCOL_UDP && isWhole(frame)) this.sendDatagram(frame);
    if (protocol !== PROTOCOL_TCP) return;
    const record = parseTcp(frame);
    const [guest, remote] = endsOf(frame, false);
    const talk = this.conversation(guest, remote);
    const before = talk.toGuest.bytes.length;
    talk.toGuest.take(record);
    if (record.flags.includes('S')) this.open(talk, guest, remote, record);
    if (record.flags.includes('R')) this.reset(talk);
    const { flow } = talk.app;
    if (flow === undefined) return;
    const data = Uint8Array.from(talk.toGuest.bytes.slice(before));
    if (data.length > 0) flow.send(this.now, data, 0, data.length);
    if (record.flags.includes('F')) flow.shutdown(this.now);
    this.stack.flush();
  }

  private open(talk: Conversation, guest: string, remote: string, record: TcpRecord): void {
    talk.issThen = record.seq;
    talk.handshakesThen.push(record);
    if (talk.app.flow !== undefined) return; // sent again
    talk.app.flow = record.flags.includes('A')
      ? talk.request?.accept(this.now, talk.app)
      : this.dial(guest, remote, talk.app);
  }

  private reset(talk: Conversation): void {
    if (talk.app.flow === undefined) talk.request?.refuse(this.now, 'refused');
    else talk.app.flow.abort(this.now);
  }

  private dial(guest: string, remote: string, app: App): TcpFlow | undefined {
    const [guestAddress, guestPort] = endpoint(guest);
    const [remoteAddress, remotePort] = endpoint(remote);
    const id = { guest: guestAddress, guestPort, remote: remoteAddress, remotePort };
    return this.stack.dial(this.now, id, app);
  }

  private sendDatagram(frame: Uint8Array): void {
    const [, remote] = endsOf(frame, false);
    const id = this.peers.get(remote);
    const l4 = l4Of(frame);
    if (id !== undefined) this.stack.sendDatagram(this.now, id, l4, 8, l4.length - 8);
  }

  private conversation(guest: string, remote: string): Conversation {
    const key = `${guest} ${remote}`;
    const known = this.conversations.get(key);
    if (known !== undefined) return known;
    const talk = new Conversation();
    this.conversations.set(key, talk);
    return talk;
  }

  private look(): void {
    for (const frame of this.writer.take()) {
      this.sent.push(frame);
      if (protocolOf(frame) !== PROTOCOL_TCP) continue;
      const record = parseTcp(frame);
      const [guest, remote] = endsOf(frame, false);
      const talk = this.conversation(guest, remote);
      if (record.flags.includes('S')) {
        talk.issNow = record.seq;
        talk.handshakes.push(record);
      }
      talk.tsNow = record.ts?.[0] ?? 0;
      talk.sent.take(record);
    }
  }

  private passTime(until: number): void {
    for (;;) {
      const next = this.stack.nextTimeout();
      if (next > until) break;
      this.now = Math.max(next, this.now);
      this.stack.onTimeout(this.now);
      this.look();
    }
    this.now = Math.max(until, this.now);
  }
}

const isWhole = (frame: Uint8Array): boolean =>
  addressesOf(frame)[0].family === 6 || (fragmentOf(frame) & ~0x4000) === 0;

/** Source and destination. */
function addressesOf(frame: Uint8Array): readonly [IpAddress, IpAddress] {
  const header = viewOf(l3Of(frame));
  return header.getUint8(0) >>> 4 === 6
    ? [readIpv6Address(header, IPV6_SRC), readIpv6Address(header, IPV6_DST)]
    : [ipv4(ipv4Src(header, 0)), ipv4(ipv4Dst(header, 0))];
}

const endOf = (address: IpAddress, port: number): string => `${address}#${port}`;

/** Address and port of the guest's end and of the other. */
function endsOf(frame: Uint8Array, fromGuest: boolean): readonly [string, string] {
  const [from, to] = addressesOf(frame);
  const l4 = viewOf(l4Of(frame));
  const src = endOf(from, l4.getUint16(0));
  const dst = endOf(to, l4.getUint16(2));
  return fromGuest ? [src, dst] : [dst, src];
}

function endpoint(text: string): readonly [IpAddress, number] {
  const [address = '', port = ''] = text.split('#');
  const parsed = parseAddress(address);
  if (parsed === undefined) throw new Error(`${text}: no address`);
  return [parsed, Number(port)];
}

/** `offset+more bytes` of each ICMP packet to the guest, as text: what of a reply does not change. */
export const icmpOf = (frames: readonly Uint8Array[]): string[] =>
  frames
    .filter((frame) => protocolOf(frame) === PROTOCOL_ICMP)
    .map((frame) => {
      const at = fragmentOf(frame) & 0x1fff;
      const more = (fragmentOf(frame) & IPV4_MF) === 0 ? '' : '+';
      return `${at}${more} ${Buffer.from(l4Of(frame)).toString('hex')}`;
    });
