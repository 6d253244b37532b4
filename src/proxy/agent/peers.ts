/**
 * The multiplexers that are up, over links of any kind: their peers, and the choice of the one that a
 * new channel uses.
 *
 * A peer is known from its link's connection to its end, ready once its handshake is in. New channels
 * use the first link that has a ready peer, in the order of the links; on a link that several peers
 * dial, the one that connected last, because an earlier one may be its dead predecessor.
 */
import type { ByteStream } from '../../base/byte-stream.ts';
import type { Log } from '../../base/log.ts';
import type { Clock, Instant } from '../../base/time.ts';
import type { MuxRole } from '../../mux/handshake.ts';
import type { Mux } from '../../mux/mux.ts';
import type { MuxOptions } from '../../mux/options.ts';
import type { ChannelRequest } from '../../mux/request.ts';
import type { LinkSocket } from '../../native/socket-over-handle.ts';
import { streamOverSocket } from '../../native/stream/stream-over-socket.ts';
import type { Guest } from '../../stack/guest.ts';
import type { FlushScheduler } from '../flush-scheduler.ts';
import type { MuxEnd } from '../mux/live-mux.ts';
import { MuxSocket, type MuxSocketHandler } from '../mux/mux-socket.ts';
import type { Turns } from '../turns.ts';
import { MuxFlow } from './mux-flow.ts';

/** A link to peers. */
export interface PeerLink {
  /** The specification: `unix:/run/agent.sock`. */
  readonly name: string;
  /** Earlier links are preferred. */
  readonly order: number;
}

export interface PeersDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly options?: Omit<MuxOptions, 'role'>;
  /** Absent where nobody else shares the event loop. */
  readonly turns?: Turns;
  /** Peers at a time; more are refused. */
  readonly limit?: number;
  /** The peer opens a channel. */
  onRequest(now: Instant, request: ChannelRequest, peer: Peer): void;
  /** A handshake has come in. */
  onUp?(peer: Peer): void;
  /** A peer whose handshake had come in is gone. */
  onDown?(peer: Peer, why: MuxEnd): void;
}

/** Called once, when the peer is gone. `wasReady`: its handshake had come in. */
export type PeerEndHandler = (why: MuxEnd, error: Error | undefined, wasReady: boolean) => void;

/** A peer at the other end of a flow of our own. */
export interface FlowPeer {
  readonly link: PeerLink;
  readonly role: MuxRole;
  /** Of the stack or device that the flow belongs to. */
  readonly flusher: FlushScheduler;
  /** Make the flow, with `handler` as its handler; undefined when there is none. */
  readonly dial: (handler: MuxFlow) => ByteStream | undefined;
  /** The flow is open already. */
  readonly isOpen: boolean;
  /** The guest that the flow leads to, where it is known; asked after `dial`. */
  readonly owner?: () => Guest | undefined;
  readonly onEnd: PeerEndHandler;
}

export interface Peer {
  /** Unique for the life of the process. */
  readonly id: number;
  readonly link: PeerLink;
  readonly role: MuxRole;
  readonly mux: Mux;
  readonly connectedAt: Instant;
  /** Undefined before the handshake. */
  readonly readyAt: Instant | undefined;
  /** The guest that it is in, where the link leads through the virtual network. */
  readonly owner: Guest | undefined;
  /** End the link. */
  destroy(): void;
}

const DEFAULT_LIMIT = 64;

export class MuxPeers {
  private readonly deps: PeersDeps;
  private readonly all = new Set<LivePeer>();
  private best: LivePeer | undefined = undefined;
  private nextId = 1;
  private closed = false;

  constructor(deps: PeersDeps) {
    this.deps = deps;
  }

  /**
   * The peer for new channels; undefined while none is ready. An unresponsive one is used only when
   * there is no other: its answer to one of them shows that it has recovered.
   */
  get current(): Peer | undefined {
    if (this.best?.mux.unresponsive !== true) return this.best;
    return this.choose((peer) => !peer.mux.unresponsive) ?? this.best;
  }

  /** Those of one link alone. */
  of(link: string): Pick<MuxPeers, 'current'> {
    const isOf = (peer: LivePeer): boolean => peer.link.name === link;
    const choose = (): LivePeer | undefined =>
      this.choose((peer) => isOf(peer) && !peer.mux.unresponsive) ?? this.choose(isOf);
    return {
      get current() {
        return choose();
      },
    };
  }

  list(): readonly Peer[] {
    return [...this.all];
  }

  /** Whether another peer is accepted. */
  get hasRoom(): boolean {
    return !this.closed && this.all.size < (this.deps.limit ?? DEFAULT_LIMIT);
  }

