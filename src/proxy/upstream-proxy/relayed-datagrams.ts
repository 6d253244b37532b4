/**
 * Datagrams of guests that a proxy of SOCKS relays: one association for each port of a guest, as the NAT has one socket.
 * An association ends when it has been idle for its time, when the proxy ends the connection that asked for it, and in
 * favour of others beyond the limit. While the proxy refuses, the guest has an ICMP error for each datagram, and the
 * proxy is asked again after a while; nothing goes past it.
 *
 * Each association holds two descriptors. A datagram is copied to a slot of the send pool, which bounds what waits.
 */
import { ExpiringSet } from '../../base/expiring-set.ts';
import { keyGuest, keyRemote } from '../../base/flow-key.ts';
import type { IpAddress } from '../../base/ip-address.ts';
import type { Account, Budget } from '../../base/shares/budget.ts';
import type { Clock, Instant } from '../../base/time.ts';
import type { ProxyServer } from '../../services/upstream-proxy/proxy-server.ts';
import type { SocksPlace } from '../../services/upstream-proxy/socks5.ts';
import type { Datagram, Downstream, FlowId } from '../../stack/flow.ts';
import type { Guest } from '../../stack/guest.ts';
import type { AddressMap } from '../address-map.ts';
import type { FlowBook } from '../flows/flow-book.ts';
import type { ProxyQuestion } from '../flows/proxied-destinations.ts';
import type { FlushScheduler } from '../flush-scheduler.ts';
import { GateShares } from '../inspect/gate-shares.ts';
import { NO_TARGET } from '../udp/host-target.ts';
import { IdleFlows } from '../udp/idle-flows.ts';
import type { SendPool, SendSlot } from '../udp/send-pool.ts';
import { Association, type AssociationOwner } from './association.ts';
import type { ProxyDialDeps } from './proxy-dial.ts';

export type RelayedCount =
  | 'evicted'
  | 'expired'
  | 'refused'
  | 'no-room'
  | 'ended-by-proxy'
  | 'odd-datagram'
  | 'peer-hidden'
  | 'guest-not-draining';

/** What parts for datagrams have in common. */
export interface DatagramShared {
  readonly book: FlowBook;
  readonly downstream: Downstream;
  readonly clock: Clock;
  readonly flush: FlushScheduler;
  readonly addresses: AddressMap;
  readonly pool: SendPool;
  /** Any integer; see `IdleTable`. */
  readonly seed: number;
  /** Descriptors. */
  readonly sockets: Budget;
}

export interface RelayedDatagramsDeps extends DatagramShared {
  readonly dial: ProxyDialDeps;
  readonly onEnded: (id: FlowId, why: string) => void;
  readonly limits?: RelayedLimits | undefined;
}

export interface RelayedLimits {
  readonly entries: number;
  readonly freshMs: number;
  readonly settledMs: number;
}

/** As those of the NAT. */
const LIMITS: RelayedLimits = { entries: 1024, freshMs: 30_000, settledMs: 180_000 };
/** Guest address, and port. */
const KEY_WORDS = 5;
/** How long a proxy that has refused is not asked again for the same port. */
const REFUSED_MS = 2_000;
const REFUSED_MAX = 1024;

