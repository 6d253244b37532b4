/**
 * Ping: a guest's echo requests go out through unprivileged ping sockets (icmp(7),
 * net.ipv4.ping_group_range), so that every reply and every failure is genuine.
 *
 * One socket per (guest, identifier). The kernel replaces the identifier of what it sends by its own and
 * delivers to each socket only its own replies, so that two pingers never see each other's; the guest's
 * identifier is restored in replies. Errors (unreachable, time exceeded: traceroute) come from
 * the socket's error queue.
 *
 * Where ping sockets are not available, pings of the host's own address are answered here (it is the host, and
 * it is up); everything else stays unanswered and is counted: no reply is forged.
 */
import type { RemoteInfo } from 'node:dgram';
import { KEY_REMOTE, keyGuest, keyRemote } from '../../base/flow-key.ts';
import { type IpAddress, ipv4 } from '../../base/ip-address.ts';
import type { Log } from '../../base/log.ts';
import type { Instant } from '../../base/time.ts';
import { IPV6_UNICAST_HOPS, SOL_IPV6 } from '../../native/constants.ts';
import { errorCode } from '../../native/errors.ts';
import type { Posix } from '../../native/posix.ts';
import type { EchoId, EchoRequest, NetworkError } from '../../stack/flow.ts';
import type { Guest } from '../../stack/guest.ts';
import type { HostLoopback, Outside } from '../flows/destination.ts';
import type { Destinations } from '../flows/destinations.ts';
import { type HostErrors, lacksFamily } from '../udp/host-errors.ts';
import { HostSession, PLAIN, type Side } from '../udp/host-session.ts';
import {
  type Failure,
  HostSessions,
  type SessionCounts,
  type SessionsDeps,
  sideOf,
} from '../udp/host-sessions.ts';
import type { HostTarget } from '../udp/host-target.ts';
import { Outboxes } from '../udp/outbox.ts';
import type { SendSlot } from '../udp/send-pool.ts';

export type PingCalls = Pick<
  Posix,
  'openPingSocket' | 'enableErrorQueue' | 'readErrorQueue' | 'setSocketOption' | 'close'
>;

export interface EchoProxyOptions {
  readonly sessions: number;
  readonly freshMs: number;
  readonly settledMs: number;
  /** Requests of one session queued for the kernel. */
  readonly inFlight: number;
}

export const ECHO_DEFAULTS: EchoProxyOptions = {
  sessions: 512,
  freshMs: 30_000,
  settledMs: 60_000,
  inFlight: 64,
};

export interface EchoProxyDeps extends Omit<SessionsDeps, 'outboxes'> {
  readonly destinations: Destinations;
  /** Undefined without native calls. Asked when a socket is opened. */
  readonly native: { readonly posix: PingCalls | undefined };
  readonly log: Log;
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
/** Pings are few, and not UDP: sent by Node, one at a time. */
const BY_NODE = new Outboxes(() => undefined);

/** RFC 792, RFC 4443 §4. */
const echoRequestType = (family: 4 | 6): number => (family === 4 ? 8 : 128);
const echoReplyType = (family: 4 | 6): number => (family === 4 ? 0 : 129);

const COUNTS: SessionCounts<EchoCount> = {
  evicted: 'echo-evicted',
  expired: 'echo-expired',
  sendFailed: 'echo-send-failed',
  receiveFailed: 'echo-receive-failed',
  icmpError: 'echo-icmp-error',
  peerHidden: 'echo-peer-hidden',
};

export class EchoProxy extends HostSessions<Session, EchoCount> {
  private readonly deps: EchoProxyDeps;
  private readonly options: EchoProxyOptions;
  private readonly explained = new Set<string>();
  private readonly id = new ReusedEchoId();

  constructor(deps: EchoProxyDeps, options: EchoProxyOptions = ECHO_DEFAULTS) {
    const { sessions, freshMs, settledMs } = options;
    super(
      'pings',
      'icmp',
      { ...deps, outboxes: BY_NODE },
      { entries: sessions, freshMs, settledMs },
      COUNTS,
    );
    this.deps = deps;
    this.options = options;
  }

