/**
 * Ping: a guest's echo requests go out through unprivileged ping sockets (icmp(7),
 * net.ipv4.ping_group_range), so that every reply is a real one and every failure an honest one.
 *
 * One socket per (guest, identifier). The kernel puts an identifier of its own in what it sends and
 * hands each socket only its own replies, so that two pingers never see each other's; the guest's
 * identifier is put back on the way in. Errors (unreachable, time exceeded: traceroute) come from
 * the socket's error queue.
 *
 * Where ping sockets are not to be had, the host's own address is answered here (it is the host, and
 * it is up); everything else stays without an answer and is counted: nothing is forged.
 */
import type { RemoteInfo } from 'node:dgram';
import { Counters } from '../../base/counters.ts';
import { KEY_REMOTE, keyGuest, keyRemote } from '../../base/flow-key.ts';
import type { IpAddress } from '../../base/ip-address.ts';
import type { Log } from '../../base/log.ts';
import type { Clock, Instant } from '../../base/time.ts';
import type { Posix, QueuedError } from '../../native/posix.ts';
import type { Downstream, EchoRequest } from '../../stack/flow.ts';
import type { AddressMap } from '../address-map.ts';
import type { FlushScheduler } from '../flush-scheduler.ts';
import { type HostErrors, networkErrorOf, sendError } from '../udp/host-errors.ts';
import { HostSession, type SessionOwner } from '../udp/host-session.ts';
import { openHostSocket } from '../udp/host-socket.ts';
import { IdleTable } from '../udp/idle-table.ts';
import { Outbox, Outboxes } from '../udp/outbox.ts';
import type { SendPool, SendSlot } from '../udp/send-pool.ts';

export type PingCalls = Pick<
  Posix,
  'openPingSocket' | 'enableErrorQueue' | 'readErrorQueue' | 'close'
>;

export interface EchoProxyOptions {
  readonly sessions: number;
  readonly freshMs: number;
  readonly settledMs: number;
  /** Requests of one session on their way to the kernel. */
  readonly inFlight: number;
}

export const ECHO_DEFAULTS: EchoProxyOptions = {
  sessions: 512,
  freshMs: 30_000,
  settledMs: 60_000,
  inFlight: 64,
};

export interface EchoProxyDeps {
  readonly downstream: Downstream;
  readonly clock: Clock;
  readonly flush: FlushScheduler;
  readonly addresses: AddressMap;
  readonly pool: SendPool;
  /** Undefined without native calls. Asked when a socket is opened. */
  readonly native: { readonly posix: PingCalls | undefined };
  readonly log: Log;
  readonly seed: number;
}

export type EchoCount =
  | 'echo-refused'
  | 'echo-no-socket'
  | 'echo-answered-for-host'
  | 'echo-evicted'
  | 'echo-expired'
  | 'echo-in-flight-limit'
  | 'echo-send-failed'
  | 'echo-receive-failed'
  | 'echo-icmp-error'
  | 'echo-peer-hidden';

const HEADER_LEN = 8;
const IDENTIFIER = 4;
const SEQUENCE = 6;
const MAX_DATA = 65_507;
/** Any but zero: a ping socket ignores it, and Node refuses zero. */
const ANY_PORT = 1;
const SESSION_KEY_WORDS = 5;
/** Pings are few, and no datagrams of UDP: by Node, one at a time. */
const BY_NODE = new Outboxes(() => undefined);

/** RFC 792, RFC 4443 §4. */
const echoRequestType = (family: 4 | 6): number => (family === 4 ? 8 : 128);
const echoReplyType = (family: 4 | 6): number => (family === 4 ? 0 : 129);

export class EchoProxy implements SessionOwner<Session> {
  readonly counts: Counters<EchoCount> = new Counters();
  private readonly deps: EchoProxyDeps;
  private readonly options: EchoProxyOptions;
  private readonly table: IdleTable<Session>;
  private readonly scratchKey = new Int32Array(SESSION_KEY_WORDS);
  private readonly explained = new Set<string>();

  constructor(deps: EchoProxyDeps, options: EchoProxyOptions = ECHO_DEFAULTS) {
    this.deps = deps;
    this.options = options;
    this.table = new IdleTable(
      SESSION_KEY_WORDS,
      { entries: options.sessions, freshMs: options.freshMs, settledMs: options.settledMs },
      deps.seed,
    );
  }

