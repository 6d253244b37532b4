/**
 * Published UDP ports. Each client of a port is a pseudo-flow towards the guest, with the client's
 * address as source; what the guest sends back to that source leaves from the published port.
 *
 * The composition asks {@link UdpPublisher.onDatagram} before the NAT, which would else answer the
 * client from a port of its own. Flows are bounded over all ports, least recently used first, and
 * end when idle, as in the NAT.
 */
import type { RemoteInfo } from 'node:dgram';
import { Counters } from '../../base/counters.ts';
import {
  KEY_GUEST,
  KEY_REMOTE,
  KEY_WORDS,
  makeKey,
  setKeyAddress,
  setKeyPorts,
} from '../../base/flow-key.ts';
import type { IpAddress } from '../../base/ip-address.ts';
import type { Clock, Instant } from '../../base/time.ts';
import type { Datagram, Downstream, FlowId } from '../../stack/flow.ts';
import type { AddressMap } from '../address-map.ts';
import type { FlushScheduler } from '../flush-scheduler.ts';
import { closeQuietly, type HostSocket, openHostSocket } from '../udp/host-socket.ts';
import { type HostTarget, hostTarget } from '../udp/host-target.ts';
import { IdleTable, type TableEntry } from '../udp/idle-table.ts';
import { Outbox, type Outboxes, type Sender } from '../udp/outbox.ts';
import type { SendPool, SendSlot } from '../udp/send-pool.ts';
import type { PublishedListener } from './agent-carrier.ts';
import { clientSource, SOURCE_TRIES, sourcePort } from './client-source.ts';
import type { GuestTarget } from './publication-guest.ts';
import { listenError, type SocketSpec, type SourceAddress } from './publish-spec.ts';

export interface UdpPublisherOptions {
  /** Clients over all ports. */
  readonly clients: number;
  readonly freshMs: number;
  readonly settledMs: number;
  /** Bytes of one port on their way to the kernel. */
  readonly inFlightBytes: number;
}

export const UDP_PUBLISHER_DEFAULTS: UdpPublisherOptions = {
  clients: 4096,
  freshMs: 30_000,
  settledMs: 180_000,
  inFlightBytes: 4 << 20,
};

export interface UdpPublisherDeps {
  readonly downstream: Downstream;
  readonly clock: Clock;
  readonly flush: FlushScheduler;
  readonly addresses: AddressMap;
  readonly pool: SendPool;
  /** The owner flushes them after each batch of frames. */
  readonly outboxes: Outboxes;
  readonly seed: number;
}

export type UdpPublisherCount =
  | 'published-udp-no-guest'
  | 'published-udp-no-source-port'
  | 'published-udp-evicted'
  | 'published-udp-expired'
  | 'published-udp-in-flight-limit'
  | 'published-udp-send-failed'
  | 'published-udp-receive-failed'
  | 'published-udp-guest-not-draining';

export class UdpPublisher {
  readonly counts: Counters<UdpPublisherCount> = new Counters();
  private readonly deps: UdpPublisherDeps;
  private readonly options: UdpPublisherOptions;
  private readonly table: IdleTable<UdpClient>;
  private readonly scratchKey = makeKey();

  constructor(deps: UdpPublisherDeps, options: UdpPublisherOptions = UDP_PUBLISHER_DEFAULTS) {
    this.deps = deps;
    this.options = options;
    this.table = new IdleTable(
      KEY_WORDS,
      { entries: options.clients, freshMs: options.freshMs, settledMs: options.settledMs },
      deps.seed,
    );
  }

  get size(): number {
    return this.table.size;
  }

  /** @throws PublishError */
  listen(spec: SocketSpec, guest: GuestTarget, source: SourceAddress = 'preserve'): UdpListener {
    const listener = new UdpListener(this, spec, guest, source);
    const host = openFor(spec, listener);
    if (typeof host === 'string') throw listenError(spec, host);
    listener.attach(host, new Outbox(this.deps.outboxes, host, listener));
    return listener;
  }