export class RelayedDatagrams
  extends IdleFlows<Association, RelayedCount>
  implements AssociationOwner
{
  readonly dial: ProxyDialDeps;
  readonly gates: GateShares = new GateShares();
  private readonly deps: RelayedDatagramsDeps;
  private readonly scratch = new Int32Array(KEY_WORDS);
  /** The second descriptor of each. */
  private readonly connections = new WeakMap<Guest, Account>();
  private readonly refused = new ExpiringSet(REFUSED_MAX, REFUSED_MS);

  constructor(deps: RelayedDatagramsDeps) {
    const { seed, sockets, book, limits = LIMITS } = deps;
    const ends = { evicted: 'evicted', expired: 'expired' } as const;
    super('udp-associations', KEY_WORDS, limits, seed, ends, sockets, { book, protocol: 'udp' });
    this.deps = deps;
    this.dial = deps.dial;
  }

  /** @returns false where it is not for a proxy, as far as is known from the datagram before it */
  onDatagram(now: Instant, datagram: Datagram): boolean {
    if (this.table.size === 0) return false;
    const found = this.table.find(this.keyOf(datagram));
    const { key, remotePort } = datagram;
    if (found === undefined || found.target.port !== remotePort) return false;
    const { a, b, c, d } = found.target.remote;
    if (key[7] !== d || key[6] !== c || key[5] !== b || key[4] !== a) return false;
    this.send(now, found, datagram);
    return true;
  }

  /** @param host by which the proxy is asked */
  relay(
    now: Instant,
    datagram: Datagram,
    server: ProxyServer,
    host: string,
    { to }: ProxyQuestion,
  ): void {
    const known = this.table.find(this.keyOf(datagram));
    const association = known ?? this.associate(now, datagram, server, host);
    if (association === undefined) {
      this.refuse(now, datagram);
      return;
    }
    association.aim(keyRemote(datagram.key), datagram.remotePort, host, to.check);
    this.send(now, association, datagram);
  }

  /** The proxy may be another one now. */
  closeAll(why: string): void {
    for (const association of this.table.entries()) this.drop(association, why);
  }

  received(association: Association, { host, port }: SocksPlace, bytes: Uint8Array): void {
    const { addresses, clock, downstream, flush } = this.deps;
    const { guest, guestPort } = association;
    const remote = association.whoIs(host, port) ?? addresses.guestView(host, guest.family, false);
    if (remote === undefined) {
      this.counts.add('peer-hidden');
      return;
    }
    const now = clock.now();
    this.table.touch(now, association, true);
    association.bytesToGuest += bytes.length;
    association.packetsToGuest++;
    const id = { guest, guestPort, remote, remotePort: port };
    if (!downstream.sendDatagram(now, id, bytes, 0, bytes.length)) {
      this.counts.add('guest-not-draining');
    }
    flush.schedule();
  }

  ended(association: Association, why: string): void {
    if (association.isClosed) return;
    this.counts.add('ended-by-proxy');
    const { guest, guestPort, target } = association;
    const id = { guest, guestPort, remote: target.remote, remotePort: target.port };
    this.refused.add(this.deps.clock.now(), nameOf(association));
    this.deps.onEnded(id, why);
    this.drop(association, why);
  }

  release(slot: SendSlot): void {
    this.deps.pool.give(slot);
  }

  odd(): void {
    this.counts.add('odd-datagram');
  }

  protected override drop(association: Association, why: string): void {
    this.connectionsOf(association.owner).give();
    super.drop(association, why);
  }

  private associate(
    now: Instant,
    { key, owner, guestPort, remotePort }: Datagram,
    server: ProxyServer,
    host: string,
  ): Association | undefined {
    const guest = keyGuest(key);
    if (!this.refused.isEmpty && this.refused.has(now, `${guest} ${guestPort}`)) return undefined;
    if (!this.takePlace(owner)) {
      this.counts.add('no-room');
      return undefined;
    }
    const connections = this.connectionsOf(owner);
    if (!connections.take()) {
      this.givePlace(owner);
      this.counts.add('no-room');
      return undefined;
    }
    const target = { remote: keyRemote(key), port: remotePort, host, header: NO_HEADER };
    const made = new Association(
      ...([this, this.scratch.slice(), owner, guest, guestPort, server, target] as const),
    );
    this.add(now, made);
    return made;
  }

  private send(now: Instant, association: Association, datagram: Datagram): void {
    const { slab, off, len, owner } = datagram;
    const slot = this.deps.pool.take(len, NO_TARGET, owner);
    if (slot === undefined) {
      this.counts.add('no-room');
      return;
    }
    this.table.touch(now, association, false);
    slot.fill(0, slab, off, len);
    slot.key.set(datagram.key);
    const result = association.gate?.judge(slot) ?? 'pass';
    if (result === 'pass') {
      for (const held of association.gate?.takeHeld() ?? []) association.transmit(held);
      association.transmit(slot);
    } else if (result === 'denied') {
      this.release(slot);
      this.refuse(now, datagram);
    }
  }

  private refuse(now: Instant, { key, guestPort, remotePort, len }: Datagram): void {
    this.counts.add('refused');
    const { addresses, downstream } = this.deps;
    const guest = keyGuest(key);
    const id = { guest, guestPort, remote: keyRemote(key), remotePort };
    const gateway = addresses.gatewayOf(guest.family);
    downstream.sendUdpError(now, id, 'port-unreachable', gateway, len);
  }

  private keyOf({ key, guestPort }: Datagram): Int32Array {
    const { scratch } = this;
    for (let i = 0; i < 4; i++) scratch[i] = key[i] ?? 0;
    scratch[4] = guestPort;
    return scratch;
  }

  private connectionsOf(guest: Guest): Account {
    const known = this.connections.get(guest);
    if (known !== undefined) return known;
    const made = guest.owner.share(this.deps.sockets, {});
    this.connections.set(guest, made);
    return made;
  }
}

const NO_HEADER = new Uint8Array(0);

const nameOf = ({ guest, guestPort }: { guest: IpAddress; guestPort: number }): string =>
  `${guest} ${guestPort}`;
