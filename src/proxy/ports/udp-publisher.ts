/**
 * Published UDP ports. Each client of a port is a pseudo-flow towards the guest, with the client's
 * address as source; datagrams that the guest sends to that source leave from the published port.
 *
 * The composition calls {@link UdpPublisher.onDatagram} before the NAT, which would otherwise answer the
 * client from a port of its own. Flows are the share of the guest that they lead to, and end when idle, as in
 * the NAT.
 */

import { ExpiringSet } from '../../base/expiring-set.ts';
import {
  KEY_GUEST,
  KEY_REMOTE,
  KEY_WORDS,
  makeKey,
  setKeyAddress,
  setKeyPorts,
} from '../../base/flow-key.ts';
import type { IpAddress } from '../../base/ip-address.ts';
import { once } from '../../base/once.ts';
import type { Instant } from '../../base/time.ts';
import type { Posix } from '../../native/posix.ts';
import type { Datagram, FlowId } from '../../stack/flow.ts';
import type { Guest } from '../../stack/guest.ts';
import type { FlowFacts } from '../flows/flow.ts';
import type { FlowGate } from '../flows/flow-gate.ts';
import type { SessionsDeps } from '../udp/host-sessions.ts';
import { IdleFlow } from '../udp/idle-flow.ts';
import { type EndCounts, IdleFlows } from '../udp/idle-flows.ts';
import type { SendSlot } from '../udp/send-pool.ts';
import {
  type FrontCalls,
  type FrontOwner,
  type FrontPeer,
  openUdpFront,
  type UdpFront,
} from '../udp/udp-front.ts';
import type { PublishedListener } from './agent-carrier.ts';
import { clientSource, familyOf, SOURCE_TRIES, sourcePort } from './client-source.ts';
import type { GuestTarget } from './publication-guest.ts';
import { listenError, type SocketSpec, type SourceAddress } from './publish-spec.ts';

export interface UdpPublisherOptions {
  /** Clients over all ports. */
  readonly clients: number;
  readonly freshMs: number;
  readonly settledMs: number;
  /** Bytes of one port queued for the kernel. */
  readonly inFlightBytes: number;
}

export const UDP_PUBLISHER_DEFAULTS: UdpPublisherOptions = {
  clients: 4096,
  freshMs: 30_000,
  settledMs: 180_000,
  inFlightBytes: 4 << 20,
};

export type PublisherCalls = FrontCalls & Pick<Posix, 'makeDatagramReader'>;

export interface UdpPublisherDeps extends SessionsDeps {
  /** Undefined without native calls. Asked when a port is published on a wildcard. */
  readonly native: { readonly posix: PublisherCalls | undefined };
  /** Asked about each client. */
  readonly gate?: FlowGate | undefined;
}

export type UdpPublisherCount =
  | 'published-udp-no-guest'
  /** By a hook, or for lack of a record; or it is not known yet. */
  | 'published-udp-denied'
  | 'published-udp-no-source-port'
  | 'published-udp-evicted'
  | 'published-udp-expired'
  | 'published-udp-in-flight-limit'
  | 'published-udp-send-failed'
  | 'published-udp-receive-failed'
  | 'published-udp-guest-not-draining';

const ENDS: EndCounts<UdpPublisherCount> = {
  evicted: 'published-udp-evicted',
  expired: 'published-udp-expired',
};

/** How long it is remembered that nobody takes datagrams at an address of the guest, and how many addresses. */
const REFUSED_MS = 10_000;
const REFUSED_MAX = 16;

export class UdpPublisher extends IdleFlows<UdpClient, UdpPublisherCount> {
  private readonly deps: UdpPublisherDeps;
  private readonly options: UdpPublisherOptions;
  private readonly scratchKey = makeKey();
  /** Shared by all ports, because a read and its callbacks are one step. */
  private readonly reader = once(() => this.deps.native.posix?.makeDatagramReader());

  constructor(deps: UdpPublisherDeps, options: UdpPublisherOptions = UDP_PUBLISHER_DEFAULTS) {
    const { clients, freshMs, settledMs } = options;
    const limits = { entries: clients, freshMs, settledMs };
    const { seed, book } = deps;
    super('udp-clients', KEY_WORDS, limits, seed, ENDS, undefined, { book, protocol: 'udp' });
    this.deps = deps;
    this.options = options;
  }

  /**
   * @param publication its id
   * @throws PublishError
   */
  listen(
    publication: string,
    spec: SocketSpec,
    guest: GuestTarget,
    source: SourceAddress = 'preserve',
  ): UdpListener {
    const listener = new UdpListener(this, publication, spec, guest, source);
    const { outboxes, native } = this.deps;
    const deps = { outboxes, native, reader: this.reader };
    const front = openUdpFront(spec.hostAddress, spec.hostPort, deps, listener);
    if (typeof front === 'string') throw listenError(spec, front);
    listener.attach(front);
    return listener;
  }