  /**
   * Run a multiplexer over a connected socket that is paused.
   *
   * @param early bytes that were read from it already
   */
  addSocket(
    link: PeerLink,
    role: MuxRole,
    socket: LinkSocket,
    early: Uint8Array | undefined,
    onEnd: PeerEndHandler,
  ): Peer {
    const peer = this.make(link, role, onEnd);
    const { clock, options, turns } = this.deps;
    const mux = new MuxSocket(clock, { ...options, role }, peer, turns);
    peer.mux = mux.mux;
    peer.destroy = () => mux.destroy();
    this.all.add(peer);
    mux.attach(streamOverSocket(socket), early);
    return peer;
  }

  /**
   * Run a multiplexer over a flow of our own.
   *
   * @returns undefined when there is no flow: nothing was started, and `onEnd` is not called
   */
  addFlow({ link, role, flusher, dial, isOpen, owner, onEnd }: FlowPeer): Peer | undefined {
    const { clock, options, turns } = this.deps;
    const peer = this.make(link, role, onEnd);
    const carrier = new MuxFlow(clock, { ...options, role }, peer, flusher, turns);
    peer.mux = carrier.mux;
    peer.destroy = () => carrier.destroy();
    const flow = dial(carrier);
    if (flow === undefined) return undefined;
    peer.owner = owner?.();
    this.all.add(peer);
    carrier.join(flow);
    if (isOpen) carrier.start(clock.now());
    flusher.schedule();
    return peer;
  }

  /** End every link, and accept no more. */
  close(): void {
    this.closed = true;
    for (const peer of [...this.all]) peer.destroy();
  }

  private make(link: PeerLink, role: MuxRole, onEnd: PeerEndHandler): LivePeer {
    return new LivePeer(this, this.deps, this.nextId++, link, role, onEnd);
  }

  /** @internal for peers */
  onReady(): void {
    this.best = this.choose(() => true);
  }

  private choose(isWanted: (peer: LivePeer) => boolean): LivePeer | undefined {
    let best: LivePeer | undefined;
    for (const peer of this.all) {
      if (peer.readyAt === undefined || peer.leaving || !isWanted(peer)) continue;
      // In the order of connection: the last of a link wins.
      if (best === undefined || peer.link.order <= best.link.order) best = peer;
    }
    return best;
  }

  /** @internal for peers */
  remove(peer: LivePeer): void {
    this.all.delete(peer);
    this.onReady();
  }
}

class LivePeer implements Peer, MuxSocketHandler {
  readonly id: number;
  readonly link: PeerLink;
  readonly role: MuxRole;
  readonly connectedAt: Instant;
  readyAt: Instant | undefined = undefined;
  /** It accepts no more channels. */
  leaving = false;
  owner: Guest | undefined = undefined;
  destroy: () => void = () => {};
  readonly onEnd: PeerEndHandler;
  private readonly peers: MuxPeers;
  private readonly deps: PeersDeps;
  private running: Mux | undefined = undefined;

  constructor(
    peers: MuxPeers,
    deps: PeersDeps,
    id: number,
    link: PeerLink,
    role: MuxRole,
    onEnd: PeerEndHandler,
  ) {
    this.peers = peers;
    this.deps = deps;
    this.id = id;
    this.link = link;
    this.role = role;
    this.onEnd = onEnd;
    this.connectedAt = deps.clock.now();
  }

  get mux(): Mux {
    if (this.running === undefined) throw new Error('peer used before it was started');
    return this.running;
  }

  set mux(mux: Mux) {
    this.running = mux;
  }

  onReady(now: Instant, extended: boolean): void {
    this.readyAt = now;
    this.deps.log.info(
      { link: this.link.name, peer: this.id, dialect: dialectOf(extended) },
      'multiplexer up',
    );
    this.peers.onReady();
    this.deps.onUp?.(this);
  }

  onRequest(now: Instant, request: ChannelRequest): void {
    this.deps.onRequest(now, request, this);
  }

  onGoAway(): void {
    this.leaving = true;
    this.peers.onReady();
  }

  onClosed(reason: MuxEnd, error: Error | undefined): void {
    this.peers.remove(this);
    const wasReady = this.readyAt !== undefined;
    if (wasReady) {
      const { name } = this.link;
      const fields = { link: name, peer: this.id, reason, error: error?.message };
      this.deps.log.info(fields, 'multiplexer down');
      this.deps.onDown?.(this, reason);
    }
    this.onEnd(reason, error, wasReady);
  }
}

/** The dialect of the protocol in use. */
export const dialectOf = (extended: boolean): 'hawser' | 'vpnkit' =>
  extended ? 'hawser' : 'vpnkit';
