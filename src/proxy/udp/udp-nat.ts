/**
 * UDP between guests and the world: one host socket per (guest address, guest port).
 *
 * Full cone (RFC 4787: endpoint-independent mapping and filtering): whatever a guest's port sends
 * leaves from one host port, and whoever answers that port reaches the guest. A binding lives until
 * it has been idle for its time (shorter while nothing has answered) or until the table is full
 * and it is the least recently used: a scan costs the oldest binding, never an outage.
 *
 * Bytes: a guest's payload is copied into a slot of the {@link SendPool} and is the {@link Outbox}'s
 * until it is sent; each binding has a limit to what is on its way. What the host
 * receives is handed down at once and kept by nobody here.
 */

import type { RemoteInfo } from 'node:dgram';
import { Counters } from '../../base/counters.ts';
import { KEY_REMOTE, keyGuest, keyRemote } from '../../base/flow-key.ts';
import type { IpAddress } from '../../base/ip-address.ts';
import { NO_BYTES, plainCount } from '../../base/no-bytes.ts';
import type { Clock, Instant } from '../../base/time.ts';
import type { QueuedError } from '../../native/posix.ts';
import type { Datagram, Downstream, FlowId, NetworkError } from '../../stack/flow.ts';
import type { AddressMap } from '../address-map.ts';
import type { FlushScheduler } from '../flush-scheduler.ts';
import { type HostErrors, networkErrorOf, sendError } from './host-errors.ts';
import { HostSession, type SessionOwner } from './host-session.ts';
import { openHostSocket } from './host-socket.ts';
import { IdleTable } from './idle-table.ts';
import { Outbox, type Outboxes } from './outbox.ts';
import type { SendPool, SendSlot } from './send-pool.ts';

export interface UdpNatOptions {
  readonly bindings: number;
  /** Idle time of a binding that nothing has answered, and of one that something has. */
  readonly freshMs: number;
  readonly settledMs: number;
  /** Datagrams and bytes that one binding may have on their way to the kernel. */
  readonly inFlight: number;
  readonly inFlightBytes: number;
}

export const UDP_NAT_DEFAULTS: UdpNatOptions = {
  bindings: 4096,
  freshMs: 30_000,
  settledMs: 180_000,
  inFlight: 4096,
  inFlightBytes: 1 << 20,
};

export interface UdpNatDeps {
  readonly downstream: Downstream;
  /** Called for a datagram that is answered by an ICMP error, with why. */
  readonly onRefused?: (id: FlowId, why: UdpNatCount) => void;
  readonly clock: Clock;
  readonly flush: FlushScheduler;
  readonly addresses: AddressMap;
  readonly pool: SendPool;
  /** The owner flushes them after each batch of frames. */
  readonly outboxes: Outboxes;
  /** Undefined without native calls: ICMP errors then do not reach guests. Asked when a socket is opened. */
  readonly native: { readonly posix: HostErrors | undefined };
  /** Any integer; see {@link IdleTable}. */
  readonly seed: number;
}

export type UdpNatCount =
  | 'udp-refused'
  | 'udp-port-zero'
  | 'udp-gateway-port-closed'
  | 'udp-evicted'
  | 'udp-expired'
  | 'udp-no-socket'
  | 'udp-in-flight-limit'
  | 'udp-send-failed'
  | 'udp-receive-failed'
  | 'udp-icmp-error'
  | 'udp-peer-hidden'
  | 'udp-guest-not-draining';

export interface UdpFlowInfo extends FlowId {
  /** Unique for the life of the process. */
  readonly serial: number;
  readonly ageMs: number;
  readonly bytesToHost: number;
  readonly bytesToGuest: number;
  readonly idleMs: number;
}

let nextSerial = 1;

/** Guest address and port. */
const NAT_KEY_WORDS = 5;

export class UdpNat implements SessionOwner<Binding> {
  readonly counts: Counters<UdpNatCount> = new Counters();
  private readonly deps: UdpNatDeps;
  private readonly options: UdpNatOptions;
  private readonly table: IdleTable<Binding>;
  private readonly scratchKey = new Int32Array(NAT_KEY_WORDS);

  constructor(deps: UdpNatDeps, options: UdpNatOptions = UDP_NAT_DEFAULTS) {
    this.deps = deps;
    this.options = options;
    this.table = new IdleTable(
      NAT_KEY_WORDS,
      { entries: options.bindings, freshMs: options.freshMs, settledMs: options.settledMs },
      deps.seed,
    );
  }

