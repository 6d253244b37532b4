/**
 * A UDP port published through the agent: one channel for each external client, in the dialect of
 * VPNKit's Go half. Clients are bounded, least recently used first, and end when idle: soon where the
 * guest has never answered, later where it has.
 */
import type { Counters } from '../../base/counters.ts';
import type { Slab } from '../../base/slab.ts';
import type { Clock, Instant } from '../../base/time.ts';
import type { IpDestination, IpEndpoint } from '../../mux/destination.ts';
import type { MuxChannel, MuxChannelHandler } from '../../mux/mux-channel.ts';
import {
  DatagramChannel,
  type MuxDatagram,
  makeDatagramScratch,
} from '../../mux/udp-encapsulation.ts';
import { parseAddress } from '../../services/address-text.ts';
import type { Flow, FlowFacts, FlowSource } from '../flows/flow.ts';
import type { FlowBook } from '../flows/flow-book.ts';
import type { PublishedListener } from '../ports/agent-carrier.ts';
import { listenError, type SocketSpec } from '../ports/publish-spec.ts';
import { Outboxes } from '../udp/outbox.ts';
import { type FrontPeer, openUdpFront, type UdpFront } from '../udp/udp-front.ts';
import { type ChannelOrigin, channelFacts, UNKNOWN_END } from './channel-facts.ts';
import type { MuxPeers } from './peers.ts';

export interface UdpChannelOptions {
  /** Clients of one port. */
  readonly clients: number;
  readonly freshMs: number;
  readonly settledMs: number;
  /** Bytes of one port queued for the kernel. */
  readonly inFlightBytes: number;
}

export const UDP_CHANNEL_DEFAULTS: UdpChannelOptions = {
  clients: 1024,
  freshMs: 30_000,
  settledMs: 180_000,
  inFlightBytes: 4 << 20,
};

export type UdpChannelCount =
  | 'no-agent'
  | 'no-channel'
  | 'evicted'
  | 'expired'
  | 'in-flight-limit'
  | 'send-failed';

const SCRATCH: Slab = makeDatagramScratch();
const SWEEP_MS = 5_000;
/** Answers are few: sent by Node, from a socket for each address of the host. */
const BY_NODE = {
  outboxes: new Outboxes(() => undefined),
  native: { posix: undefined },
  reader: () => undefined,
};

export interface UdpChannelsDeps {
  readonly clock: Pick<Clock, 'now'>;
  readonly peers: Pick<MuxPeers, 'current'>;
  readonly counts: Counters<UdpChannelCount>;
  readonly book: FlowBook;
  /** Its id. */
  readonly publication: string;
}

export class UdpChannels implements PublishedListener {
  hostPort = 0;
  /** By the client's port and address; least recently used first. */
  readonly clients: Map<string, UdpClient> = new Map();
  readonly deps: UdpChannelsDeps;
  private readonly target: IpDestination;
  private readonly sendsClient: boolean;
  private readonly options: UdpChannelOptions;
  private readonly front: UdpFront;
  private readonly sweeper: NodeJS.Timeout;
  private inFlight = 0;

  /**
   * @param sendsClient whether the client's address is sent to the agent
   * @throws PublishError
   */
  constructor(
    deps: UdpChannelsDeps,
    spec: SocketSpec,
    target: IpDestination,
    sendsClient: boolean,
    options: UdpChannelOptions = UDP_CHANNEL_DEFAULTS,
  ) {
    this.deps = deps;
    this.target = target;
    this.sendsClient = sendsClient;
    this.options = options;
    const front = openUdpFront(spec.hostAddress, spec.hostPort, BY_NODE, {
      onMessage: (key, bytes, off, len, peer) => this.onMessage(key, bytes, off, len, peer),
      onReceiveError: () => {},
      onFault: (key) => this.clients.get(key)?.close(),
      onSent: () => {},
      onInterrupted: () => {},
    });
    if (typeof front === 'string') throw listenError(spec, front);
    this.front = front;
    this.hostPort = front.port;
    this.sweeper = setInterval(() => this.sweep(), SWEEP_MS);
    this.sweeper.unref();
  }

  get active(): number {
    return this.clients.size;
  }

  /** No TCP listener. */
  isAt(): boolean {
    return false;
  }

  stop(): void {
    clearInterval(this.sweeper);
    for (const client of [...this.clients.values()]) client.close();
    this.front.close();
  }