  /** @returns whether it answers a client of a published port, and was handled */
  onDatagram(now: Instant, datagram: Datagram): boolean {
    if (this.table.size === 0) return false;
    const client = this.table.find(datagram.key);
    if (client === undefined) return false;
    this.table.touch(now, client, true);
    const { listener } = client;
    const { len } = datagram;
    const slot =
      listener.inFlightBytes + len > this.options.inFlightBytes
        ? undefined
        : this.deps.pool.take(len, client.peer.target, datagram.owner);
    if (slot === undefined) {
      this.counts.add('published-udp-in-flight-limit');
      return true;
    }
    slot.fill(0, datagram.slab, datagram.off, len);
    client.bytesToHost += len;
    client.packetsToHost++;
    listener.transmit(client.peer, slot);
    return true;
  }

  /**
   * Nobody takes a datagram at an address of the guest: before anything has answered, its client goes on to the next
   * address, with the datagram if all of it is there. Clients that come later begin there.
   *
   * @param owner the guest that says so
   * @param len of the datagram at `off` of `bytes`; -1: it is not all there
   */
  onRefused(
    now: Instant,
    owner: Guest,
    key: Int32Array,
    bytes: Uint8Array,
    off: number,
    len: number,
  ): void {
    const client = this.table.size === 0 ? undefined : this.table.find(key);
    if (client === undefined || client.owner !== owner || client.settled) return;
    const { listener, name, peer, id } = client;
    listener.refused.add(now, `${id.guest}`);
    const next = this.guestFor(now, listener, peer);
    if (next === undefined || next.equals(id.guest)) return;
    this.drop(client, 'refused');
    const moved = this.admit(now, listener, name, peer);
    if (moved === undefined || len < 0) return;
    moved.bytesToGuest += len;
    moved.packetsToGuest++;
    this.deps.downstream.sendDatagram(now, moved.id, bytes, off, len);
    this.deps.flush.schedule();
  }

  /** @internal for listeners: a client sent. */
  deliver(
    listener: UdpListener,
    name: string,
    bytes: Uint8Array,
    off: number,
    len: number,
    peer: () => FrontPeer,
  ): void {
    const { clock, downstream, flush } = this.deps;
    const now = clock.now();
    let client = listener.clients.get(name);
    if (client === undefined) {
      client = this.admit(now, listener, name, peer());
      if (client === undefined) return;
    } else {
      this.table.touch(now, client, false);
    }
    client.bytesToGuest += len;
    client.packetsToGuest++;
    if (!downstream.sendDatagram(now, client.id, bytes, off, len)) {
      this.counts.add('published-udp-guest-not-draining');
    }
    flush.schedule();
  }

  /** @internal for listeners: what was done for a client has failed. Its next datagram makes a new one. */
  endClient(listener: UdpListener, name: string): void {
    const client = listener.clients.get(name);
    if (client !== undefined) this.drop(client, 'fault');
  }

  /** @internal for clients */
  ended(client: UdpClient): void {
    this.drop(client, 'ended-by-request');
  }

  /** @internal for listeners: the kernel is done with a datagram. */
  release(slot: SendSlot, failure: string): void {
    if (failure !== '') this.counts.add('published-udp-send-failed');
    this.deps.pool.give(slot);
  }

  /** @internal for listeners: one closes, and its clients with it. */
  forget(listener: UdpListener): void {
    for (const client of listener.clients.values()) this.drop(client, 'withdrawn');
  }

  private admit(
    now: Instant,
    listener: UdpListener,
    name: string,
    peer: FrontPeer,
  ): UdpClient | undefined {
    const { addresses } = this.deps;
    const { guestPort } = listener.spec;
    const guest = this.guestFor(now, listener, peer);
    if (guest === undefined) {
      this.counts.add('published-udp-no-guest');
      return undefined;
    }
    if (this.deps.gate !== undefined && !this.isLetIn(this.deps.gate, listener, guest, peer)) {
      this.counts.add('published-udp-denied');
      return undefined;
    }
    const remote = clientSource(addresses, peer.address, guest.family, listener.source);
    const key = this.scratchKey;
    setKeyAddress(key, KEY_GUEST, guest);
    setKeyAddress(key, KEY_REMOTE, remote);
    for (let attempt = 0; attempt < SOURCE_TRIES; attempt++) {
      const remotePort = sourcePort(peer.port, attempt);
      setKeyPorts(key, guestPort, remotePort);
      if (this.table.find(key) !== undefined) continue;
      const owner = this.deps.downstream.ownerOf(guest);
      if (!this.takePlace(owner)) break;
      const id: FlowId = { guest, guestPort, remote, remotePort };
      const client = new UdpClient(this, listener, key.slice(), owner, id, name, peer);
      this.add(now, client);
      listener.clients.set(name, client);
      return client;
    }
    this.counts.add('published-udp-no-source-port');
    return undefined;
  }

