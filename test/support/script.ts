/**
 * Packet scripts: one stack, frames in and out as small records, in virtual time. Sequence numbers
 * are relative: the guest's to its initial number, ours to the one that our SYN carried.
 */
import { type IpAddress, ipv4 } from '../../src/base/ip-address.ts';
import { seededRandom } from '../../src/base/random.ts';
import { makeSlab, type Slab } from '../../src/base/slab.ts';
import type {
  CloseReason,
  Datagram,
  EchoRequest,
  TcpFlow,
  TcpFlowHandler,
  TcpRequest,
  Upstream,
} from '../../src/stack/flow.ts';
import type { FrameWork } from '../../src/stack/frame.ts';
import type { Guest } from '../../src/stack/guest.ts';
import type { Ipv6Config } from '../../src/stack/ipv6/layer.ts';
import type { FrameReader, FrameWriter } from '../../src/stack/link.ts';
import { Stack } from '../../src/stack/stack.ts';
import type { StackConfig, StackEvents } from '../../src/stack/stack-config.ts';
import type { TcpConfig } from '../../src/stack/tcp/config.ts';
import { PROTOCOL_TCP } from '../../src/wire/ipv4.ts';
import { formatMac } from '../../src/wire/mac.ts';
import { family, IPV6, PREFIX } from './family.ts';
import {
  arpFrame,
  GATEWAY_IP,
  GATEWAY_MAC,
  GUEST_IP,
  GUEST_MAC,
  HOST_IP,
  type IpFields,
  parseTcp,
  protocolOf,
  SERVER_IP,
  type TcpRecord,
  tcpFrame,
} from './frames.ts';
import { solicitationOfGateway } from './frames6.ts';
import { lend } from './lend.ts';

/** The gateway's addresses in IPv6. */
export const IPV6_CONFIG: Ipv6Config = {
  prefix: PREFIX,
  gateway: IPV6.address(GATEWAY_IP),
  host: IPV6.address(HOST_IP),
};

/** A link whose frames are kept. */
export class RecordingWriter implements FrameWriter {
  readonly slab: Slab = makeSlab(70_000);
  offload = false;
  isCrowded = false;
  longestFrame: number = Number.POSITIVE_INFINITY;
  full = false;
  /** Frames taken before the link is full; each commit counts. */
  room: number = Number.POSITIVE_INFINITY;
  frames: Uint8Array[] = [];
  gsoSizes: number[] = [];
  works: FrameWork[] = [];
  flushes = 0;

  reserve(_maxLen: number): number {
    return this.full || this.room <= 0 ? -1 : 0;
  }

  commit(len: number): void {
    if (len === 0) return;
    this.room--;
    this.frames.push(this.slab.bytes.slice(0, len));
  }

  commitOffload(len: number, work: FrameWork): void {
    this.gsoSizes.push(work.gsoSize);
    this.works.push({ ...work });
    this.commit(len);
  }

  flush(): void {
    this.flushes++;
  }

  take(): Uint8Array[] {
    const { frames } = this;
    this.frames = [];
    return frames;
  }
}

/** The layer above: records its events, reads everything unless it is set to hold. */
export class App implements TcpFlowHandler {
  flow: TcpFlow | undefined = undefined;
  events: string[] = [];
  received: number[] = [];
  hold = false;
  closed: CloseReason | undefined = undefined;

  onOpen(_now: number, flow: TcpFlow): void {
    this.flow = flow;
    this.events.push('open');
  }

  onReadable(now: number, flow: TcpFlow): void {
    this.flow = flow;
    this.events.push('readable');
    if (!this.hold) this.read(now);
  }

  read(now: number, most: number = Number.POSITIVE_INFINITY): void {
    const { flow } = this;
    if (flow === undefined) return;
    let left = most;
    while (flow.receivedLen > 0 && left > 0) {
      const run = flow.readable();
      const len = Math.min(run.length, left);
      for (const byte of run.subarray(0, len)) this.received.push(byte);
      flow.release(now, len);
      left -= len;
    }
  }

  onWritable(): void {
    this.events.push('writable');
  }

  onPeerEnd(): void {
    this.events.push('guest-end');
  }

  onClosed(_now: number, _flow: TcpFlow, reason: CloseReason): void {
    this.closed = reason;
    this.events.push(`closed:${reason}`);
  }

  get text(): string {
    return String.fromCharCode(...this.received);
  }
}

