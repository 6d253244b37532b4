/** The published ports, of every kind. All means of publishing share this table. */
import type { IpAddress } from '../../base/ip-address.ts';
import { Budget } from '../../base/shares/budget.ts';
import { KEEPALIVE_DEFAULT_S } from '../../native/stream/keepalive-options.ts';
import type { Guest } from '../../stack/guest.ts';
import type { AgentCarrier, AgentCarriers, PublishedListener } from './agent-carrier.ts';
import { checkSpec, isBySsh, refused } from './check-spec.ts';
import { KeptPlaces, type KeptPlacesDeps, shadows } from './kept-places.ts';
import { LoopbackPair, listenOnLoopbacks } from './loopback-pair.ts';
import { namingOwn, ownConflict } from './own-conflict.ts';
import {
  agentOf,
  guestOf,
  isOfHost,
  type OwnersDeps,
  ownerKey,
  type PortOwner,
  PortOwners,
} from './port-owner.ts';
import { type PortShare, PortShares } from './port-shares.ts';
import type { Guests, GuestTarget } from './publication-guest.ts';
import { Publications } from './publications.ts';
import {
  listenError,
  type PortSpec,
  PublishError,
  type PublishSpec,
  type SocketSpec,
  type SourceAddress,
  type UnixSpec,
} from './publish-spec.ts';
import type { SshCarrier } from './ssh-carrier.ts';
import { StreamListener, type StreamListenerDeps } from './stream-listener.ts';
import type { UdpPublisher } from './udp-publisher.ts';
import { WaitingPorts } from './waiting-ports.ts';

export interface PortTableDeps
  extends Pick<StreamListenerDeps, 'serve' | 'addresses' | 'freePath' | 'gate'>,
    OwnersDeps {
  readonly guests: Guests;
  /** Descriptors. */
  readonly sockets: Budget;
  readonly udp: UdpPublisher;
  /** Undefined: no link to an agent is configured. */
  readonly agent?: AgentCarriers | undefined;
  /** Undefined: none is supported. */
  readonly ssh?: SshCarrier | undefined;
  /** Whether the process itself listens on a TCP port: guests may not publish it, at whatever address. */
  isReserved?(port: number): boolean;
  /** Guests publish: places that others hold are kept from them. Absent: none is. */
  readonly keeping?: Pick<KeptPlacesDeps<PortOwner>, 'now' | 'listening'> | undefined;
  onChange?(kind: 'published' | 'withdrawn', port: PublishedPort): void;
}

export interface PortTableOptions {
  readonly ports: number;
  /** Of these, kept for the host. */
  readonly kept: number;
  /** Connections of one port at a time. */
  readonly connections: number;
  readonly sourceAddress: SourceAddress;
  /** Idle time before a client is probed, in s; 0: never. */
  readonly keepaliveS: number;
}

export const PORT_TABLE_DEFAULTS: PortTableOptions = {
  ports: 4096,
  kept: 1024,
  connections: 16_384,
  sourceAddress: 'preserve',
  keepaliveS: KEEPALIVE_DEFAULT_S,
};

/** A port as it is now. `hostPort` is the one listened on. */
export type PublishedPort = PublishSpec & {
  readonly id: string;
  readonly owner: PortOwner;
  /** It ends with its owner's connection. */
  readonly leased: boolean;
  /** The guest that has published it may have started anew since: it may publish it again. */
  readonly outdated: boolean;
  readonly useAgent: boolean;
  /** The guest that a client would reach now; undefined through the agent. */
  readonly target: Pick<GuestTarget, 'address' | 'mac' | 'attached'> | undefined;
  /** The only loopback that listens, where `localhost` was requested and the host lacks the other. */
  readonly onlyLoopback: IpAddress | undefined;
  readonly effectiveSource: SourceAddress;
  /** TCP connections, or UDP clients, at the moment. */
  readonly active: number;
};

/** Evicted: others need its place. */
export type PublicationEnd = 'withdrawn' | 'evicted';

interface Publication {
  readonly onEnd: ((why: PublicationEnd) => void) | undefined;
  readonly spec: PublishSpec;
  readonly owner: PortOwner;
  readonly leased: boolean;
  readonly useAgent: boolean;
  readonly target: GuestTarget;
  readonly listener: PublishedListener;
  readonly share: PortShare;
  /** Of the guest that owns it, then; see `Guest`. */
  readonly starts: number;
}

/** The part of the table that the APIs use. */
export type PortBook = Pick<
  PortTable,
  | 'publish'
  | 'unpublish'
  | 'list'
  | 'onPort'
  | 'ownerOf'
  | 'isSameOwner'
  | 'hasAgent'
  | 'waiting'
  | 'kept'
  | 'kept'
>;

export class PortTable {
  readonly budget: Budget;
  readonly waiting: WaitingPorts = new WaitingPorts();
  /** Absent where no guest publishes. */
  readonly kept: KeptPlaces<PortOwner> | undefined;
  private readonly deps: PortTableDeps;
  private readonly options: PortTableOptions;
  private readonly publications = new Publications<Publication>();
  private readonly byShare = new Map<PortShare, string>();
  private readonly shares: PortShares;
  private readonly owners: PortOwners;
  private nextId = 1;
  private closed = false;