  /** @internal for sessions. */
  get errors(): HostErrors | undefined {
    return this.deps.native.posix;
  }

  onEcho(now: Instant, request: EchoRequest): void {
    const { key, identifier, owner } = request;
    const known = this.sessionTo(now, key, identifier, ANY_PORT);
    if (known !== undefined) {
      this.send(known, request, known.target.current);
      return;
    }
    const to = this.deps.destinations.decide(owner, 'icmp', key, KEY_REMOTE, 0);
    if (to.kind === 'gateway' || to.kind === 'dns') {
      this.answer(now, request);
      return;
    }
    if (to.kind === 'refused') {
      this.counts.add('echo-refused');
      if (to.answer !== 'none') this.refuse(now, request, 'prohibited');
      return;
    }
    const side = sideOf(keyGuest(key), to.address, to.kind === 'outside' && to.isTranslated);
    const session =
      this.sessionFor(now, key, identifier, side) ?? this.openPing(now, request, to, side);
    if (session === 'no-family' && to.kind === 'outside') {
      this.counts.add('echo-no-socket');
      this.refuse(now, request, 'net-unreachable');
    } else if (session instanceof Session) {
      session.verdict = to.verdict;
      const target = session.target.set(key, ANY_PORT, to.address);
      session.names = this.namesOf(now, session);
      this.send(session, request, target);
    } else if (to.kind === 'host-loopback') {
      this.counts.add('echo-answered-for-host');
      this.answer(now, request);
    } else {
      this.counts.add('echo-no-socket');
    }
  }

  /** @internal for sessions. */
  setHopLimit(fd: number, limit: number): void {
    this.deps.native.posix?.setSocketOption(fd, SOL_IPV6, IPV6_UNICAST_HOPS, limit);
  }

  /** @internal for sessions: one has received. */
  override deliver(session: Session, bytes: Buffer, peer: RemoteInfo): void {
    if (bytes.length < HEADER_LEN || bytes[0] !== echoReplyType(session.hostFamily)) return;
    super.deliver(session, bytes, peer);
  }

  /** @internal for sessions. A host without an address of the family is up nevertheless. */
  override sendFailed(session: Session, slot: SendSlot, code: string): void {
    const { address } = slot.target;
    if (!lacksFamily(code) || (address !== '::1' && address !== '127.0.0.1')) {
      super.sendFailed(session, slot, code);
      return;
    }
    const { bytes, len, key } = slot;
    const { clock, downstream, flush } = this.deps;
    const sequence = bytes.readUInt16BE(SEQUENCE);
    const id = this.id.set(session.guest, keyRemote(key), session.guestPort, sequence);
    this.counts.add('echo-answered-for-host');
    downstream.sendEchoReply(clock.now(), id, bytes, HEADER_LEN, len - HEADER_LEN);
    flush.schedule();
  }

  protected toGuest(
    now: Instant,
    session: Session,
    remote: IpAddress,
    _port: number,
    bytes: Buffer,
  ): void {
    const { guest, guestPort } = session;
    const id = this.id.set(guest, remote, guestPort, bytes.readUInt16BE(SEQUENCE));
    const len = bytes.length - HEADER_LEN;
    session.bytesToGuest += len;
    session.packetsToGuest++;
    this.deps.downstream.sendEchoReply(now, id, bytes, HEADER_LEN, len);
  }

  protected sendError(now: Instant, { guest, guestPort }: Session, failure: Failure): boolean {
    const { remote, error, from, bytes, len } = failure;
    if (len < HEADER_LEN) return false;
    const sequence = ((bytes[SEQUENCE] ?? 0) << 8) | (bytes[SEQUENCE + 1] ?? 0);
    const id = this.id.set(guest, remote, guestPort, sequence);
    this.deps.downstream.sendEchoError(now, id, error, from);
    return true;
  }

