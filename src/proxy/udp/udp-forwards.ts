/**
 * UDP ports of the gateway that lead to an address of the host's network. Each port of a guest that sends to one has a
 * host socket for it, hears that one address alone, and sees the gateway's port as the sender. Flows are the guest's
 * share, and end when idle, as in the NAT.
 */
import type { RemoteInfo } from 'node:dgram';
import { KEY_REMOTE, keyGuest, keyRemote } from '../../base/flow-key.ts';
import type { IpAddress } from '../../base/ip-address.ts';
import type { Instant } from '../../base/time.ts';
import type { QueuedError } from '../../native/posix.ts';
import { ANY_OUTBOUND, type OutboundAddresses } from '../../native/stream/connect-stream.ts';
import type { Datagram, FlowId } from '../../stack/flow.ts';
import type { Guest } from '../../stack/guest.ts';
import type { UdpService } from '../../stack/udp.ts';
import { REFUSAL_ERRORS } from '../flows/destination.ts';
import type { Destinations } from '../flows/destinations.ts';
import { type HostErrors, networkErrorOf, sendError } from './host-errors.ts';
import { HostSession, type Side } from './host-session.ts';
import { type Failure, HostSessions, type SessionsDeps, sideOf } from './host-sessions.ts';

export interface ForwardTarget {
  readonly address: string;
  readonly port: number;
}

export interface UdpForwardsOptions {
  /** Over all ports. */
  readonly flows: number;
  readonly freshMs: number;
  readonly settledMs: number;
  /** Bytes that one flow may have queued for the kernel. */
  readonly inFlightBytes: number;
}

export const UDP_FORWARDS_DEFAULTS: UdpForwardsOptions = {
  flows: 1024,
  freshMs: 30_000,
  settledMs: 180_000,
  inFlightBytes: 1 << 20,
};

export interface UdpForwardsDeps extends SessionsDeps {
  readonly destinations: Pick<Destinations, 'refusesServiceFlow'>;
  /** Where datagrams come from. Default: the system picks the address. */
  readonly outbound?: OutboundAddresses;
  readonly native: { readonly posix: HostErrors | undefined };
}

export type UdpForwardCount =
  | 'udp-forward-refused'
  | 'udp-forward-evicted'
  | 'udp-forward-expired'
  | 'udp-forward-no-socket'
  | 'udp-forward-in-flight-limit'
  | 'udp-forward-send-failed'
  | 'udp-forward-receive-failed'
  | 'udp-forward-icmp-error'
  | 'udp-forward-not-the-target'
  | 'udp-forward-guest-not-draining';

/** Above the guest's port and the side, in a key. */
const NUMBER_SHIFT = 20;
/** Ports that may be forwarded at a time. */
export const UDP_FORWARDS_MAX = 512;

export class UdpForwards extends HostSessions<ForwardedFlow, UdpForwardCount> {
  private readonly deps: UdpForwardsDeps;
  private readonly options: UdpForwardsOptions;

  constructor(deps: UdpForwardsDeps, options: UdpForwardsOptions = UDP_FORWARDS_DEFAULTS) {
    const { flows, freshMs, settledMs } = options;
    const limits = { entries: flows, freshMs, settledMs };
    super('udp-forwards', 'udp', deps, limits, {
      evicted: 'udp-forward-evicted',
      expired: 'udp-forward-expired',
      sendFailed: 'udp-forward-send-failed',
      receiveFailed: 'udp-forward-receive-failed',
      icmpError: 'udp-forward-icmp-error',
      peerHidden: 'udp-forward-not-the-target',
    });
    this.deps = deps;
    this.options = options;
  }

  /** @internal for flows. */
  get errors(): HostErrors | undefined {
    return this.deps.native.posix;
  }

  /** @param number of the forward: below {@link UDP_FORWARDS_MAX}, and its own */
  service(number: number, target: ForwardTarget): UdpService {
    return (now, datagram) => this.onDatagram(now, datagram, number, target);
  }

  /** The forwards are others from now on. */
  endAll(): void {
    for (const flow of this.table.entries()) this.drop(flow, 'withdrawn');
  }

  /** @internal for flows: one has received. */
  override deliver(flow: ForwardedFlow, bytes: Buffer, peer: RemoteInfo): void {
    const { address, port } = flow.target.current;
    if (peer.port !== port || peer.address !== address) {
      this.counts.add('udp-forward-not-the-target');
      return;
    }
    const now = this.deps.clock.now();
    this.table.touch(now, flow, true);
    this.toGuest(now, flow, flow.target.remote, flow.target.port, bytes);
    this.deps.flush.schedule();
  }