  constructor(deps: PortTableDeps, options: Partial<PortTableOptions> = {}) {
    this.deps = deps;
    this.options = { ...PORT_TABLE_DEFAULTS, ...options };
    this.owners = new PortOwners(deps);
    const { ports, kept } = this.options;
    this.budget = new Budget('publications', ports, kept);
    this.shares = new PortShares({
      places: this.budget,
      sockets: deps.sockets,
      withdraw: (share) => this.evict(share),
    });
    const { keeping } = deps;
    this.kept =
      keeping &&
      new KeptPlaces({
        ...keeping,
        isSameOwner: (one, other) => this.owners.isSameMachine(one, other),
        isPublished: (address, port) => this.listensAt(address, port),
      });
  }

  get hasAgent(): boolean {
    return this.deps.agent !== undefined;
  }

  /**
   * @param leased the caller withdraws it when its owner's connection ends
   * @param onEnd it has ended, whoever ended it
   * @throws PublishError
   */
  async publish(
    spec: PublishSpec,
    owner: PortOwner,
    leased = false,
    onEnd?: (why: PublicationEnd) => void,
  ): Promise<PublishedPort> {
    if (!isOfHost(owner) && spec.protocol !== 'unix') this.checkPlace(spec, owner);
    const { addresses, ssh } = this.deps;
    const context = { addresses, hasAgent: this.hasAgent, hasSsh: ssh !== undefined };
    const useAgent = checkSpec(spec, context);
    const id = String(this.nextId++);
    const share = this.takeShare(spec, owner);
    const target = this.deps.guests.targetOf(spec);
    let listener: PublishedListener | undefined;
    try {
      listener = await this.listen(id, spec, this.carrierOf(owner, useAgent), target);
      if (this.closed) {
        listener.stop();
        listener = undefined;
        throw refused('ERR_HAWSER_PUBLISH_CLOSED', spec, 'hawser is shutting down');
      }
      const bound = spec.protocol === 'unix' ? spec : { ...spec, hostPort: listener.hostPort };
      const starts = this.startsOf(owner);
      const made = { spec: bound, owner, leased, useAgent, target, listener, share, starts };
      const publication = { ...made, onEnd };
      this.publications.add(id, publication);
      this.byShare.set(share, id);
      const port = this.describe(id, publication);
      this.deps.onChange?.('published', port);
      return port;
    } catch (error) {
      const named = namingOwn(error, spec, this.publications.beside(spec));
      if (named === error && isTaken(error) && spec.protocol !== 'unix') this.kept?.onTaken(spec);
      throw named;
    } finally {
      if (listener === undefined) {
        target.release();
        share.give();
      }
    }
  }

  /**
   * Stop listening. TCP connections that are being served go on.
   *
   * @returns false when there is no such port
   */
  unpublish(id: string): boolean {
    return this.end(id, 'withdrawn');
  }

  private end(id: string, why: PublicationEnd): boolean {
    const publication = this.publications.remove(id);
    if (publication === undefined) return false;
    const { spec, owner, onEnd } = publication;
    if (spec.protocol !== 'unix') this.kept?.onEnded(ownerKey(owner), owner, spec);
    const port = this.describe(id, publication);
    publication.listener.stop();
    publication.target.release();
    this.byShare.delete(publication.share);
    publication.share.give();
    this.deps.onChange?.('withdrawn', port);
    onEnd?.(why);
    return true;
  }

  /** In the order of publication. */
  list(): PublishedPort[] {
    return [...this.publications.all()].map((entry) => this.describe(...entry));
  }

  /** Those of one port of the host, of every protocol and address. */
  onPort(hostPort: number): PublishedPort[] {
    return [...this.publications.onPort(hostPort)].map((entry) => this.describe(...entry));
  }

  /** @returns undefined when there is no such port */
  ownerOf(id: string): PortOwner | undefined {
    return this.publications.get(id)?.owner;
  }

  isSameOwner(one: PortOwner, other: PortOwner): boolean {
    return this.owners.isSame(one, other);
  }

  /** Whether the TCP listener that is bound to `address`, in canonical form, and `port` is a published port. */
  listensAt(address: string, port: number): boolean {
    for (const { listener } of this.publications.onPort(port).values()) {
      if (listener.isAt(address, port)) return true;
    }
    return false;
  }

  /** Whether a port of the host leads to a guest, by whatever address of it. */
  publishes(protocol: 'tcp' | 'udp' | 'icmp', port: number): boolean {
    for (const { spec } of this.publications.onPort(port).values()) {
      if (spec.protocol === protocol) return true;
    }
    return false;
  }

  /** Stop listening everywhere. Connections being served are ended by their proxies. */
  close(): void {
    this.closed = true;
    for (const id of [...this.publications.all().keys()]) this.unpublish(id);
  }

