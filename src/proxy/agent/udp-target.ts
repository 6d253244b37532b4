/**
 * The dialling end of a channel for datagrams. Each external client has a socket of its own, so that
 * the server's answers can be attributed to it. In the dialect of VPNKit's Go half, and ours, a channel is
 * one client; in that of its OCaml half every datagram names its client.
 *
 * Sockets are bounded by number, least recently used first, and end when idle; the channel of one client
 * ends with its socket.
 */
import type { Slab } from '../../base/slab.ts';
import type { Clock, Instant } from '../../base/time.ts';
import type { IpDestination, IpEndpoint } from '../../mux/destination.ts';
import type { MuxChannel, MuxChannelHandler } from '../../mux/mux-channel.ts';
import {
  DatagramChannel,
  type MuxDatagram,
  makeDatagramScratch,
} from '../../mux/udp-encapsulation.ts';
import type { Guest } from '../../stack/guest.ts';
import type { Flow, FlowFacts, FlowSource } from '../flows/flow.ts';
import type { FlowBook } from '../flows/flow-book.ts';
import { closeQuietly, type HostSocket, openHostSocket } from '../udp/host-socket.ts';
import { type ChannelOrigin, channelFacts } from './channel-facts.ts';
import type { DialerSockets, SocketHolder } from './dialer-sockets.ts';

const SCRATCH: Slab = makeDatagramScratch();
const MAX_CLIENTS = 1024;
/** Somewhat longer than the opener's, whose decision it is. */
const IDLE_MS = 240_000;
const SWEEP_MS = 10_000;
/** Bytes queued for the kernel. */
const MAX_IN_FLIGHT = 4 << 20;

class Client implements SocketHolder {
  chainNext: SocketHolder | undefined = undefined;
  chainPrev: SocketHolder | undefined = undefined;
  activitySeen = 0;
  readonly name: string;
  readonly host: HostSocket;
  usedAt: Instant;
  private readonly target: UdpTarget;

  constructor(target: UdpTarget, now: Instant, name: string, host: HostSocket) {
    this.target = target;
    this.name = name;
    this.host = host;
    this.usedAt = now;
  }

  get activity(): Instant {
    return this.usedAt;
  }

  evict(): void {
    this.target.drop(this);
  }
}

/** Datagrams that went no further, the last kind towards the client. */
export type UdpTargetCount =
  | 'udp-no-socket'
  | 'udp-in-flight-limit'
  | 'udp-send-failed'
  | 'udp-channel-full';

export interface UdpTargetDeps {
  readonly clock: Pick<Clock, 'now'>;
  readonly book: FlowBook;
  readonly counts: { add(count: UdpTargetCount): void };
}

export class UdpTarget implements MuxChannelHandler, FlowSource {
  private readonly clock: Pick<Clock, 'now'>;
  private readonly book: FlowBook;
  private readonly counts: UdpTargetDeps['counts'];
  private readonly origin: ChannelOrigin;
  private readonly owner: Guest | undefined;
  private entry: Flow | undefined = undefined;
  private usedAt: Instant = 0;
  private readonly target: IpDestination;
  private readonly targetText: string;
  private channel: MuxChannel | undefined = undefined;
  private datagrams: DatagramChannel | undefined = undefined;
  /** Least recently used first. */
  private readonly clients = new Map<string, Client>();
  private sweeper: NodeJS.Timeout | undefined = undefined;
  private inFlight = 0;
  private over = false;
  private readonly sockets: DialerSockets;

  constructor(
    { clock, book, counts }: UdpTargetDeps,
    target: IpDestination,
    sockets: DialerSockets,
    origin: ChannelOrigin,
    owner: Guest | undefined,
  ) {
    this.clock = clock;
    this.sockets = sockets;
    this.book = book;
    this.counts = counts;
    this.origin = origin;
    this.owner = owner;
    this.target = target;
    this.targetText = target.address.toString();
  }