  /** To an external client. */
  transmit({ bytes, off, len }: MuxDatagram, to: FrontPeer): void {
    if (this.inFlight + len > this.options.inFlightBytes) {
      this.deps.counts.add('in-flight-limit');
      return;
    }
    this.inFlight += len;
    const copy = Buffer.from(bytes.subarray(off, off + len));
    const done = (error: Error | null): void => {
      this.inFlight -= len;
      if (error !== null) this.deps.counts.add('send-failed');
    };
    try {
      to.host?.socket.send(copy, to.port, to.address, done);
    } catch (error) {
      // The host has lost the address that the client sent to, and its socket is closed.
      done(error instanceof Error ? error : new Error(String(error)));
    }
  }

  private onMessage(
    name: string,
    bytes: Uint8Array,
    off: number,
    len: number,
    from: () => FrontPeer,
  ): void {
    const { clock, counts } = this.deps;
    const now = clock.now();
    const client = this.clients.get(name) ?? this.admit(now, name, from());
    if (client === undefined) return;
    this.clients.delete(name);
    this.clients.set(name, client);
    client.usedAt = now;
    if (!client.send(now, bytes, off, len)) counts.add('no-channel');
  }

  private admit(now: Instant, name: string, from: FrontPeer): UdpClient | undefined {
    const { peers, counts } = this.deps;
    const peer = peers.current;
    if (peer === undefined) {
      counts.add('no-agent');
      return undefined;
    }
    for (const oldest of this.clients.values()) {
      if (this.clients.size < this.options.clients) break;
      counts.add('evicted');
      oldest.close();
    }
    const { book, publication } = this.deps;
    const remote = endpointOf(from) ?? UNKNOWN_END;
    const origin = { openedBy: 'host', guest: this.target, remote, publication } as const;
    const client = new UdpClient(this, name, from, origin);
    const endpoint = this.sendsClient ? endpointOf(from) : undefined;
    const channel = peer.mux.open(now, this.target, client, endpoint);
    if (channel === undefined) {
      counts.add('no-channel');
      return undefined;
    }
    client.join(channel, book.add('udp', peer.owner, undefined, client));
    return client;
  }

  private sweep(): void {
    const { clock, counts } = this.deps;
    const now = clock.now();
    for (const client of [...this.clients.values()]) {
      const lasts = client.settled ? this.options.settledMs : this.options.freshMs;
      if (client.usedAt + lasts > now) continue;
      counts.add('expired');
      client.close();
    }
  }
}

class UdpClient implements MuxChannelHandler, FlowSource {
  usedAt: Instant = 0;
  /** The guest has answered. */
  settled = false;
  private readonly owner: UdpChannels;
  private readonly name: string;
  private readonly from: FrontPeer;
  private readonly origin: ChannelOrigin;
  private entry: Flow | undefined = undefined;
  private channel: MuxChannel | undefined = undefined;
  private datagrams: DatagramChannel | undefined = undefined;

  constructor(owner: UdpChannels, name: string, from: FrontPeer, origin: ChannelOrigin) {
    this.owner = owner;
    this.origin = origin;
    this.name = name;
    this.from = from;
  }

  join(channel: MuxChannel, entry: Flow): void {
    this.entry = entry;
    this.channel = channel;
    this.datagrams = new DatagramChannel(channel, SCRATCH);
  }

  send(now: Instant, bytes: Uint8Array, off: number, len: number): boolean {
    return this.datagrams?.send(now, undefined, bytes, off, len) ?? false;
  }

  close(): void {
    this.forget();
    this.channel?.abort(this.owner.deps.clock.now());
  }

  describeFlow(): FlowFacts {
    return channelFacts(this.origin, this.channel, this.usedAt);
  }

  endFlow(): void {
    this.close();
  }

  onOpen(): void {}

  onWritable(now: Instant): void {
    this.datagrams?.onWritable(now);
  }

  onReadable(now: Instant): void {
    this.usedAt = now;
    this.settled = true;
    const inStep = this.datagrams?.receive(now, (datagram) => {
      this.owner.transmit(datagram, this.from);
    });
    if (inStep === false) this.close();
  }

  onPeerEnd(): void {
    this.close();
  }

  onClosed(): void {
    this.forget();
  }

  private forget(): void {
    this.owner.deps.book.end(this.entry, 'finished');
    if (this.owner.clients.get(this.name) === this) this.owner.clients.delete(this.name);
  }
}

function endpointOf(from: FrontPeer): IpEndpoint | undefined {
  const address = parseAddress(from.address.split('%', 1)[0] ?? '');
  return address === undefined ? undefined : { address, port: from.port };
}