  get size(): number {
    return this.table.size;
  }

  /** @internal for bindings. */
  get errors(): HostErrors | undefined {
    return this.deps.native.posix;
  }

  onDatagram(now: Instant, datagram: Datagram): void {
    const { key } = datagram;
    const kind = this.deps.addresses.kindOf(key, KEY_REMOTE);
    if (kind !== 'outside' && kind !== 'host-loopback') {
      if (kind === 'gateway')
        this.refuse(now, datagram, 'udp-gateway-port-closed', 'port-unreachable');
      else if (kind === 'link-local' || kind === 'metadata') {
        this.refuse(now, datagram, 'udp-refused', 'prohibited');
      } else this.counts.add('udp-refused'); // RFC 1122 §3.2.2: no errors about broadcasts
      return;
    }
    if (datagram.remotePort === 0 || datagram.guestPort === 0) {
      this.counts.add('udp-port-zero');
      return;
    }
    const scratch = this.scratchKey;
    for (let i = 0; i < 4; i++) scratch[i] = key[i] ?? 0;
    scratch[4] = datagram.guestPort;
    let binding = this.table.find(scratch);
    if (binding === undefined) {
      binding = this.bind(now, keyGuest(key), datagram.guestPort);
      if (binding === undefined) {
        this.refuse(now, datagram, 'udp-no-socket', 'host-unreachable');
        return;
      }
    } else {
      this.table.touch(now, binding, false);
    }
    this.send(now, binding, datagram);
  }

  nextTimeout(): Instant {
    return this.table.nextExpiry();
  }

  onTimeout(now: Instant): void {
    let binding = this.table.expired(now);
    while (binding !== undefined) {
      this.counts.add('udp-expired');
      this.drop(binding);
      binding = this.table.expired(now);
    }
  }

  /** @returns false when no binding has this serial */
  closeFlow(serial: number): boolean {
    for (const binding of this.table.entries()) {
      if (binding.serial !== serial) continue;
      this.drop(binding);
      return true;
    }
    return false;
  }

  /** The guest is gone for good. */
  endGuest(guest: IpAddress): void {
    for (const binding of this.table.entries()) {
      if (binding.guest.equals(guest)) this.drop(binding);
    }
  }

  /** One line per binding, with the remote it last sent to. */
  flows(now: Instant): UdpFlowInfo[] {
    return [...this.table.entries()].map((binding) => binding.describe(now));
  }

  close(): void {
    for (const binding of this.table.entries()) this.drop(binding);
  }

  /** @internal for bindings: one has received. */
  deliver(binding: Binding, bytes: Buffer, peer: RemoteInfo): void {
    const { addresses, clock, downstream, flush } = this.deps;
    const remote = addresses.guestView(peer.address);
    if (remote === undefined) {
      this.counts.add('udp-peer-hidden');
      return;
    }
    const now = clock.now();
    this.table.touch(now, binding, true);
    binding.bytesToGuest += bytes.length;
    const { id } = binding;
    id.remote = remote;
    id.remotePort = peer.port;
    if (!downstream.sendDatagram(now, id, bytes, 0, bytes.length)) {
      this.counts.add('udp-guest-not-draining');
    }
    flush.schedule();
  }

  /** @internal for bindings: the kernel is done with a datagram. */
  release(slot: SendSlot): void {
    this.deps.pool.give(slot);
  }

  /** @internal for bindings. */
  receiveFailed(): void {
    this.counts.add('udp-receive-failed');
  }

  /** @internal for bindings. */
  faulted(binding: Binding): void {
    this.drop(binding);
  }

  /** @internal for bindings. */
  sendFailed(binding: Binding, slot: SendSlot, code: string): void {
    this.counts.add('udp-send-failed');
    const told = sendError(code);
    if (told === undefined) return;
    const { downstream, clock, addresses, flush } = this.deps;
    const id = {
      guest: binding.guest,
      guestPort: binding.guestPort,
      remote: keyRemote(slot.key),
      remotePort: slot.target.port,
    };
    const gateway = addresses.gatewayOf(binding.guest.family);
    downstream.sendUdpError(clock.now(), id, told, gateway, slot.len);
    flush.schedule();
  }