  get size(): number {
    return this.table.size;
  }

  /** @internal for sessions. */
  get errors(): HostErrors | undefined {
    return this.deps.native.posix;
  }

  onEcho(now: Instant, request: EchoRequest): void {
    const { key } = request;
    const kind = this.deps.addresses.kindOf(key, KEY_REMOTE);
    if (kind === 'gateway') {
      this.answer(now, request);
      return;
    }
    if (kind !== 'outside' && kind !== 'host-loopback') {
      this.counts.add('echo-refused');
      if (kind === 'link-local' || kind === 'metadata') this.prohibit(now, request);
      return;
    }
    const scratch = this.scratchKey;
    for (let i = 0; i < 4; i++) scratch[i] = key[i] ?? 0;
    scratch[4] = request.identifier;
    let session = this.table.find(scratch);
    if (session === undefined) session = this.open(now, kind, keyGuest(key), request.identifier);
    else this.table.touch(now, session, false);
    if (session !== undefined) {
      this.send(session, request);
    } else if (kind === 'host-loopback') {
      this.counts.add('echo-answered-for-host');
      this.answer(now, request);
    } else {
      this.counts.add('echo-no-socket');
    }
  }

  nextTimeout(): Instant {
    return this.table.nextExpiry();
  }

  onTimeout(now: Instant): void {
    let session = this.table.expired(now);
    while (session !== undefined) {
      this.counts.add('echo-expired');
      this.drop(session);
      session = this.table.expired(now);
    }
  }

  /** The guest is gone for good. */
  endGuest(guest: IpAddress): void {
    for (const session of this.table.entries()) {
      if (session.guest.equals(guest)) this.drop(session);
    }
  }

  close(): void {
    for (const session of this.table.entries()) this.drop(session);
  }

  /** @internal for sessions: one has received. */
  deliver(session: Session, bytes: Buffer, peer: RemoteInfo): void {
    const { guest, identifier } = session;
    if (bytes.length < HEADER_LEN || bytes[0] !== echoReplyType(guest.family)) return;
    const { addresses, clock, downstream, flush } = this.deps;
    const remote = addresses.guestView(peer.address);
    if (remote === undefined) {
      this.counts.add('echo-peer-hidden');
      return;
    }
    const now = clock.now();
    this.table.touch(now, session, true);
    const sequence = bytes.readUInt16BE(SEQUENCE);
    const len = bytes.length - HEADER_LEN;
    downstream.sendEchoReply(now, guest, remote, identifier, sequence, bytes, HEADER_LEN, len);
    flush.schedule();
  }

  /** @internal for sessions. */
  receiveFailed(): void {
    this.counts.add('echo-receive-failed');
  }

  /** @internal for sessions. */
  faulted(session: Session): void {
    this.drop(session);
  }

  /** @internal for sessions. */
  sendFailed(session: Session, slot: SendSlot, code: string): void {
    this.counts.add('echo-send-failed');
    const told = sendError(code);
    if (told === undefined) return;
    const { downstream, clock, addresses, flush } = this.deps;
    const { guest, identifier } = session;
    const remote = keyRemote(slot.key);
    const sequence = slot.bytes.readUInt16BE(SEQUENCE);
    const gateway = addresses.gatewayOf(guest.family);
    downstream.sendEchoError(clock.now(), guest, remote, identifier, sequence, told, gateway);
    flush.schedule();
  }

  /** @internal for sessions. */
  reportError(session: Session, entry: QueuedError): void {
    const { addresses, clock, downstream, flush } = this.deps;
    const { guest, identifier } = session;
    const error = networkErrorOf(entry);
    const remote = entry.destination && addresses.guestViewOf(entry.destination);
    const { payload } = entry;
    if (error === undefined || remote === undefined || payload.length < HEADER_LEN) return;
    this.counts.add('echo-icmp-error');
    const sequence = ((payload[SEQUENCE] ?? 0) << 8) | (payload[SEQUENCE + 1] ?? 0);
    const reporter = entry.offender && addresses.guestViewOf(entry.offender);
    const from = reporter ?? addresses.gatewayOf(guest.family);
    downstream.sendEchoError(clock.now(), guest, remote, identifier, sequence, error, from);
    flush.schedule();
  }

