/** The multiplexer's part of the composition: links to agents, their use, and their state. */

import type { Log } from '../base/log.ts';
import { plainCount } from '../base/no-bytes.ts';
import type { Budget } from '../base/shares/budget.ts';
import type { Clock, Instant } from '../base/time.ts';
import type { MuxEvent } from '../control/events/network-events.ts';
import type { MuxLinkView, MuxPeerView } from '../control/network-view.ts';
import type { Destination } from '../mux/destination.ts';
import type { ChannelRequest } from '../mux/request.ts';
import { loadPosix } from '../native/load.ts';
import { MuxCarrier } from '../proxy/agent/mux-carrier.ts';
import { dialectOf, MuxPeers, type Peer } from '../proxy/agent/peers.ts';
import { TargetDialer } from '../proxy/agent/target-dialer.ts';
import { isAllowed, parseTargetRule } from '../proxy/agent/target-rules.ts';
import type { FlowBook } from '../proxy/flows/flow-book.ts';
import type { FlushScheduler } from '../proxy/flush-scheduler.ts';
import type { Guests } from '../proxy/ports/publication-guest.ts';
import type { SourceAddress } from '../proxy/ports/publish-spec.ts';
import type { Turns } from '../proxy/turns.ts';
import type { Guest } from '../stack/guest.ts';
import type { DialGuest } from '../transports/mux/guest-link.ts';
import type { OpenMuxLink } from '../transports/mux/mux-link.ts';
import { parseMuxLink } from '../transports/mux/mux-link-spec.ts';
import { openMuxLink } from '../transports/mux/open-mux-link.ts';
import type { MachineMemory } from '../transports/vhost-user/machine-memory.ts';
import { AgentDepartures } from './agent-departures.ts';
import { fineMs, wholeMs } from './view-numbers.ts';

export interface MuxLinksDeps {
  /** Specifications; `parseMuxLink` accepts each. */
  readonly links: readonly string[];
  /** Targets on the host that guests may have dialled; `parseTargetRule` accepts each. Empty: none. */
  readonly allow: readonly string[];
  /** Whether a target that a rule allows is open to guests. */
  readonly opensTarget: (owner: Guest | undefined, target: Destination, link: string) => boolean;
  readonly sourceAddress: SourceAddress;
  /** Idle time before peers and targets on other hosts are probed, in s. */
  readonly keepaliveS: number;
  /** Channels that hawser itself serves. @returns false when the channel is to be dialled */
  readonly serves: (
    now: Instant,
    request: ChannelRequest,
    owner: Guest | undefined,
    link: string,
  ) => boolean;
  readonly book: FlowBook;
  readonly clock: Clock;
  readonly log: Log;
  readonly turns: Turns;
  readonly guests: Guests;
  readonly dialGuest: DialGuest;
  readonly flusher: FlushScheduler;
  /** Descriptors. */
  readonly sockets: Budget;
  /** Of Unix sockets that links listen on. */
  readonly socketMode: number;
  readonly vhostMemory: MachineMemory;
  readonly onEvent: (event: MuxEvent) => void;
  /** How long the agents behind a link may be away. */
  readonly graceMs: number;
  /** None has come back within that. */
  readonly onAgentGone: (link: string) => void;
}

export class MuxLinks {
  readonly carrier: MuxCarrier;
  readonly dialer: TargetDialer;
  private readonly deps: MuxLinksDeps;
  private readonly peers: MuxPeers;
  private readonly links: OpenMuxLink[] = [];
  /** That agents behind a link were in last, by its name. */
  private readonly guests = new Map<string, Guest>();
  private readonly departures: AgentDepartures;

  constructor(deps: MuxLinksDeps) {
    this.deps = deps;
    const { book, clock, log, turns, sourceAddress, serves, keepaliveS, opensTarget } = deps;
    const rules = deps.allow.flatMap((text) => parseTargetRule(text) ?? []);
    this.dialer = new TargetDialer({
      book,
      clock,
      log,
      isAllowed: (target, owner, link) =>
        isAllowed(rules, target) && opensTarget(owner, target, link),
      sockets: deps.sockets,
      turns,
      keepaliveS,
    });
    this.departures = new AgentDepartures(deps.graceMs, deps.onAgentGone);
    this.peers = new MuxPeers({
      clock,
      log,
      turns,
      onRequest: (now, request, { link, owner }) => {
        if (owner !== undefined) this.guests.set(link.name, owner);
        if (serves(now, request, owner, link.name)) return;
        this.dialer.onRequest(now, request, link.name, owner);
      },
      onUp: (peer) => {
        this.departures.onUp(peer.link.name);
        deps.onEvent({ kind: 'up', mux: nameOf(peer), why: null });
      },
      onDown: (peer, why) => {
        const { name } = peer.link;
        if (this.peers.of(name).current === undefined) this.departures.onDown(name);
        deps.onEvent({ kind: 'down', mux: nameOf(peer), why });
      },
    });
    this.carrier = new MuxCarrier({ book, clock, log, peers: this.peers, sourceAddress });
  }

  /** @throws Error whose message states which link cannot be opened, and why */
  async open(): Promise<void> {
    const { links, ...shared } = this.deps;
    const context = { ...shared, peers: this.peers, posix: loadPosix };
    for (const [order, text] of links.entries()) {
      this.links.push(await openMuxLink(parseMuxLink(text), order, context));
    }
  }

  /** The guest that the agent behind a link is in, or was in; undefined where that is not known. */
  guestBehind(link: string): Guest | undefined {
    return this.guests.get(link);
  }

  view(): readonly MuxLinkView[] {
    const now = this.deps.clock.now();
    const peers = this.peers.list();
    return this.links.map(({ name, state, problem }) => ({
      link: name,
      state,
      problem,
      peers: peers.filter(({ link }) => link.name === name).map((peer) => peerView(peer, now)),
    }));
  }

  async close(): Promise<void> {
    const closing = this.links.splice(0).map((link) => link.close());
    this.carrier.close();
    this.dialer.close();
    this.peers.close();
    this.departures.close();
    await Promise.all(closing);
  }
}

const nameOf = ({ id, link, mux, owner }: Peer): MuxEvent['mux'] => ({
  link: link.name,
  peer: id,
  dialect: dialectOf(mux.extended),
  guestId: owner?.id ?? null,
});

function stateOf(isReady: boolean, isUnresponsive: boolean): MuxPeerView['state'] {
  if (!isReady) return 'greeting';
  return isUnresponsive ? 'unresponsive' : 'ready';
}

function peerView({ id, role, mux, readyAt }: Peer, now: number): MuxPeerView {
  const { stats } = mux;
  return {
    id,
    state: stateOf(readyAt !== undefined, mux.unresponsive),
    dialect: readyAt === undefined ? null : dialectOf(mux.extended),
    role,
    upMs: readyAt === undefined ? 0 : wholeMs(now - readyAt),
    rttMs: fineMs(mux.rttMs),
    channels: mux.channelCount,
    opened: stats.opened,
    accepted: stats.accepted,
    bytesReceived: plainCount(stats.bytesReceived),
    bytesSent: plainCount(stats.bytesSent),
    windowBytes: mux.windowsPromised,
    drops: stats.drops.snapshot(),
  };
}
