/** Two stacks as TCP peers: one is the gateway under test, the other plays the guest's kernel. */
import { type IpAddress, ipv4 } from '../../src/base/ip-address.ts';
import { nextUnit, seededRandom } from '../../src/base/random.ts';
import type { Instant } from '../../src/base/time.ts';
import type {
  CloseReason,
  Datagram,
  EchoRequest,
  TcpFlow,
  TcpFlowHandler,
  TcpRequest,
  Upstream,
} from '../../src/stack/flow.ts';
import { Stack } from '../../src/stack/stack.ts';
import type { TcpConfig } from '../../src/stack/tcp/config.ts';
import { family, PREFIX } from './family.ts';
import { type Impairments, PERFECT, SimNetwork } from './sim-link.ts';

const GATEWAY = 0xc0a8_7f01 | 0;
const GUEST = 0xc0a8_7f02 | 0;
const SUBNET = ipv4(0xc0a8_7f00 | 0);
/** Of the family that runs. */
export const gatewayAddress = (): IpAddress => family().address(GATEWAY);
export const guestAddress = (): IpAddress => family().address(GUEST);

/** The byte at position `i` of every simulated stream. */
export const patternByte = (i: number): number => (i ^ (i >>> 8) ^ (i >>> 16)) & 0xff;

/** What a peer sends next; `send` copies it. */
const CHUNK = new Uint8Array(65_536);

/** Sends `total` bytes of the pattern, checks every byte that comes, and remembers what happened. */
export class Peer implements TcpFlowHandler {
  private inPlace = false;
  flow: TcpFlow | undefined = undefined;
  opened = false;
  received = 0;
  corruptAt = -1;
  ended = false;
  closed: CloseReason | undefined = undefined;
  /** Bytes taken from the ring at each call; the rest stays and closes the window. */
  takeLimit: number = Number.POSITIVE_INFINITY;
  private toSend: number;
  private sent = 0;
  private readonly shutdownAfter: boolean;

  constructor(toSend: number, shutdownAfter = true) {
    this.toSend = toSend;
    this.shutdownAfter = shutdownAfter;
  }

  get allSent(): boolean {
    return this.sent === this.toSend;
  }

  onOpen(now: Instant, flow: TcpFlow): void {
    this.flow = flow;
    this.opened = true;
    this.pump(now, flow);
  }

  onReadable(now: Instant, flow: TcpFlow): void {
    this.flow = flow;
    this.take(now);
  }

  take(now: Instant): void {
    const { flow } = this;
    if (flow === undefined) return;
    let budget = this.takeLimit;
    while (flow.receivedLen > 0 && budget > 0) {
      const run = flow.readable();
      const len = Math.min(run.length, budget);
      this.check(run, 0, len);
      budget -= len;
      flow.release(now, len);
    }
  }

  protected check(bytes: Uint8Array, off: number, len: number): void {
    for (let i = 0; i < len; i++) {
      if (bytes[off + i] !== patternByte(this.received + i) && this.corruptAt < 0) {
        this.corruptAt = this.received + i;
      }
    }
    this.received += len;
  }

  onWritable(now: Instant, flow: TcpFlow): void {
    this.pump(now, flow);
  }

  onPeerEnd(_now: Instant, _flow: TcpFlow): void {
    this.ended = true;
  }

  onClosed(_now: Instant, _flow: TcpFlow, reason: CloseReason): void {
    this.closed = reason;
  }

  sendMore(now: Instant, bytes: number): void {
    this.toSend += bytes;
    if (this.flow !== undefined) this.pump(now, this.flow);
  }

  private pump(now: Instant, flow: TcpFlow): void {
    while (this.sent < this.toSend) {
      const len = Math.min(flow.sendSpace, this.toSend - this.sent, CHUNK.length);
      if (len === 0) {
        flow.wantSpace(1);
        return;
      }
      // By turns in the two ways there are.
      this.inPlace = !this.inPlace;
      const lent = this.inPlace ? flow.reserve(len) : undefined;
      const to = lent ?? CHUNK;
      for (let i = 0; i < len; i++) to[i] = patternByte(this.sent + i);
      if (lent === undefined) flow.send(now, CHUNK, 0, len);
      else flow.fill(now, len);
      this.sent += len;
    }
    if (this.shutdownAfter) flow.shutdown(now);
  }
}

/** Accepts every request with the handler that `answer` gives; undefined refuses it. */
export class SimUpstream implements Upstream {
  answer: (request: TcpRequest) => TcpFlowHandler | undefined;
  requests = 0;
  datagrams: Uint8Array[] = [];
  echoes = 0;

  constructor(answer: (request: TcpRequest) => TcpFlowHandler | undefined = () => undefined) {
    this.answer = answer;
  }

  onTcpRequest(now: Instant, request: TcpRequest): void {
    this.requests++;
    const handler = this.answer(request);
    if (handler === undefined) request.refuse(now, 'refused');
    else request.accept(now, handler);
  }

  onDatagram(_now: Instant, d: Datagram): void {
    this.datagrams.push(d.slab.bytes.slice(d.off, d.off + d.len));
  }

  onEcho(_now: Instant, _request: EchoRequest): void {
    this.echoes++;
  }
}

export interface PairOptions {
  readonly seed?: number;
  readonly impairments?: Partial<Impairments>;
  readonly mtu?: number;
  readonly tcp?: Partial<TcpConfig>;
  readonly start?: Instant;
}

export interface Pair {
  readonly network: SimNetwork;
  readonly gateway: Stack;
  readonly guest: Stack;
  readonly gatewayUpstream: SimUpstream;
  readonly guestUpstream: SimUpstream;
}

export function makeStack(
  own: number,
  mac: number,
  start: Instant,
  seed: number,
  upstream: Upstream,
  mtu: number,
  tcp: Partial<TcpConfig>,
): Stack {
  return new Stack(
    {
      subnet: SUBNET,
      prefixLen: 24,
      gateway: ipv4(own),
      host: undefined,
      ipv6:
        family().version === 6
          ? { prefix: PREFIX, gateway: family().address(own), host: undefined }
          : undefined,
      mtu: mtu + family().mtuMore,
      mac,
      verifyChecksums: true,
      tcp,
    },
    start,
    seededRandom(seed),
    upstream,
  );
}

export function makePair(options: PairOptions = {}): Pair {
  const { seed = 1, mtu = 1500, tcp = {} } = options;
  const start = options.start ?? Math.floor(nextUnit(seededRandom(seed)) * 1e6);
  const gatewayUpstream = new SimUpstream();
  const guestUpstream = new SimUpstream();
  const gateway = makeStack(GATEWAY, 0x5a94_efe4_0cdd, start, seed + 1, gatewayUpstream, mtu, tcp);
  const guest = makeStack(GUEST, 0x5254_0012_3456, start, seed + 2, guestUpstream, mtu, tcp);
  const impairments = { ...PERFECT, ...options.impairments };
  const network = new SimNetwork(start, seed, impairments, gateway, guest);
  return { network, gateway, guest, gatewayUpstream, guestUpstream };
}

/** Open a connection from the guest to the gateway. */
export function dialFromGuest(pair: Pair, port: number, handler: TcpFlowHandler): TcpFlow {
  const flow = pair.guest.dial(
    pair.network.now,
    {
      guest: gatewayAddress(),
      guestPort: port,
      remote: guestAddress(),
      remotePort: 40_000,
    },
    handler,
  );
  pair.guest.flush();
  if (flow === undefined) throw new Error('dial failed');
  return flow;
}