  private startsOf(owner: PortOwner): number {
    const address = guestOf(owner);
    return address === undefined ? 0 : this.deps.ownerOf(address).starts;
  }

  private takeShare(spec: PublishSpec, owner: PortOwner): PortShare {
    const address = guestOf(owner);
    const holder = address === undefined ? agentOf(owner) : this.deps.ownerOf(address);
    const isBoth = spec.protocol !== 'unix' && spec.hostAddress === 'localhost';
    const share = this.shares.take(holder, isBoth ? 2 : 1);
    if (share !== undefined) return share;
    const { whole } = this.budget;
    const why = `no more ports can be published now: there may be ${whole}, and fewer where open files are few`;
    throw refused('ERR_HAWSER_PUBLISH_LIMIT', spec, why);
  }

  /** A guest is gone for good: what it has published would only keep others, or its next system, from these ports. */
  endGuest(guest: Guest): void {
    this.shares.endGuest(guest);
  }

  /** So are the agents behind a link. */
  endAgent(link: string): void {
    this.shares.endAgent(link);
  }

  private evict(share: PortShare): void {
    const id = this.byShare.get(share);
    if (id !== undefined) this.end(id, 'evicted');
  }

  /** What guests may not have, whether it is bound at the moment or not. */
  private checkPlace(spec: PortSpec, owner: PortOwner): void {
    if (spec.hostPort === 0) return;
    if (spec.protocol === 'tcp' && this.deps.isReserved?.(spec.hostPort) === true) {
      const why = 'hawser itself listens on that port; choose another';
      throw refused('ERR_HAWSER_PUBLISH_FORBIDDEN', spec, why);
    }
    for (const other of this.publications.beside(spec)) {
      const isOther = other.spec.protocol !== 'unix' && shadows(other.spec, spec);
      if (isOther && !this.owners.isSameMachine(other.owner, owner))
        throw ownConflict(spec, other.spec);
    }
    const holder = this.kept?.keptFor(spec, owner);
    if (holder === undefined) return;
    if (holder === 'host') throw listenError(spec, 'EADDRINUSE');
    const who = holder === 'host-before' ? 'a process of the host' : 'another publisher';
    const why = `${who} had that port a moment ago; choose another, or wait`;
    throw refused('ERR_HAWSER_PUBLISH_KEPT', spec, why);
  }

  /** @returns undefined: no agent serves it */
  private carrierOf(owner: PortOwner, useAgent: boolean): AgentCarrier | undefined {
    const { agent } = this.deps;
    if (!useAgent) return undefined;
    const by = agentOf(owner);
    return by === undefined ? agent : agent?.of(by.agent);
  }

  private async listen(
    id: string,
    spec: PublishSpec,
    agent: AgentCarrier | undefined,
    guest: GuestTarget,
  ): Promise<PublishedListener> {
    if (spec.protocol === 'unix') return await this.listenStream(id, spec, agent, guest);
    const { hostAddress } = spec;
    const listen = async (one: SocketSpec): Promise<PublishedListener> =>
      one.protocol === 'udp'
        ? this.listenUdp(id, one, agent, guest)
        : await this.listenStream(id, one, agent, guest);
    if (hostAddress === 'localhost') return await listenOnLoopbacks(spec, listen);
    return await listen({ ...spec, hostAddress });
  }

  private async listenStream(
    publication: string,
    spec: SocketSpec | UnixSpec,
    agent: AgentCarrier | undefined,
    guest: GuestTarget,
  ): Promise<PublishedListener> {
    const { serve, addresses, freePath, gate } = this.deps;
    const { connections, sourceAddress, keepaliveS } = this.options;
    const ssh = isBySsh(spec) ? await this.deps.ssh?.open(publication, spec, guest) : undefined;
    const shared = { agent, serve, addresses, freePath, gate, guest, ssh };
    const deps = { ...shared, publication, connections, sourceAddress, keepaliveS };
    const listener = new StreamListener(deps, spec);
    try {
      await listener.listen();
    } catch (error) {
      ssh?.release();
      throw error;
    }
    return listener;
  }

  private listenUdp(
    publication: string,
    spec: SocketSpec,
    agent: AgentCarrier | undefined,
    guest: GuestTarget,
  ): PublishedListener {
    const { udp } = this.deps;
    if (agent !== undefined) return agent.listenUdp(publication, spec);
    return udp.listen(publication, spec, guest, spec.sourceAddress ?? this.options.sourceAddress);
  }

  private describe(id: string, publication: Publication): PublishedPort {
    const { spec, owner, leased, useAgent, target, listener, starts } = publication;
    return {
      ...spec,
      id,
      owner,
      leased,
      outdated: this.startsOf(owner) !== starts,
      useAgent,
      target: useAgent ? undefined : target,
      onlyLoopback: listener instanceof LoopbackPair ? listener.only : undefined,
      effectiveSource: spec.sourceAddress ?? this.options.sourceAddress,
      active: listener.active,
    };
  }
}

const isTaken = (error: unknown): boolean =>
  error instanceof PublishError && error.code === 'EADDRINUSE';