export interface ScriptOptions {
  readonly mtu?: number;
  readonly tcp?: Partial<TcpConfig>;
  readonly start?: number;
  readonly seed?: number;
  readonly config?: Partial<StackConfig>;
  readonly events?: StackEvents;
}

type TcpIn = Partial<Omit<TcpRecord, 'data'>> & {
  readonly data?: Uint8Array | string | number;
  readonly ip?: IpFields;
};

const bytesOf = (data: Uint8Array | string | number | undefined): Uint8Array => {
  if (typeof data === 'number') return Uint8Array.from({ length: data }, (_, i) => i & 255);
  return typeof data === 'string' ? new TextEncoder().encode(data) : (data ?? new Uint8Array(0));
};

export class Script implements Upstream {
  readonly stack: Stack;
  readonly writer: RecordingWriter = new RecordingWriter();
  readonly reader: FrameReader;
  now: number;
  /** The guest's and our initial sequence numbers. */
  irs = 1000;
  iss = 0;
  /** Guest's timestamp clock when it uses timestamps: [its value, what it echoes]. */
  ts: readonly [number, number] | undefined = undefined;
  app: App = new App();
  requests: TcpRequest[] = [];
  cancelled = 0;
  datagrams: { key: number[]; data: Uint8Array; ttl: number }[] = [];
  echoes: { identifier: number; sequence: number; data: Uint8Array; ttl: number }[] = [];
  /** Of the layer above: it is asked about pings of the gateway. */
  isDecidingPings = false;
  refused: { key: number[]; data: Uint8Array | undefined }[] = [];
  /** Guests that came and went. */
  guests: string[] = [];
  /** What happens to requests: accepted at once, refused at once, or kept. */
  policy: 'accept' | 'refuse' | 'keep' = 'accept';

  constructor(options: ScriptOptions = {}) {
    this.now = options.start ?? 100_000;
    const config: StackConfig = {
      subnet: ipv4(0xc0a8_7f00 | 0),
      prefixLen: 24,
      gateway: ipv4(GATEWAY_IP),
      host: ipv4(HOST_IP),
      ipv6: family().version === 6 ? IPV6_CONFIG : undefined,
      mtu: (options.mtu ?? 1500) + family().mtuMore,
      mac: GATEWAY_MAC,
      verifyChecksums: true,
      tcp: options.tcp ?? {},
      ...options.config,
    };
    this.stack = new Stack(config, this.now, seededRandom(options.seed ?? 1), this, options.events);
    const reader = this.stack.attach(this.now, 'script', this.writer);
    if (reader === undefined) throw new Error('no room for a link');
    this.reader = reader;
  }

  onTcpRequest(now: number, request: TcpRequest): void {
    this.requests.push(request);
    request.onCancelled = () => {
      this.cancelled++;
    };
    if (this.policy === 'accept') this.app.flow = request.accept(now, this.app);
    if (this.policy === 'refuse') request.refuse(now, 'refused');
  }

  onDatagram(_now: number, d: Datagram): void {
    const data = d.slab.bytes.slice(d.off, d.off + d.len);
    this.datagrams.push({ key: [...d.key], data, ttl: d.ttl });
  }

  decidesPings(): boolean {
    return this.isDecidingPings;
  }

  onEcho(_now: number, e: EchoRequest): void {
    const { identifier, sequence, ttl } = e;
    this.echoes.push({ identifier, sequence, ttl, data: e.slab.bytes.slice(e.off, e.off + e.len) });
  }

  onDatagramRefused(
    _now: number,
    _owner: Guest,
    key: Int32Array,
    slab: Slab,
    off: number,
    len: number,
  ): void {
    const data = len < 0 ? undefined : slab.bytes.slice(off, off + len);
    this.refused.push({ key: [...key], data });
  }

  onGuestHeard(_now: number, address: IpAddress, mac: number): void {
    this.guests.push(`${address} is ${formatMac(mac)}`);
  }

  onAddressGone(_now: number, _owner: Guest, address: IpAddress): void {
    this.guests.push(`${address} is gone`);
  }

  onGuestGone(_now: number, owner: Guest): void {
    this.guests.push(`guest ${owner.id} is gone`);
  }

  get flow(): TcpFlow {
    if (this.app.flow === undefined) throw new Error('no flow');
    return this.app.flow;
  }

