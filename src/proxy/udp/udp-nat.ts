/**
 * UDP between guests and the outside: one host socket per (guest address, guest port).
 *
 * Full cone (RFC 4787: endpoint-independent mapping and filtering): all datagrams of a guest's port
 * leave from one host port, and datagrams from any peer to that port reach the guest. A binding lives until
 * it has been idle for its time (shorter while nothing has answered) or until there is no room and its guest has
 * the most: a scan evicts the oldest bindings of the guest that scans, and causes no outage.
 * A guest's port that sends to both families of the host, by NAT64 or to its two loopbacks, has a binding for each.
 *
 * Bytes: a guest's payload is copied into a slot of the {@link SendPool} and is the {@link Outbox}'s
 * until it is sent; each binding has a limit of queued bytes. Datagrams that the host
 * receives are passed on at once and not buffered here.
 */

import { ExpiringSet } from '../../base/expiring-set.ts';
import {
  KEY_GUEST,
  KEY_REMOTE,
  keyGuest,
  keyRemote,
  makeKey,
  setKeyAddress,
  setKeyPorts,
} from '../../base/flow-key.ts';
import type { IpAddress } from '../../base/ip-address.ts';
import { slabOver } from '../../base/slab.ts';
import type { Instant } from '../../base/time.ts';
import type { QueuedError } from '../../native/posix.ts';
import { ANY_OUTBOUND, type OutboundAddresses } from '../../native/stream/connect-stream.ts';
import type { Datagram, FlowId, NetworkError } from '../../stack/flow.ts';
import { type HostLoopback, type Outside, REFUSAL_ERRORS } from '../flows/destination.ts';
import type { Destinations } from '../flows/destinations.ts';
import type { OwnDns } from '../flows/own-dns.ts';
import type { DatagramGate } from '../inspect/datagram-gate.ts';
import { GateShares } from '../inspect/gate-shares.ts';
import { Binding } from './binding.ts';
import {
  sendError as errorOfSend,
  type HostErrors,
  lacksFamily,
  networkErrorOf,
} from './host-errors.ts';
import { type Failure, HostSessions, type SessionsDeps, sideOf } from './host-sessions.ts';
import { MAX_WHOLE_QUOTE } from './host-target.ts';
import type { SendSlot } from './send-pool.ts';
import {
  UDP_NAT_COUNTS,
  UDP_NAT_DEFAULTS,
  type UdpNatCount,
  type UdpNatOptions,
} from './udp-nat-options.ts';

export interface UdpNatDeps extends SessionsDeps {
  readonly destinations: Destinations;
  /** Where {@link destinations} have it answer. */
  readonly ownDns?: OwnDns | undefined;
  /** Where datagrams come from. Default: the system picks the address. */
  readonly outbound?: OutboundAddresses;
  /** Called for a datagram that is answered by an ICMP error, with why. */
  readonly onRefused?: (id: FlowId, why: UdpNatCount) => void;
  /** Undefined without native calls: ICMP errors then do not reach guests. Asked when a socket is opened. */
  readonly native: { readonly posix: HostErrors | undefined };
}

/** How long it is remembered that a datagram was lost at a loopback where nobody listens, and of how many ports. */
const LOST_MS = 10_000;
const LOST_MAX = 1024;

const NOT_REDIRECTED: Pick<Outside, 'insteadOf' | 'port'> = {};

export class UdpNat extends HostSessions<Binding, UdpNatCount> {
  private readonly deps: UdpNatDeps;
  private readonly options: UdpNatOptions;
  /** Ports of loopbacks where a datagram was lost that could not be sent to the other one: the next such begins there. */
  private readonly lost = new ExpiringSet(LOST_MAX, LOST_MS);