  /** @internal for bindings. */
  reportError(binding: Binding, entry: QueuedError): void {
    const { addresses, downstream, clock, flush } = this.deps;
    const error = networkErrorOf(entry);
    const remote = entry.destination && addresses.guestViewOf(entry.destination);
    if (error === undefined || remote === undefined) return;
    this.counts.add('udp-icmp-error');
    const { guest, guestPort } = binding;
    const reporter = entry.offender && addresses.guestViewOf(entry.offender);
    const from = reporter ?? addresses.gatewayOf(guest.family);
    const id = { guest, guestPort, remote, remotePort: entry.destinationPort };
    downstream.sendUdpError(clock.now(), id, error, from, entry.payload.length);
    flush.schedule();
  }

  private send(now: Instant, binding: Binding, datagram: Datagram): void {
    const { key, len } = datagram;
    const target = binding.target.lookup(this.deps.addresses, key, datagram.remotePort);
    if (target === undefined) {
      this.refuse(now, datagram, 'udp-refused', 'prohibited'); // a listener of hawser's own
      return;
    }
    const slot =
      binding.inFlight >= this.options.inFlight ||
      binding.inFlightBytes + len > this.options.inFlightBytes
        ? undefined
        : this.deps.pool.take(len, target);
    if (slot === undefined) {
      this.counts.add('udp-in-flight-limit');
      return;
    }
    slot.fill(0, datagram.slab, datagram.off, len);
    slot.key.set(key);
    binding.setTtl(datagram.ttl - 1); // RFC 1812 §5.3.1: we are a router; 1 is answered below us
    binding.bytesToHost += len;
    binding.transmit(slot);
  }

  private refuse(now: Instant, datagram: Datagram, count: UdpNatCount, error: NetworkError): void {
    this.counts.add(count);
    const { key } = datagram;
    const id: FlowId = {
      guest: keyGuest(key),
      guestPort: datagram.guestPort,
      remote: keyRemote(key),
      remotePort: datagram.remotePort,
    };
    this.deps.onRefused?.(id, count);
    const gateway = this.deps.addresses.gatewayOf(id.guest.family);
    this.deps.downstream.sendUdpError(now, id, error, gateway, datagram.len);
  }

  private bind(now: Instant, guest: IpAddress, guestPort: number): Binding | undefined {
    while (this.table.size >= this.options.bindings) this.evictOldest();
    const binding = new Binding(this, now, this.scratchKey.slice(), guest, guestPort);
    let host = openHostSocket({ family: guest.family }, binding);
    if (typeof host === 'string' && this.table.size > 0) {
      // Out of descriptors or memory: the oldest eighth makes room, and new flows go on.
      for (let n = 1 + (this.table.size >> 3); n > 0; n--) this.evictOldest();
      host = openHostSocket({ family: guest.family }, binding);
    }
    if (typeof host === 'string') return undefined;
    binding.attach(host, new Outbox(this.deps.outboxes, host, binding));
    this.table.add(now, binding);
    return binding;
  }

  private evictOldest(): void {
    const oldest = this.table.oldest();
    if (oldest === undefined) return;
    this.counts.add('udp-evicted');
    this.drop(oldest);
  }

  private drop(binding: Binding): void {
    this.table.remove(binding);
    binding.close();
  }
}

/** The `id` of every datagram a binding delivers: one object, since nobody keeps it. */
interface MutableFlowId extends FlowId {
  remote: IpAddress;
  remotePort: number;
}

class Binding extends HostSession<Binding> {
  readonly guestPort: number;
  readonly id: MutableFlowId;
  readonly serial: number = nextSerial++;
  readonly openedAt: Instant;
  bytesToHost: number = NO_BYTES;
  bytesToGuest: number = NO_BYTES;

  constructor(nat: UdpNat, now: Instant, key: Int32Array, guest: IpAddress, guestPort: number) {
    super(nat, key, guest);
    this.openedAt = now;
    this.guestPort = guestPort;
    this.id = { guest, guestPort, remote: guest, remotePort: 0 };
  }

  protected get self(): Binding {
    return this;
  }

  describe(now: Instant): UdpFlowInfo {
    const { guest, guestPort } = this;
    return {
      serial: this.serial,
      ageMs: now - this.openedAt,
      guest,
      guestPort,
      remote: this.target.remote,
      remotePort: this.target.port,
      bytesToHost: plainCount(this.bytesToHost),
      bytesToGuest: plainCount(this.bytesToGuest),
      idleMs: now - this.usedAt,
    };
  }
}