  /** Frames from the guest, as one batch. Each is lent, and gone when the call returns. */
  frames(...frames: readonly Uint8Array[]): this {
    for (const frame of frames) lend(this.reader, this.now, frame.slice());
    this.reader.onBatchEnd(this.now);
    return this;
  }

  /** Segments from the guest, as one batch. Numbers are relative. */
  in(...segments: readonly TcpIn[]): this {
    return this.frames(...segments.map((s) => this.segment(s)));
  }

  segment(s: TcpIn): Uint8Array {
    const { ip, data, ...rest } = s;
    const ts = 'ts' in s ? s.ts : this.ts;
    return tcpFrame(
      {
        ...rest,
        data: bytesOf(data),
        seq: this.irs + (s.seq ?? 0),
        ack: (s.flags ?? 'A').includes('A') ? this.iss + (s.ack ?? 0) : 0,
        ...(ts === undefined ? {} : { ts }),
        sack: (s.sack ?? []).map(([a, b]) => [this.iss + a, this.iss + b]),
      },
      ip,
    );
  }

  /** TCP records sent since the last look, with relative numbers. */
  records(): TcpRecord[] {
    const tcp = this.writer.take().filter((frame) => protocolOf(frame) === PROTOCOL_TCP);
    return tcp.map((frame) => {
      const r = parseTcp(frame);
      if (r.flags.includes('S')) this.iss = r.seq;
      return {
        ...r,
        seq: (r.seq - this.iss) | 0,
        ack: r.flags.includes('A') ? (r.ack - this.irs) | 0 : 0,
        sack: r.sack.map(([a, b]) => [(a - this.irs) | 0, (b - this.irs) | 0] as const),
      };
    });
  }

  /** The same as text: flags, first number + length, acknowledgement. */
  out(): string[] {
    return this.records().map((r) => {
      const sack = r.sack.map(([a, b]) => ` ${a}-${b}`).join('');
      return `${r.flags} ${r.seq}+${r.data.length} ack ${r.ack}${sack === '' ? '' : ` sack${sack}`}`;
    });
  }

  /** Let time pass, serving each deadline at its time. */
  advance(ms: number): this {
    const end = this.now + ms;
    for (;;) {
      const next = this.stack.nextTimeout();
      if (next > end) break;
      this.now = Math.max(next, this.now);
      this.stack.onTimeout(this.now);
    }
    this.now = end;
    this.stack.onTimeout(end);
    return this;
  }

  /** End an empty batch: work lists are served. */
  settle(): this {
    this.reader.onBatchEnd(this.now);
    return this;
  }

  send(data: Uint8Array | string | number): this {
    const bytes = bytesOf(data);
    this.flow.send(this.now, bytes, 0, bytes.length);
    this.stack.flush();
    return this;
  }

  drops(): Readonly<Record<string, number>> {
    return this.stack.drops.snapshot();
  }

  /** The guest says who it is, so that the stack can reach it. */
  announce(): this {
    return this.frames(announcement());
  }

  /** Open a connection to the guest's port 40000 from SERVER_IP:80. */
  dial(): TcpFlow | undefined {
    const id = {
      guest: family().address(GUEST_IP),
      guestPort: 40_000,
      remote: family().address(SERVER_IP),
      remotePort: 80,
    };
    this.app.flow = this.stack.dial(this.now, id, this.app);
    return this.app.flow;
  }
}

/** The guest says who it is. */
export const announcement = (): Uint8Array =>
  family().version === 4 ? arpFrame(1, GUEST_MAC, GUEST_IP, GATEWAY_IP) : solicitationOfGateway();

export interface Offer {
  readonly mss?: number;
  readonly ws?: number;
  readonly sackOk?: boolean;
  readonly ts?: readonly [number, number];
  readonly win?: number;
}

/** The options of a Linux guest without timestamps, so that segments hold 1460 bytes. */
export const PLAIN: Offer = { mss: 1460, ws: 7, sackOk: true };

/** A connection that the guest opened; nothing is in flight and no frame is left to look at. */
export function established(options: ScriptOptions & { offer?: Offer; irs?: number } = {}): Script {
  const script = new Script(options);
  script.irs = options.irs ?? 1000;
  const offer = options.offer ?? PLAIN;
  script.in({ flags: 'S', ...offer });
  script.records();
  script.ts = offer.ts;
  script.in({ seq: 1, ack: 1, win: offer.win ?? 0xffff });
  script.records();
  script.app.events = [];
  return script;
}
