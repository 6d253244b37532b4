/**
 * The sessions of one proxy: a host socket for each port or ping identifier of a guest, opened for its
 * first packet. What the host receives goes to the guest, and so do the ICMP errors that the kernel
 * reports and the errors of sends that mean the same.
 */
import type { RemoteInfo } from 'node:dgram';
import { keyRemote, keyRemotePort } from '../../base/flow-key.ts';
import type { IpAddress } from '../../base/ip-address.ts';
import type { Budget } from '../../base/shares/budget.ts';
import type { Clock, Instant } from '../../base/time.ts';
import type { QueuedError } from '../../native/posix.ts';
import type { Downstream, NetworkError } from '../../stack/flow.ts';
import type { AddressMap } from '../address-map.ts';
import type { FlowProtocol } from '../flows/flow.ts';
import type { FlowBook } from '../flows/flow-book.ts';
import type { FlushScheduler } from '../flush-scheduler.ts';
import type { Intakes } from '../intake.ts';
import { type HostErrors, networkErrorOf, sendError } from './host-errors.ts';
import { type HostSession, PLAIN, type SessionOwner, type Side } from './host-session.ts';
import { type HostSocketOptions, openHostSocket } from './host-socket.ts';
import { type EndCounts, IdleFlows } from './idle-flows.ts';
import type { TableLimits } from './idle-table.ts';
import { Outbox, type Outboxes } from './outbox.ts';
import type { SendPool, SendSlot } from './send-pool.ts';

/** Guest address; port or identifier, and side. */
const KEY_WORDS = 5;
const SIDE_SHIFT = 16;
const TRANSLATED_SIDES = [4, 6] as const;

export interface SessionsDeps {
  readonly downstream: Downstream;
  readonly clock: Clock;
  readonly flush: FlushScheduler;
  readonly addresses: AddressMap;
  readonly pool: SendPool;
  /** The owner flushes them after each batch of frames. */
  readonly outboxes: Outboxes;
  /** Any integer; see `IdleTable`. */
  readonly seed: number;
  /** Descriptors. */
  readonly sockets: Budget;
  readonly book: FlowBook;
  /** Absent where nothing bounds what one turn reads. */
  readonly intakes?: Intakes | undefined;
}

export interface SessionCounts<C> extends EndCounts<C> {
  readonly sendFailed: C;
  readonly receiveFailed: C;
  readonly icmpError: C;
  readonly peerHidden: C;
}

/** Why a guest's packet did not arrive. */
export interface Failure {
  /** What the guest had sent it to. */
  readonly remote: IpAddress;
  readonly remotePort: number;
  readonly error: NetworkError;
  /** The router or host that reported it, as the guest sees it. */
  readonly from: IpAddress;
  /** What was sent: `len` bytes at 0, of which the error may hold less. */
  readonly bytes: Uint8Array;
  readonly len: number;
}

/** Of the session for what `guest` sends to the host's address `address`. */
export function sideOf(guest: IpAddress, address: string, isTranslated: boolean): Side {
  const family = address.includes(':') ? 6 : 4;
  return family === guest.family && !isTranslated ? PLAIN : family;
}