  private isLetIn(
    gate: FlowGate,
    { publication, spec }: UdpListener,
    guest: IpAddress,
    { address, port }: FrontPeer,
  ): boolean {
    const { guestPort } = spec;
    const client = { publication, protocol: 'udp', address, port, guest, guestPort } as const;
    return gate.askClientNow(client) === undefined;
  }

  private guestFor(
    now: Instant,
    listener: UdpListener,
    { address }: FrontPeer,
  ): IpAddress | undefined {
    const all = listener.guest.addressesFor(familyOf(address));
    const here = all.filter((one) => this.deps.downstream.isThere(one));
    return here.find((one) => !listener.refused.has(now, `${one}`)) ?? here[0] ?? all[0];
  }

  /** @internal for listeners. */
  receiveFailed(): void {
    this.counts.add('published-udp-receive-failed');
  }
}

/** One published UDP port and its host socket. */
export class UdpListener implements FrontOwner, PublishedListener {
  readonly publication: string;
  readonly spec: SocketSpec;
  readonly guest: GuestTarget;
  readonly source: SourceAddress;
  /** By the client's real port and address, and the host's address that it sent to. */
  readonly clients: Map<string, UdpClient> = new Map();
  hostPort = 0;
  inFlightBytes = 0;
  private front: UdpFront | undefined = undefined;
  /** Addresses of the guest where nobody takes datagrams. */
  readonly refused: ExpiringSet = new ExpiringSet(REFUSED_MAX, REFUSED_MS);
  private readonly publisher: UdpPublisher;

  constructor(
    publisher: UdpPublisher,
    publication: string,
    spec: SocketSpec,
    guest: GuestTarget,
    source: SourceAddress,
  ) {
    this.publisher = publisher;
    this.publication = publication;
    this.spec = spec;
    this.guest = guest;
    this.source = source;
  }

  get active(): number {
    return this.clients.size;
  }

  attach(front: UdpFront): void {
    this.front = front;
    this.hostPort = front.port;
  }

  transmit(peer: FrontPeer, slot: SendSlot): void {
    this.inFlightBytes += slot.len;
    peer.outbox.add(slot);
  }

  onSent(slot: SendSlot, failure: string): void {
    this.inFlightBytes -= slot.len;
    this.publisher.release(slot, failure);
  }

  onInterrupted(): void {
    // Errors are not enabled on this socket: the next send works.
  }

  onMessage(key: string, bytes: Uint8Array, off: number, len: number, peer: () => FrontPeer): void {
    this.publisher.deliver(this, key, bytes, off, len, peer);
  }

  onReceiveError(): void {
    this.publisher.receiveFailed();
  }

  onFault(key: string): void {
    this.publisher.endClient(this, key);
  }

  /** No TCP listener. */
  isAt(): boolean {
    return false;
  }

  stop(): void {
    this.publisher.forget(this);
    this.front?.close();
  }
}

/** The flow between one client of a port and the guest. */
class UdpClient extends IdleFlow<UdpClient> {
  readonly listener: UdpListener;
  readonly id: FlowId;
  readonly name: string;
  readonly peer: FrontPeer;
  private readonly publisher: UdpPublisher;

  constructor(
    publisher: UdpPublisher,
    listener: UdpListener,
    key: Int32Array,
    owner: Guest,
    id: FlowId,
    name: string,
    peer: FrontPeer,
  ) {
    super(key, owner);
    this.publisher = publisher;
    this.listener = listener;
    this.id = id;
    this.name = name;
    this.peer = peer;
  }

  get guest(): IpAddress {
    return this.id.guest;
  }

  describeFlow(): FlowFacts {
    const { guest, guestPort, remote, remotePort } = this.id;
    return {
      guest: { address: guest, port: guestPort },
      remote: { address: remote, port: remotePort },
      openedBy: 'host',
      via: 'net',
      publication: this.listener.publication,
      state: 'active',
      ...this.traffic,
    };
  }

  endFlow(): void {
    this.publisher.ended(this);
  }

  close(): void {
    this.listener.clients.delete(this.name);
  }
}
