/** The published ports, of every kind. All means of publishing share this table. */
import type { IpAddress } from '../../base/ip-address.ts';
import { Budget } from '../../base/shares/budget.ts';
import { KEEPALIVE_DEFAULT_S } from '../../native/stream/keepalive-options.ts';
import type { Guest } from '../../stack/guest.ts';
import type { AgentCarrier, AgentCarriers, PublishedListener } from './agent-carrier.ts';
import { LoopbackPair, listenOnLoopbacks } from './loopback-pair.ts';
import { namingOwn } from './own-conflict.ts';
import { type AgentOwner, type PortShare, PortShares } from './port-shares.ts';
import type { Guests, GuestTarget } from './publication-guest.ts';
import { Publications } from './publications.ts';
import {
  formatHostSide,
  PublishError,
  type PublishSpec,
  type SocketSpec,
  type SourceAddress,
  type UnixSpec,
} from './publish-spec.ts';
import type { SshCarrier } from './ssh-carrier.ts';
import { StreamListener, type StreamListenerDeps } from './stream-listener.ts';
import type { UdpPublisher } from './udp-publisher.ts';

export interface PortTableDeps
  extends Pick<StreamListenerDeps, 'serve' | 'addresses' | 'freePath'> {
  readonly guests: Guests;
  /** Descriptors. */
  readonly sockets: Budget;
  /** The guest with an address. */
  ownerOf(guest: IpAddress): Guest;
  /** Whether one machine has both addresses; absent: if they are one. */
  isSameGuest?(one: IpAddress, other: IpAddress): boolean;
  readonly udp: UdpPublisher;
  /** Undefined: no link to an agent is configured. */
  readonly agent?: AgentCarriers | undefined;
  /** Undefined: none is supported. */
  readonly ssh?: SshCarrier | undefined;
  /** Whether the process itself listens on a TCP port: guests may not publish it, at whatever address. */
  isReserved?(port: number): boolean;
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

/**
 * The publisher: the configuration, the embedding program, a client of the control API, one of the agent behind a link
 * of the multiplexer, or a guest by its address.
 */
export type PortOwner = 'config' | 'library' | 'api' | AgentOwner | { readonly guest: IpAddress };

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

interface Publication {
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
  'publish' | 'unpublish' | 'list' | 'onPort' | 'ownerOf' | 'isSameOwner' | 'hasAgent'
>;

export class PortTable {
  readonly budget: Budget;
  private readonly deps: PortTableDeps;
  private readonly options: PortTableOptions;
  private readonly publications = new Publications<Publication>();
  private readonly byShare = new Map<PortShare, string>();
  private readonly shares: PortShares;
  private nextId = 1;
  private closed = false;

  constructor(deps: PortTableDeps, options: Partial<PortTableOptions> = {}) {
    this.deps = deps;
    this.options = { ...PORT_TABLE_DEFAULTS, ...options };
    const { ports, kept } = this.options;
    this.budget = new Budget('publications', ports, kept);
    this.shares = new PortShares({
      places: this.budget,
      sockets: deps.sockets,
      withdraw: (share) => this.withdraw(share),
    });
  }

  get hasAgent(): boolean {
    return this.deps.agent !== undefined;
  }

  /**
   * @param leased the caller withdraws it when its owner's connection ends
   * @throws PublishError
   */
  async publish(spec: PublishSpec, owner: PortOwner, leased = false): Promise<PublishedPort> {
    this.checkReserved(spec, owner);
    const useAgent = this.checkSpec(spec);
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
      const publication = { spec: bound, owner, leased, useAgent, target, listener, share, starts };
      this.publications.add(id, publication);
      this.byShare.set(share, id);
      const port = this.describe(id, publication);
      this.deps.onChange?.('published', port);
      return port;
    } catch (error) {
      throw namingOwn(error, spec, this.publications.beside(spec));
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
    const publication = this.publications.remove(id);
    if (publication === undefined) return false;
    const port = this.describe(id, publication);
    publication.listener.stop();
    publication.target.release();
    this.byShare.delete(publication.share);
    publication.share.give();
    this.deps.onChange?.('withdrawn', port);
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

  /** Guests are the same by any of their addresses. */
  isSameOwner(one: PortOwner, other: PortOwner): boolean {
    if (typeof one !== 'object' || typeof other !== 'object') return one === other;
    if ('agent' in one || 'agent' in other) {
      return 'agent' in one && 'agent' in other && one.agent === other.agent;
    }
    return (
      one.guest.equals(other.guest) || this.deps.isSameGuest?.(one.guest, other.guest) === true
    );
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

  private withdraw(share: PortShare): void {
    const id = this.byShare.get(share);
    if (id !== undefined) this.unpublish(id);
  }

  private checkReserved(spec: PublishSpec, owner: PortOwner): void {
    if (isOfHost(owner) || spec.protocol !== 'tcp' || spec.hostPort === 0) return;
    if (this.deps.isReserved?.(spec.hostPort) !== true) return;
    const why = 'hawser itself listens on that port; choose another';
    throw refused('ERR_HAWSER_PUBLISH_FORBIDDEN', spec, why);
  }

  /** @returns whether the agent serves it */
  private checkSpec(spec: PublishSpec): boolean {
    const { guest, guestAddress, guestPath, via } = spec;
    if (spec.protocol === 'udp' && spec.proxyProtocol !== undefined) {
      throw refused('ERR_HAWSER_PUBLISH_UNSUPPORTED', spec, 'the PROXY protocol is for TCP only');
    }
    if (isBySsh(spec)) {
      this.checkSsh(spec);
      return false;
    }
    if (guestPath !== undefined && (via === 'net' || spec.protocol === 'udp')) {
      throw refused('ERR_HAWSER_PUBLISH_SYNTAX', spec, 'a Unix socket in the guest needs via mux');
    }
    const isBehind = guestAddress !== undefined && !this.deps.addresses.mayBeGuest(guestAddress);
    if (guest !== undefined && (via === 'mux' || guestPath !== undefined)) {
      throw refused('ERR_HAWSER_PUBLISH_SYNTAX', spec, 'the agent knows no names of guests');
    }
    const useAgent = via === 'mux' || (via === undefined && (guestPath !== undefined || isBehind));
    if (!useAgent && isBehind) throw noGuest(spec, guestAddress);
    if (useAgent && this.deps.agent === undefined) {
      const what = guestPath === undefined ? 'a port behind the guest' : 'a Unix socket of it';
      throw refused(
        'ERR_HAWSER_PUBLISH_NO_AGENT',
        spec,
        `there is no agent in the guest to reach ${what}; start "hawser agent" there, and hawser with --mux`,
      );
    }
    return useAgent;
  }

  private checkSsh(spec: UnixSpec): void {
    const { guestAddress, via, proxyProtocol } = spec;
    if (this.deps.ssh === undefined) {
      throw refused('ERR_HAWSER_PUBLISH_UNSUPPORTED', spec, 'SSH forwards are not available here');
    }
    if (via !== undefined || proxyProtocol !== undefined) {
      const why = 'an SSH forward takes neither via nor the PROXY protocol';
      throw refused('ERR_HAWSER_PUBLISH_UNSUPPORTED', spec, why);
    }
    if (guestAddress !== undefined && !this.deps.addresses.mayBeGuest(guestAddress)) {
      throw noGuest(spec, guestAddress);
    }
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
    const { serve, addresses, freePath } = this.deps;
    const { connections, sourceAddress, keepaliveS } = this.options;
    const ssh = isBySsh(spec) ? await this.deps.ssh?.open(publication, spec, guest) : undefined;
    const shared = { agent, serve, addresses, freePath, guest, ssh };
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

const isBySsh = (spec: PublishSpec): spec is UnixSpec =>
  spec.protocol === 'unix' && spec.ssh !== undefined;

const isOfHost = (owner: PortOwner): boolean => typeof owner !== 'object';

const guestOf = (owner: PortOwner): IpAddress | undefined =>
  typeof owner === 'object' && 'guest' in owner ? owner.guest : undefined;

const agentOf = (owner: PortOwner): AgentOwner | undefined =>
  typeof owner === 'object' && 'agent' in owner ? owner : undefined;

const noGuest = (spec: PublishSpec, address: IpAddress): PublishError =>
  refused(
    'ERR_HAWSER_PUBLISH_SYNTAX',
    spec,
    `${address} is not an address of a guest; use one of the guests' network`,
  );

const refused = (code: string, spec: PublishSpec, why: string): PublishError =>
  new PublishError(code, `cannot publish ${formatHostSide(spec)}: ${why}`);
