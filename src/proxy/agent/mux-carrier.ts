/** Publications with `via: mux`: connections of clients become channels to the current peer. */
import { Chain } from '../../base/chain.ts';
import { Counters } from '../../base/counters.ts';
import { ipv4 } from '../../base/ip-address.ts';
import type { Log } from '../../base/log.ts';
import type { Clock } from '../../base/time.ts';
import { type Destination, formatDestination } from '../../mux/destination.ts';
import type { ChannelEnd } from '../../mux/reason.ts';
import type { HostStream } from '../../native/stream/host-stream.ts';
import type { FlowBook } from '../flows/flow-book.ts';
import { NO_FLUSH } from '../flush-scheduler.ts';
import type {
  AgentCarrier,
  AgentCarriers,
  AgentClient,
  AgentTarget,
  PublishedListener,
} from '../ports/agent-carrier.ts';
import type { SocketSpec, SourceAddress } from '../ports/publish-spec.ts';
import { endOf, UNKNOWN_END } from './channel-facts.ts';
import { ChannelSplice } from './channel-splice.ts';
import type { MuxPeers } from './peers.ts';
import { type UdpChannelCount, UdpChannels } from './udp-channels.ts';

export interface MuxCarrierDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly peers: Pick<MuxPeers, 'current' | 'of'>;
  readonly book: FlowBook;
  /** Whether UDP ports without an explicit setting send their clients' addresses to the agent. */
  readonly sourceAddress?: SourceAddress;
}

export type MuxCarrierCount =
  | 'served'
  | 'no-agent'
  | 'no-channel'
  | 'refused'
  | 'reset'
  | 'link-down';

type CurrentPeer = Pick<MuxPeers, 'current'>;

/** Of the guest that the agent runs in. */
const LOOPBACK = ipv4(0x7f00_0001);

export class MuxCarrier implements AgentCarriers {
  readonly counts: Counters<MuxCarrierCount> = new Counters();
  readonly udpCounts: Counters<UdpChannelCount> = new Counters();
  private readonly deps: MuxCarrierDeps;
  private readonly splices = new Chain<ChannelSplice>();

  constructor(deps: MuxCarrierDeps) {
    this.deps = deps;
  }

  /** Connections that are being served. */
  get active(): number {
    return this.splices.size;
  }

  serve(
    accepted: HostStream,
    target: AgentTarget,
    client: AgentClient | undefined,
    preface: Uint8Array | undefined,
    onEnd: () => void,
    publication: string,
  ): boolean {
    return this.splice(accepted, destinationOf(target), client, preface, onEnd, publication);
  }

  of(link: string): AgentCarrier {
    const peers = this.deps.peers.of(link);
    return {
      serve: (accepted, target, client, preface, onEnd, publication) =>
        this.spliceBy(peers, accepted, destinationOf(target), client, preface, onEnd, publication),
      listenUdp: (publication, spec) => this.listenUdpBy(peers, publication, spec),
    };
  }

  /** Like {@link AgentCarrier.serve}, to any destination of the peer. */
  splice(
    accepted: HostStream,
    destination: Destination,
    client: AgentClient | undefined,
    preface: Uint8Array | undefined,
    onEnd: () => void,
    publication?: string,
  ): boolean {
    const { peers } = this.deps;
    return this.spliceBy(peers, accepted, destination, client, preface, onEnd, publication);
  }

  private spliceBy(
    peers: CurrentPeer,
    accepted: HostStream,
    destination: Destination,
    client: AgentClient | undefined,
    preface: Uint8Array | undefined,
    onEnd: () => void,
    publication: string | undefined,
  ): boolean {
    const { clock, book } = this.deps;
    const peer = peers.current;
    if (peer === undefined) {
      this.counts.add('no-agent');
      return false;
    }
    const remote = client ?? UNKNOWN_END;
    const origin = { openedBy: 'host', guest: endOf(destination), remote, publication } as const;
    const splice = new ChannelSplice({ clock, flusher: NO_FLUSH }, origin, (reason, text) => {
      this.splices.delete(splice);
      book.end(splice.entry, reason ?? 'finished');
      if (reason !== undefined) this.onRefused(destination, reason, text);
      onEnd();
    });
    const now = clock.now();
    const channel = peer.mux.open(now, destination, splice, client);
    if (channel === undefined) {
      this.counts.add('no-channel');
      return false;
    }
    this.counts.add('served');
    this.splices.add(splice);
    splice.entry = book.add(destination.proto, peer.owner, undefined, splice);
    if (preface !== undefined) channel.send(now, preface, 0, preface.length);
    splice.join(accepted, channel);
    return true;
  }

  /** @throws PublishError */
  listenUdp(publication: string, spec: SocketSpec): PublishedListener {
    return this.listenUdpBy(this.deps.peers, publication, spec);
  }

  private listenUdpBy(
    peers: CurrentPeer,
    publication: string,
    spec: SocketSpec,
  ): PublishedListener {
    const { clock, book, sourceAddress = 'preserve' } = this.deps;
    const address = spec.guestAddress ?? LOOPBACK;
    const target = { proto: 'udp', address, port: spec.guestPort } as const;
    const sendsClient = (spec.sourceAddress ?? sourceAddress) === 'preserve';
    const deps = { clock, peers, book, publication, counts: this.udpCounts };
    return new UdpChannels(deps, spec, target, sendsClient);
  }

  close(): void {
    for (const splice of [...this.splices]) splice.abort();
  }

  private onRefused(destination: Destination, reason: ChannelEnd, text: string): void {
    const count = countOf(reason);
    if (count === undefined) return;
    this.counts.add(count);
    const fields = { target: formatDestination(destination), reason, text };
    if (count === 'reset') this.deps.log.debug(fields, 'client reset: the target did');
    else this.deps.log.info(fields, 'client reset: the channel to the target ended');
  }
}

function countOf(reason: ChannelEnd): MuxCarrierCount | undefined {
  switch (reason) {
    case 'finished':
    case 'reset-by-peer':
      return reason === 'finished' ? undefined : 'reset';
    case 'link-down':
      return 'link-down';
    case 'refused':
    case 'unreachable':
    case 'timed-out':
    case 'prohibited':
    case 'limit':
    case 'going-away':
    case 'window-overrun':
    case 'protocol':
    case 'no-memory':
      return 'refused';
  }
}

function destinationOf(target: AgentTarget): Destination {
  if (target.kind === 'path') return { proto: 'unix', path: target.path };
  return { proto: 'tcp', address: target.address ?? LOOPBACK, port: target.port };
}