  /** @internal for sessions: the kernel is done with a request. */
  release(slot: SendSlot): void {
    this.deps.pool.give(slot);
  }

  private send(session: Session, request: EchoRequest): void {
    const { key, len } = request;
    const { addresses, pool } = this.deps;
    const target = session.target.lookup(addresses, key, ANY_PORT);
    if (target === undefined) {
      this.counts.add('echo-refused');
      return;
    }
    const slot =
      session.inFlight >= this.options.inFlight || len > MAX_DATA
        ? undefined
        : pool.take(HEADER_LEN + len, target);
    if (slot === undefined) {
      this.counts.add('echo-in-flight-limit');
      return;
    }
    const { bytes } = slot;
    bytes[0] = echoRequestType(session.guest.family);
    bytes[1] = 0;
    bytes.writeUInt16BE(0, 2); // checksum and identifier are the kernel's
    bytes.writeUInt16BE(request.identifier, IDENTIFIER);
    bytes.writeUInt16BE(request.sequence, SEQUENCE);
    slot.fill(HEADER_LEN, request.slab, request.off, len);
    slot.key.set(key);
    session.setTtl(request.ttl - 1); // RFC 1812 §5.3.1: we are a router; 1 is answered below us
    session.transmit(slot);
  }

  private answer(now: Instant, request: EchoRequest): void {
    const { key, identifier, sequence, slab, off, len } = request;
    const guest = keyGuest(key);
    const remote = keyRemote(key);
    const { downstream } = this.deps;
    downstream.sendEchoReply(now, guest, remote, identifier, sequence, slab.bytes, off, len);
  }

  private prohibit(now: Instant, request: EchoRequest): void {
    const { key, identifier, sequence } = request;
    const guest = keyGuest(key);
    const gateway = this.deps.addresses.gatewayOf(guest.family);
    this.deps.downstream.sendEchoError(
      now,
      guest,
      keyRemote(key),
      identifier,
      sequence,
      'prohibited',
      gateway,
    );
  }

  private open(
    now: Instant,
    kind: 'outside' | 'host-loopback',
    guest: IpAddress,
    identifier: number,
  ): Session | undefined {
    const { posix } = this.deps.native;
    if (posix === undefined) {
      this.explain(
        kind,
        'native calls are not available here',
        'install the optional package koffi',
      );
      return undefined;
    }
    while (this.table.size >= this.options.sessions) this.evictOldest();
    let fd: number;
    try {
      fd = posix.openPingSocket(guest.family);
    } catch (error) {
      const why = error instanceof Error ? error.message : 'unknown';
      this.explain(kind, why, 'sysctl -w net.ipv4.ping_group_range="0 2147483647" as root');
      return undefined;
    }
    const session = new Session(this, this.scratchKey.slice(), guest, identifier);
    const host = openHostSocket({ family: guest.family, fd }, session);
    if (typeof host === 'string') {
      posix.close(fd);
      this.explain(kind, `Node refused a ping socket: ${host}`, 'report it');
      return undefined;
    }
    session.attach(host, new Outbox(BY_NODE, host, session), fd);
    this.table.add(now, session);
    return session;
  }

  /**
   * Once: the next thousand pings would say the same. A ping of the host's own address is answered all the
   * same, so that it is no matter for a warning.
   */
  private explain(kind: 'outside' | 'host-loopback', why: string, advice: string): void {
    if (this.explained.has(kind)) return;
    this.explained.add(kind);
    const { log } = this.deps;
    if (kind === 'host-loopback') {
      log.debug({ why, advice }, 'no ping sockets: pings of the host are answered without one');
      return;
    }
    log.warn(
      { why, advice },
      `guests cannot ping beyond the host: ${why}; to permit it: ${advice}`,
    );
  }

  private evictOldest(): void {
    const oldest = this.table.oldest();
    if (oldest === undefined) return;
    this.counts.add('echo-evicted');
    this.drop(oldest);
  }

  private drop(session: Session): void {
    this.table.remove(session);
    session.close();
  }
}

class Session extends HostSession<Session> {
  readonly identifier: number;

  constructor(proxy: EchoProxy, key: Int32Array, guest: IpAddress, identifier: number) {
    super(proxy, key, guest);
    this.identifier = identifier;
  }

  protected get self(): Session {
    return this;
  }
}