export abstract class HostSessions<S extends HostSession<S>, C extends string>
  extends IdleFlows<S, C>
  implements SessionOwner<S>
{
  private readonly sessionDeps: SessionsDeps;
  private readonly names: SessionCounts<C>;
  /** Of the session that was looked for last. */
  protected readonly scratchKey: Int32Array = new Int32Array(KEY_WORDS);
  /** Sessions whose side is not plain. */
  private translated = 0;

  /** @param name of the budget of places */
  constructor(
    name: string,
    protocol: FlowProtocol,
    deps: SessionsDeps,
    limits: TableLimits,
    names: SessionCounts<C>,
  ) {
    const { seed, sockets, book } = deps;
    super(name, KEY_WORDS, limits, seed, names, sockets, { book, protocol });
    this.sessionDeps = deps;
    this.names = names;
  }

  /** Undefined without native calls. */
  abstract readonly errors: HostErrors | undefined;

  close(): void {
    for (const session of this.table.entries()) this.drop(session, 'closed');
  }

  /** @internal for sessions: one has received. */
  deliver(session: S, bytes: Buffer, peer: RemoteInfo): void {
    const { addresses, clock, flush } = this.sessionDeps;
    const { guest, side, redirects } = session;
    const asked = redirects?.find(peer.address, peer.port);
    const remote = asked?.remote ?? addresses.guestView(peer.address, guest.family, side !== PLAIN);
    if (remote === undefined) {
      this.counts.add(this.names.peerHidden);
      return;
    }
    const now = clock.now();
    this.table.touch(now, session, true);
    this.toGuest(now, session, remote, asked?.port ?? peer.port, bytes);
    flush.schedule();
  }

  /** @internal for sessions: the kernel is done with a packet. */
  release(slot: SendSlot): void {
    this.sessionDeps.pool.give(slot);
  }

  /** @internal for sessions. */
  ended(session: S): void {
    this.drop(session, 'ended-by-request');
  }

  /** @internal for sessions. */
  receiveFailed(): void {
    this.counts.add(this.names.receiveFailed);
  }

  /** @internal for sessions. */
  faulted(session: S): void {
    this.drop(session, 'fault');
  }

  /** @internal for sessions. */
  sendFailed(session: S, { key, target, bytes, len }: SendSlot, code: string): void {
    this.counts.add(this.names.sendFailed);
    const error = sendError(code, target.address);
    if (error === undefined) return;
    const from = this.sessionDeps.addresses.gatewayOf(session.guest.family);
    const remote = keyRemote(key);
    const isElsewhere = session.redirects?.find(target.address, target.port) !== undefined;
    const remotePort = isElsewhere ? keyRemotePort(key) : target.port;
    this.report(session, { remote, remotePort, error, from, bytes, len });
  }

  /** @internal for sessions. */
  reportError(session: S, entry: QueuedError): void {
    const { addresses } = this.sessionDeps;
    const error = networkErrorOf(entry);
    const { family } = session.guest;
    const seen = (address: IpAddress): IpAddress | undefined =>
      addresses.guestViewOf(address, family, session.side !== PLAIN);
    const { destination, destinationPort } = entry;
    const asked = destination && session.redirects?.find(destination.toString(), destinationPort);
    const remote = asked?.remote ?? (destination && seen(destination));
    if (error === undefined || remote === undefined) return;
    const from = (entry.offender && seen(entry.offender)) ?? addresses.gatewayOf(family);
    const remotePort = asked?.port ?? destinationPort;
    const { payload: bytes } = entry;
    const failure = { remote, remotePort, error, from, bytes, len: bytes.length };
    if (this.report(session, failure)) this.counts.add(this.names.icmpError);
  }

  /** The session whose last packet went where the guest has sent one now; undefined when there is none. */
  protected sessionTo(
    now: Instant,
    key: Int32Array,
    portOrIdentifier: number,
    remotePort: number,
  ): S | undefined {
    let session = this.find(key, portOrIdentifier, PLAIN);
    if (session?.target.lookup(key, remotePort) === undefined) {
      if (this.translated === 0) return undefined;
      session = this.translatedTo(key, portOrIdentifier, remotePort);
      if (session === undefined) return undefined;
    }
    this.table.touch(now, session, false);
    return session;
  }

  /** By which its guest has found where its last packet went. */
  protected namesOf(now: Instant, { owner, target }: S): readonly string[] {
    return this.sessionDeps.book.names.all(now, owner, target.remote);
  }

  /** The session of the guest's port or identifier for `to`; undefined when there is none yet. */
  protected sessionFor(
    now: Instant,
    key: Int32Array,
    portOrIdentifier: number,
    side: Side,
  ): S | undefined {
    const session = this.find(key, portOrIdentifier, side);
    if (session !== undefined) this.table.touch(now, session, false);
    return session;
  }

  private translatedTo(key: Int32Array, portOrId: number, remotePort: number): S | undefined {
    for (const side of TRANSLATED_SIDES) {
      const session = this.find(key, portOrId, side);
      if (session?.target.lookup(key, remotePort) !== undefined) return session;
    }
    return undefined;
  }

  private find(key: Int32Array, portOrIdentifier: number, side: Side): S | undefined {
    const scratch = this.scratchKey;
    for (let i = 0; i < 4; i++) scratch[i] = key[i] ?? 0;
    scratch[4] = portOrIdentifier | (side << SIDE_SHIFT);
    return this.table.find(scratch);
  }

  protected override add(now: Instant, session: S): void {
    super.add(now, session);
    if (session.side !== PLAIN) this.translated++;
  }

  protected override drop(session: S, why: string): void {
    super.drop(session, why);
    if (session.side !== PLAIN) this.translated--;
  }

  /**
   * Open the session's socket, and add the session, which was admitted.
   *
   * @param by a descriptor to use instead of a new socket, the caller's still when this fails; or where to bind one
   * @returns the system's code for why there is none; undefined once it is added
   */
  protected open(
    now: Instant,
    session: S,
    by: Pick<HostSocketOptions, 'fd' | 'address'>,
  ): string | undefined {
    const host = openHostSocket({ family: session.hostFamily, ...by }, session);
    if (typeof host === 'string') return host;
    const { outboxes, intakes } = this.sessionDeps;
    const outbox = new Outbox(outboxes, host, session);
    session.attach(host, outbox, intakes?.of(session.owner), by.fd);
    this.add(now, session);
    return undefined;
  }

  /** Hand `bytes`, which `remote` has sent, to the guest. */
  protected abstract toGuest(
    now: Instant,
    session: S,
    remote: IpAddress,
    remotePort: number,
    bytes: Buffer,
  ): void;

  /** @returns whether `failure` is about something that the session has sent, and the guest is informed */
  protected abstract sendError(now: Instant, session: S, failure: Failure): boolean;

  private report(session: S, failure: Failure): boolean {
    const { clock, flush } = this.sessionDeps;
    if (!this.sendError(clock.now(), session, failure)) return false;
    flush.schedule();
    return true;
  }
}