  /** @internal for flows. */
  override reportError(flow: ForwardedFlow, entry: QueuedError): void {
    const error = networkErrorOf(entry);
    if (error === undefined) return;
    this.counts.add('udp-forward-icmp-error');
    const { id, guest } = flow;
    const gateway = this.deps.addresses.gatewayOf(guest.family);
    const failure = { error, from: gateway, len: entry.payload.length };
    this.sendError(this.deps.clock.now(), { id }, failure);
    this.deps.flush.schedule();
  }

  protected toGuest(
    now: Instant,
    flow: ForwardedFlow,
    _remote: IpAddress,
    _remotePort: number,
    bytes: Buffer,
  ): void {
    flow.bytesToGuest += bytes.length;
    flow.packetsToGuest++;
    if (!this.deps.downstream.sendDatagram(now, flow.id, bytes, 0, bytes.length)) {
      this.counts.add('udp-forward-guest-not-draining');
    }
  }

  protected sendError(
    now: Instant,
    { id }: Pick<ForwardedFlow, 'id'>,
    { error, from, len }: Pick<Failure, 'error' | 'from' | 'len'>,
  ): boolean {
    this.deps.downstream.sendUdpError(now, id, error, from, len);
    return true;
  }

  private onDatagram(
    now: Instant,
    datagram: Datagram,
    number: number,
    target: ForwardTarget,
  ): void {
    const { owner, key, guestPort, remotePort, len } = datagram;
    const place = guestPort | (number << NUMBER_SHIFT);
    const flow =
      this.sessionTo(now, key, place, remotePort) ?? this.openTo(now, datagram, place, target);
    if (flow === undefined) return;
    const slot =
      flow.inFlightBytes + len > this.options.inFlightBytes
        ? undefined
        : this.deps.pool.take(len, flow.target.current, owner);
    if (slot === undefined) {
      this.counts.add('udp-forward-in-flight-limit');
      return;
    }
    slot.fill(0, datagram.slab, datagram.off, len);
    slot.key.set(key);
    flow.bytesToHost += len;
    flow.packetsToHost++;
    flow.transmit(slot);
  }

  private openTo(
    now: Instant,
    datagram: Datagram,
    place: number,
    { address, port }: ForwardTarget,
  ): ForwardedFlow | undefined {
    const { owner, key, guestPort, remotePort } = datagram;
    const { destinations } = this.deps;
    const guest = keyGuest(key);
    const refusal = destinations.refusesServiceFlow(owner, 'udp', key, KEY_REMOTE, remotePort);
    if (refusal !== undefined) {
      this.counts.add('udp-forward-refused');
      if (refusal === 'none') return undefined;
      const id = { guest, guestPort, remote: keyRemote(key), remotePort };
      this.sendError(
        now,
        { id },
        { error: REFUSAL_ERRORS[refusal], from: id.remote, len: datagram.len },
      );
      return undefined;
    }
    const side = sideOf(guest, address, false);
    const known = this.sessionFor(now, key, place, side);
    const flow =
      known ?? new ForwardedFlow(this, this.scratchKey.slice(), owner, guest, side, guestPort);
    flow.lead(key, remotePort, address, port);
    if (known !== undefined) return known;
    const failure = this.takePlace(owner) ? this.openFrom(now, flow) : 'ENOBUFS';
    if (failure === undefined) return flow;
    this.counts.add('udp-forward-no-socket');
    const gateway = this.deps.addresses.gatewayOf(guest.family);
    const error = sendError(failure, address) ?? 'host-unreachable';
    this.sendError(now, flow, { error, from: gateway, len: datagram.len });
    return undefined;
  }

  private openFrom(now: Instant, flow: ForwardedFlow): string | undefined {
    const { ipv4, ipv6 } = this.deps.outbound ?? ANY_OUTBOUND;
    const isLocal = flow.target.current.address.startsWith('127.');
    const from = flow.hostFamily === 4 ? ipv4 : ipv6;
    const failure = this.open(now, flow, isLocal ? {} : { address: from });
    if (failure !== undefined) this.givePlace(flow.owner);
    return failure;
  }
}

class ForwardedFlow extends HostSession<ForwardedFlow> {
  readonly guestPort: number;
  /** Of what the guest receives: from the gateway's port. */
  id: FlowId;

  constructor(
    forwards: UdpForwards,
    key: Int32Array,
    owner: Guest,
    guest: IpAddress,
    side: Side,
    guestPort: number,
  ) {
    super(forwards, key, owner, guest, side);
    this.guestPort = guestPort;
    this.id = { guest, guestPort, remote: guest, remotePort: 0 };
  }

  lead(key: Int32Array, remotePort: number, address: string, port: number): void {
    this.target.set(key, remotePort, address, port);
    const { guest, guestPort } = this;
    this.id = { guest, guestPort, remote: this.target.remote, remotePort };
  }

  protected get self(): ForwardedFlow {
    return this;
  }
}