  /** Use the channel that was accepted with this as its handler. */
  join(now: Instant, channel: MuxChannel): void {
    this.channel = channel;
    this.usedAt = now;
    this.entry = this.book.add('udp', this.owner, this.target.address, this);
    this.datagrams = new DatagramChannel(channel, SCRATCH);
    this.sweeper = setInterval(() => this.sweep(), SWEEP_MS);
    this.sweeper.unref();
    this.onReadable(now);
  }

  onOpen(): void {}

  onWritable(now: Instant): void {
    this.datagrams?.onWritable(now);
  }

  onReadable(now: Instant): void {
    this.usedAt = now;
    const { datagrams } = this;
    if (datagrams === undefined || this.over) return;
    if (datagrams.receive(now, (datagram) => this.onDatagram(now, datagram))) return;
    this.end();
    this.channel?.abort(now, 'protocol', 'the stream of datagrams is out of sync');
  }

  onPeerEnd(now: Instant): void {
    this.end();
    this.channel?.shutdown(now);
  }

  onClosed(): void {
    this.end();
  }

  private onDatagram(now: Instant, { peer, bytes, off, len }: MuxDatagram): void {
    const client = this.clientOf(now, peer);
    if (client === undefined) {
      this.counts.add('udp-no-socket');
      return;
    }
    if (this.inFlight + len > MAX_IN_FLIGHT) {
      this.counts.add('udp-in-flight-limit');
      return;
    }
    this.inFlight += len;
    const copy = Buffer.from(bytes.subarray(off, off + len));
    client.host.socket.send(copy, this.target.port, this.targetText, (error) => {
      this.inFlight -= len;
      if (error !== null) this.counts.add('udp-send-failed'); // the client sees it as silence
    });
  }

  private clientOf(now: Instant, peer: IpEndpoint | undefined): Client | undefined {
    const name = peer === undefined ? '' : `${peer.port} ${peer.address}`;
    const known = this.clients.get(name);
    if (known !== undefined) {
      known.usedAt = now;
      this.clients.delete(name);
      this.clients.set(name, known);
      return known;
    }
    for (const oldest of this.clients.values()) {
      if (this.clients.size < MAX_CLIENTS) break;
      this.drop(oldest);
    }
    if (!this.sockets.take()) return undefined;
    const host = openHostSocket(
      { family: this.target.address.family },
      {
        onMessage: (bytes, from) => {
          // Like a connected socket: only the target may answer.
          if (from.port !== this.target.port || from.address !== this.targetText) return;
          const at = this.clock.now();
          const client = this.clients.get(name);
          if (client !== undefined) client.usedAt = at;
          this.usedAt = at;
          if (this.datagrams?.send(at, peer, bytes, 0, bytes.length) === false) {
            this.counts.add('udp-channel-full');
          }
        },
        onReceiveError: () => {},
        onFault: () => {
          const client = this.clients.get(name);
          if (client !== undefined) this.drop(client);
        },
      },
    );
    if (typeof host === 'string') {
      this.sockets.give();
      return undefined;
    }
    const client = new Client(this, now, name, host);
    this.clients.set(name, client);
    this.sockets.add(client);
    return client;
  }

  private sweep(): void {
    const now = this.clock.now();
    for (const client of this.clients.values()) {
      if (client.usedAt + IDLE_MS <= now) this.drop(client);
    }
    if (this.clients.size > 0) return;
    this.end();
    this.channel?.shutdown(now);
  }

  /** @internal for clients */
  drop(client: Client): void {
    this.clients.delete(client.name);
    this.sockets.delete(client);
    closeQuietly(client.host.socket);
  }

  describeFlow(): FlowFacts {
    return channelFacts(this.origin, this.channel, this.usedAt);
  }

  endFlow(): void {
    this.end();
    this.channel?.abort(this.clock.now());
  }

  private end(): void {
    this.over = true;
    this.book.end(this.entry, 'finished');
    clearInterval(this.sweeper);
    for (const client of [...this.clients.values()]) this.drop(client);
  }
}