  constructor(deps: UdpNatDeps, options: UdpNatOptions = UDP_NAT_DEFAULTS) {
    const { bindings, freshMs, settledMs } = options;
    super('udp-bindings', 'udp', deps, { entries: bindings, freshMs, settledMs }, UDP_NAT_COUNTS);
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
    const known = this.sessionTo(now, key, guestPort, remotePort);
    if (known !== undefined) {
      this.send(now, known, datagram);
      return;
    }
    const to = this.deps.destinations.decide(owner, 'udp', key, KEY_REMOTE, remotePort);
    if (to.kind === 'gateway') {
      this.refuse(now, datagram, 'udp-gateway-port-closed', 'port-unreachable');
    } else if (to.kind === 'dns') {
      this.deps.ownDns?.current?.takeDatagram(now, datagram, to.verdict);
    } else if (to.kind === 'refused') {
      const { answer } = to;
      if (answer === 'none') this.counts.add('udp-refused');
      else this.refuse(now, datagram, 'udp-refused', REFUSAL_ERRORS[answer]);
    } else if (to.relay === undefined) this.sendTo(now, datagram, to);
    else to.relay.relay(now, datagram);
  }

  /** @internal for bindings. */
  override reportError(binding: Binding, entry: QueuedError): void {
    const { destination, destinationPort, payload } = entry;
    const isNobody =
      networkErrorOf(entry) === 'port-unreachable' &&
      destination !== undefined &&
      binding.redirects?.find(destination.toString(), destinationPort) === undefined;
    if (isNobody) {
      const address = destination.toString();
      const isOne = !binding.target.isJoined(address, destinationPort);
      const isWhole = isOne && payload.length < MAX_WHOLE_QUOTE;
      if (this.triesTwin(binding, address, destinationPort, payload, isWhole)) return;
    }
    super.reportError(binding, entry);
  }

  /** @internal for bindings. */
  override sendFailed(binding: Binding, slot: SendSlot, code: string): void {
    const { target, bytes, len } = slot;
    if (lacksFamily(code)) {
      const payload = bytes.subarray(0, len);
      if (this.triesTwin(binding, target.address, target.port, payload, true)) return;
    }
    super.sendFailed(binding, slot, code);
  }

  private sendTo(now: Instant, datagram: Datagram, to: HostLoopback | Outside): void {
    const binding = this.bindingTo(now, datagram, to);
    if (typeof binding === 'string') {
      const error = errorOfSend(binding, to.address) ?? 'host-unreachable';
      this.refuse(now, datagram, 'udp-no-socket', error);
    } else this.send(now, binding, datagram);
  }

  /** @returns the system's code where there is none */
  private bindingTo(
    now: Instant,
    datagram: Datagram,
    to: HostLoopback | Outside,
  ): Binding | string {
    const address = this.addressOf(now, to, datagram);
    const isTranslated = to.kind === 'outside' && to.isTranslated;
    const binding = this.bindingFor(now, datagram, address, isTranslated, to);
    if (typeof binding !== 'string' || !lacksFamily(binding) || to.kind !== 'host-loopback') {
      return binding;
    }
    if (to.twin === undefined || to.twin === address) return binding;
    return this.bindingFor(now, datagram, to.twin, false, to);
  }

  /** What an error holds the whole of begins where the guest has sent it, always: a server may have come there. */
  private addressOf(
    now: Instant,
    to: HostLoopback | Outside,
    { remotePort, len }: Datagram,
  ): string {
    const { address } = to;
    if (to.kind === 'outside' || to.twin === undefined || len < MAX_WHOLE_QUOTE) return address;
    return this.lost.has(now, `${address} ${remotePort}`) ? to.twin : address;
  }