  /** @returns whether it answers a client of a published port, and is dealt with */
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
        : this.deps.pool.take(len, client.target);
    if (slot === undefined) {
      this.counts.add('published-udp-in-flight-limit');
      return true;
    }
    slot.fill(0, datagram.slab, datagram.off, len);
    listener.transmit(slot);
    return true;
  }

  nextTimeout(): Instant {
    return this.table.nextExpiry();
  }

  onTimeout(now: Instant): void {
    let client = this.table.expired(now);
    while (client !== undefined) {
      this.counts.add('published-udp-expired');
      this.drop(client);
      client = this.table.expired(now);
    }
  }

  /** The guest is gone for good. */
  endGuest(guest: IpAddress): void {
    for (const client of this.table.entries()) {
      if (client.id.guest.equals(guest)) this.drop(client);
    }
  }

  /** @internal for listeners: a client sent. */
  deliver(listener: UdpListener, bytes: Buffer, peer: RemoteInfo): void {
    const { clock, downstream, flush } = this.deps;
    const now = clock.now();
    const name = `${peer.port} ${peer.address}`;
    let client = listener.clients.get(name);
    if (client === undefined) {
      client = this.admit(now, listener, name, peer);
      if (client === undefined) return;
    } else {
      this.table.touch(now, client, false);
    }
    if (!downstream.sendDatagram(now, client.id, bytes, 0, bytes.length)) {
      this.counts.add('published-udp-guest-not-draining');
    }
    flush.schedule();
  }

  /** @internal for listeners: the kernel is done with a datagram. */
  release(slot: SendSlot, failure: string): void {
    if (failure !== '') this.counts.add('published-udp-send-failed');
    this.deps.pool.give(slot);
  }

  /** @internal for listeners: one closes, and its clients with it. */
  forget(listener: UdpListener): void {
    for (const client of listener.clients.values()) this.table.remove(client);
    listener.clients.clear();
  }

  private admit(
    now: Instant,
    listener: UdpListener,
    name: string,
    peer: RemoteInfo,
  ): UdpClient | undefined {
    const { addresses } = this.deps;
    const { guestPort } = listener.spec;
    const guest = listener.guest.address;
    if (guest === undefined) {
      this.counts.add('published-udp-no-guest');
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
      while (this.table.size >= this.options.clients) this.evictOldest();
      const id: FlowId = { guest, guestPort, remote, remotePort };
      const target = hostTarget(peer.address, peer.port, listener.family);
      const client = new UdpClient(listener, key.slice(), id, name, target);
      this.table.add(now, client);
      listener.clients.set(name, client);
      return client;
    }
    this.counts.add('published-udp-no-source-port');
    return undefined;
  }

  private evictOldest(): void {
    const oldest = this.table.oldest();
    if (oldest === undefined) return;
    this.counts.add('published-udp-evicted');
    this.drop(oldest);
  }

  private drop(client: UdpClient): void {
    this.table.remove(client);
    client.listener.clients.delete(client.name);
  }

  /** @internal for listeners. */
  receiveFailed(): void {
    this.counts.add('published-udp-receive-failed');
  }
}

function openFor(
  { hostAddress, hostPort: port }: SocketSpec,
  listener: UdpListener,
): HostSocket | string {
  if (hostAddress !== undefined) {
    const { family } = hostAddress;
    return openHostSocket({ family, address: hostAddress.toString(), port }, listener);
  }
  const both = openHostSocket({ family: 6, address: '::', port, dualStack: true }, listener);
  return both === 'EAFNOSUPPORT' || both === 'EADDRNOTAVAIL'
    ? openHostSocket({ family: 4, address: '0.0.0.0', port }, listener)
    : both;
}

/** One published UDP port and its host socket. */
export class UdpListener implements Sender, PublishedListener {
  readonly spec: SocketSpec;
  readonly guest: GuestTarget;
  readonly source: SourceAddress;
  /** By the client's real port and address. */
  readonly clients: Map<string, UdpClient> = new Map();
  hostPort = 0;
  inFlightBytes = 0;
  private host: HostSocket | undefined = undefined;
  private outbox: Outbox | undefined = undefined;
  private readonly publisher: UdpPublisher;

  constructor(
    publisher: UdpPublisher,
    spec: SocketSpec,
    guest: GuestTarget,
    source: SourceAddress,
  ) {
    this.publisher = publisher;
    this.spec = spec;
    this.guest = guest;
    this.source = source;
  }

  get active(): number {
    return this.clients.size;
  }

  /** Of the socket. */
  get family(): 4 | 6 {
    return this.host?.family ?? 4;
  }

  attach(host: HostSocket, outbox: Outbox): void {
    this.host = host;
    this.outbox = outbox;
    this.hostPort = host.socket.address().port;
  }

  transmit(slot: SendSlot): void {
    this.inFlightBytes += slot.len;
    this.outbox?.add(slot);
  }

  onSent(slot: SendSlot, failure: string): void {
    this.inFlightBytes -= slot.len;
    this.publisher.release(slot, failure);
  }

  onInterrupted(): void {
    // No errors are asked for on this socket: the next send goes on.
  }

  onMessage(bytes: Buffer, peer: RemoteInfo): void {
    this.publisher.deliver(this, bytes, peer);
  }

  onReceiveError(): void {
    this.publisher.receiveFailed();
  }

  onFault(): void {
    // One datagram's: the port is there for all of its clients.
  }

  stop(): void {
    this.publisher.forget(this);
    this.outbox?.flush();
    if (this.host !== undefined) closeQuietly(this.host.socket);
  }
}

class UdpClient implements TableEntry<UdpClient> {
  readonly key: Int32Array;
  readonly listener: UdpListener;
  readonly id: FlowId;
  readonly name: string;
  readonly target: HostTarget;
  chain: UdpClient | undefined = undefined;
  older: UdpClient | undefined = undefined;
  newer: UdpClient | undefined = undefined;
  usedAt: Instant = 0;
  settled = false;

  constructor(
    listener: UdpListener,
    key: Int32Array,
    id: FlowId,
    name: string,
    target: HostTarget,
  ) {
    this.listener = listener;
    this.key = key;
    this.id = id;
    this.name = name;
    this.target = target;
  }
}