  private send(session: Session, request: EchoRequest, target: HostTarget): void {
    const { key, len } = request;
    const { pool } = this.deps;
    const slot =
      session.inFlight >= this.options.inFlight || len > MAX_DATA
        ? undefined
        : pool.take(HEADER_LEN + len, target, request.owner);
    if (slot === undefined) {
      this.counts.add('echo-in-flight-limit');
      return;
    }
    const { bytes } = slot;
    bytes[0] = echoRequestType(session.hostFamily);
    bytes[1] = 0;
    bytes.writeUInt16BE(0, 2); // checksum and identifier are the kernel's
    bytes.writeUInt16BE(request.identifier, IDENTIFIER);
    bytes.writeUInt16BE(request.sequence, SEQUENCE);
    slot.fill(HEADER_LEN, request.slab, request.off, len);
    slot.key.set(key);
    session.setTtl(request.ttl - 1); // RFC 1812 §5.3.1: we are a router; 1 is answered below us
    session.bytesToHost += len;
    session.packetsToHost++;
    session.transmit(slot);
  }

  private answer(now: Instant, request: EchoRequest): void {
    const { slab, off, len } = request;
    this.deps.downstream.sendEchoReply(now, this.idOfRequest(request), slab.bytes, off, len);
  }

  private refuse(now: Instant, request: EchoRequest, error: NetworkError): void {
    const id = this.idOfRequest(request);
    const gateway = this.deps.addresses.gatewayOf(id.guest.family);
    this.deps.downstream.sendEchoError(now, id, error, gateway);
  }

  private idOfRequest({ key, identifier, sequence }: EchoRequest): EchoId {
    return this.id.set(keyGuest(key), keyRemote(key), identifier, sequence);
  }

  private openPing(
    now: Instant,
    { owner, key, identifier }: EchoRequest,
    to: HostLoopback | Outside,
    side: Side,
  ): Session | 'no-family' | undefined {
    const { kind, address } = to;
    const guest = keyGuest(key);
    const { posix } = this.deps.native;
    if (posix === undefined) {
      this.explain(
        kind,
        'native calls are not available here',
        'install the optional package koffi',
      );
      return undefined;
    }
    if (!this.takePlace(owner)) return undefined;
    let fd: number;
    try {
      fd = posix.openPingSocket(side === PLAIN ? guest.family : side);
    } catch (error) {
      this.givePlace(owner);
      if (error instanceof Error && lacksFamily(errorCode(error))) return 'no-family';
      const why = error instanceof Error ? error.message : 'unknown';
      this.explain(kind, why, 'sysctl -w net.ipv4.ping_group_range="0 2147483647" as root');
      return undefined;
    }
    const session = new Session(this, this.scratchKey.slice(), owner, guest, side, identifier);
    session.verdict = to.verdict;
    session.target.set(key, ANY_PORT, address); // the book shows it at once
    const failure = this.open(now, session, { fd });
    if (failure === undefined) return session;
    this.givePlace(owner);
    posix.close(fd);
    this.explain(kind, `Node refused a ping socket: ${failure}`, 'report it');
    return undefined;
  }

  /**
   * Logged once, not for every ping. A ping of the host's own address is answered anyway, so it does not deserve a
   * warning.
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
}

/** The `id` of every reply and error: one object, since nobody keeps it. */
class ReusedEchoId implements EchoId {
  guest: IpAddress = ipv4(0);
  remote: IpAddress = ipv4(0);
  identifier = 0;
  sequence = 0;

  set(guest: IpAddress, remote: IpAddress, identifier: number, sequence: number): this {
    this.guest = guest;
    this.remote = remote;
    this.identifier = identifier;
    this.sequence = sequence;
    return this;
  }
}

class Session extends HostSession<Session> {
  readonly guestPort: number;
  private readonly echo: EchoProxy;

  constructor(
    proxy: EchoProxy,
    key: Int32Array,
    owner: Guest,
    guest: IpAddress,
    side: Side,
    identifier: number,
  ) {
    super(proxy, key, owner, guest, side);
    this.guestPort = identifier;
    this.echo = proxy;
  }

  /** Of a socket that Node has only adopted, it knows no family. */
  protected override applyTtl(ttl: number): void {
    if (this.hostFamily === 4) super.applyTtl(ttl);
    else this.echo.setHopLimit(this.fd, ttl);
  }

  protected get self(): Session {
    return this;
  }
}