  /**
   * Nobody listens at a port of the loopback: the datagram at hand goes to the other loopback, and those that follow it
   * too. The guest gets the error when neither has a listener, and when the one at hand is lost: of it the error has a part.
   *
   * @param isWhole whether `payload` is all of the datagram
   * @returns false when it has to
   */
  private triesTwin(
    { guest, guestPort, owner, target }: Binding,
    loopback: string,
    port: number,
    payload: Uint8Array,
    isWhole: boolean,
  ): boolean {
    if (loopback !== '127.0.0.1' && loopback !== '::1') return false;
    const remote = this.deps.addresses.hostOf(guest.family);
    if (remote === undefined) return false;
    const now = this.deps.clock.now();
    target.clear();
    const key = makeKey();
    setKeyAddress(key, KEY_GUEST, guest);
    setKeyAddress(key, KEY_REMOTE, remote);
    setKeyPorts(key, guestPort, port);
    const to = this.deps.destinations.decide(owner, 'udp', key, KEY_REMOTE, port);
    if (to.kind !== 'host-loopback' || to.twin === undefined) return false;
    const own = `${to.address} ${port}`;
    if (loopback !== to.address) {
      this.lost.delete(own);
      return false; // never back again: two errors would take turns for good
    }
    if (!isWhole) {
      this.lost.add(now, own);
      return false; // the guest hears that it is lost, and may send it again
    }
    const part = { slab: slabOver(payload), off: 0, len: payload.length, ttl: 64 };
    const datagram = { key, owner, guestPort, remotePort: port, ...part };
    const next = this.bindingFor(now, datagram, to.twin, false, to);
    if (typeof next === 'string') return false;
    this.send(now, next, datagram);
    this.deps.flush.schedule();
    return true;
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
    binding.target.answers(remote, remotePort);
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

  private readonly gateShares = new GateShares();
  private readonly give = (slot: SendSlot): void => this.release(slot);

  private send(now: Instant, binding: Binding, datagram: Datagram): void {
    const { key, len } = datagram;
    const slot =
      binding.inFlight >= this.options.inFlight ||
      binding.inFlightBytes + len > this.options.inFlightBytes
        ? undefined
        : this.deps.pool.take(len, binding.target.current, datagram.owner);
    if (slot === undefined) {
      this.counts.add('udp-in-flight-limit');
      return;
    }
    slot.fill(0, datagram.slab, datagram.off, len);
    slot.key.set(key);
    binding.setTtl(datagram.ttl - 1); // RFC 1812 §5.3.1: we are a router; 1 is answered below us
    if (binding.gate === undefined) this.transmit(binding, slot);
    else this.inspect(now, binding, binding.gate, slot, datagram);
  }

  private transmit(binding: Binding, slot: SendSlot): void {
    binding.bytesToHost += slot.len;
    binding.packetsToHost++;
    binding.transmit(slot);
  }

  private inspect(
    now: Instant,
    binding: Binding,
    gate: DatagramGate,
    slot: SendSlot,
    datagram: Datagram,
  ): void {
    const result = gate.judge(slot);
    if (result === 'pass') {
      for (const held of gate.takeHeld()) this.transmit(binding, held);
      this.transmit(binding, slot);
    } else if (result === 'denied') {
      this.release(slot);
      this.refuse(now, datagram, 'udp-refused', 'prohibited');
    }
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

  /** @returns the system's code where there is none */
  private bindingFor(
    now: Instant,
    { owner, key, guestPort, remotePort }: Datagram,
    address: string,
    isTranslated: boolean,
    to: HostLoopback | Outside,
  ): Binding | string {
    const { check, verdict } = to;
    const guest = keyGuest(key);
    const side = sideOf(guest, address, isTranslated);
    const known = this.sessionFor(now, key, guestPort, side);
    if (known === undefined && !this.takePlace(owner)) return 'ENOBUFS';
    const binding =
      known ?? new Binding(this, this.scratchKey.slice(), owner, guest, side, guestPort);
    const { insteadOf, port = remotePort } = to.kind === 'outside' ? to : NOT_REDIRECTED;
    const mayBeElsewhere = to.kind === 'host-loopback' && (to.twin ?? address) !== address;
    binding.target.set(key, remotePort, address, port, !mayBeElsewhere); // the book shows it at once
    binding.redirect(insteadOf, address, port, keyRemote(key), remotePort);
    binding.verdict = verdict;
    binding.names = this.namesOf(now, binding);
    binding.useCheck(check, this.gateShares, this.give);
    if (known !== undefined) return known;
    const { ipv4, ipv6 } = this.deps.outbound ?? ANY_OUTBOUND;
    const from = { address: binding.hostFamily === 6 ? ipv6 : ipv4 };
    let failure = this.open(now, binding, from);
    if (failure !== undefined && !lacksFamily(failure)) {
      this.evictSome(owner); // the system is out of descriptors or memory
      failure = this.open(now, binding, from);
    }
    if (failure === undefined) return binding;
    this.givePlace(owner);
    return failure;
  }
}
