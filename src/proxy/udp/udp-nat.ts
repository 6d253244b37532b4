/**
 * UDP between guests and the outside: one host socket per (guest address, guest port).
 *
 * Full cone (RFC 4787: endpoint-independent mapping and filtering): all datagrams of a guest's port
 * leave from one host port, and datagrams from any peer to that port reach the guest. A binding lives until
 * it has been idle for its time (shorter while nothing has answered) or until there is no room and its guest has
 * the most: a scan evicts the oldest bindings of the guest that scans, and causes no outage.
 *
 * Bytes: a guest's payload is copied into a slot of the {@link SendPool} and is the {@link Outbox}'s
 * until it is sent; each binding has a limit of queued bytes. Datagrams that the host
 * receives are passed on at once and not buffered here.
 */

import { KEY_REMOTE, keyGuest, keyRemote } from '../../base/flow-key.ts';
import type { IpAddress } from '../../base/ip-address.ts';
import type { Instant } from '../../base/time.ts';
import type { Datagram, FlowId, NetworkError } from '../../stack/flow.ts';
import type { Guest } from '../../stack/guest.ts';
import type { Destinations } from '../flows/destinations.ts';
import type { HostErrors } from './host-errors.ts';
import { HostSession } from './host-session.ts';
import {
  type Failure,
  HostSessions,
  type SessionCounts,
  type SessionsDeps,
} from './host-sessions.ts';
import type { HostTarget } from './host-target.ts';

export interface UdpNatOptions {
  readonly bindings: number;
  /** Idle time of a binding that nothing has answered, and of one that something has. */
  readonly freshMs: number;
  readonly settledMs: number;
  /** Datagrams and bytes that one binding may have queued for the kernel. */
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

export interface UdpNatDeps extends SessionsDeps {
  readonly destinations: Destinations;
  /** Called for a datagram that is answered by an ICMP error, with why. */
  readonly onRefused?: (id: FlowId, why: UdpNatCount) => void;
  /** Undefined without native calls: ICMP errors then do not reach guests. Asked when a socket is opened. */
  readonly native: { readonly posix: HostErrors | undefined };
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

const COUNTS: SessionCounts<UdpNatCount> = {
  evicted: 'udp-evicted',
  expired: 'udp-expired',
  sendFailed: 'udp-send-failed',
  receiveFailed: 'udp-receive-failed',
  icmpError: 'udp-icmp-error',
  peerHidden: 'udp-peer-hidden',
};

export class UdpNat extends HostSessions<Binding, UdpNatCount> {
  private readonly deps: UdpNatDeps;
  private readonly options: UdpNatOptions;

  constructor(deps: UdpNatDeps, options: UdpNatOptions = UDP_NAT_DEFAULTS) {
    const { bindings, freshMs, settledMs } = options;
    super('udp-bindings', 'udp', deps, { entries: bindings, freshMs, settledMs }, COUNTS);
    this.deps = deps;
    this.options = options;
  }

  /** @internal for bindings. */
  get errors(): HostErrors | undefined {
    return this.deps.native.posix;
  }

  onDatagram(now: Instant, datagram: Datagram): void {
    const { key, guestPort, remotePort, owner } = datagram;
    if (remotePort === 0 || guestPort === 0) {
      this.counts.add('udp-port-zero');
      return;
    }
    const known = this.sessionOf(now, key, guestPort);
    const target = known?.target.lookup(key, remotePort);
    if (known !== undefined && target !== undefined) {
      this.send(known, datagram, target);
      return;
    }
    const to = this.deps.destinations.decide(owner, 'udp', key, KEY_REMOTE, remotePort);
    if (to.kind === 'gateway') {
      this.refuse(now, datagram, 'udp-gateway-port-closed', 'port-unreachable');
    } else if (to.kind === 'refused') {
      if (to.answered) this.refuse(now, datagram, 'udp-refused', 'prohibited');
      else this.counts.add('udp-refused');
    } else {
      const binding = known ?? this.bind(now, datagram, to.address);
      if (binding !== undefined) {
        this.send(binding, datagram, binding.target.set(key, remotePort, to.address));
      } else this.refuse(now, datagram, 'udp-no-socket', 'host-unreachable');
    }
  }

  protected toGuest(
    now: Instant,
    binding: Binding,
    remote: IpAddress,
    remotePort: number,
    bytes: Buffer,
  ): void {
    binding.bytesToGuest += bytes.length;
    binding.packetsToGuest++;
    const { id } = binding;
    id.remote = remote;
    id.remotePort = remotePort;
    if (!this.deps.downstream.sendDatagram(now, id, bytes, 0, bytes.length)) {
      this.counts.add('udp-guest-not-draining');
    }
  }

  protected sendError(now: Instant, { guest, guestPort }: Binding, failure: Failure): boolean {
    const { remote, remotePort, error, from, len } = failure;
    const id = { guest, guestPort, remote, remotePort };
    this.deps.downstream.sendUdpError(now, id, error, from, len);
    return true;
  }

  private send(binding: Binding, datagram: Datagram, target: HostTarget): void {
    const { key, len } = datagram;
    const slot =
      binding.inFlight >= this.options.inFlight ||
      binding.inFlightBytes + len > this.options.inFlightBytes
        ? undefined
        : this.deps.pool.take(len, target, datagram.owner);
    if (slot === undefined) {
      this.counts.add('udp-in-flight-limit');
      return;
    }
    slot.fill(0, datagram.slab, datagram.off, len);
    slot.key.set(key);
    binding.setTtl(datagram.ttl - 1); // RFC 1812 §5.3.1: we are a router; 1 is answered below us
    binding.bytesToHost += len;
    binding.packetsToHost++;
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

  private bind(now: Instant, datagram: Datagram, address: string): Binding | undefined {
    const { owner, key, guestPort, remotePort } = datagram;
    if (!this.takePlace(owner)) return undefined;
    const binding = new Binding(this, this.scratchKey.slice(), owner, keyGuest(key), guestPort);
    binding.target.set(key, remotePort, address); // the book shows it at once
    if (this.open(now, binding) === undefined) return binding;
    this.evictSome(owner); // the system is out of descriptors or memory
    if (this.open(now, binding) === undefined) return binding;
    this.givePlace(owner);
    return undefined;
  }
}

/** The `id` of every datagram that a binding delivers: one object, because no receiver keeps it. */
interface MutableFlowId extends FlowId {
  remote: IpAddress;
  remotePort: number;
}

class Binding extends HostSession<Binding> {
  readonly guestPort: number;
  readonly id: MutableFlowId;

  constructor(nat: UdpNat, key: Int32Array, owner: Guest, guest: IpAddress, guestPort: number) {
    super(nat, key, owner, guest);
    this.guestPort = guestPort;
    this.id = { guest, guestPort, remote: guest, remotePort: 0 };
  }

  protected get self(): Binding {
    return this;
  }
}
