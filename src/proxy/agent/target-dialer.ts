/**
 * The dialling end of a multiplexer: each channel that the peer opens is connected to a TCP or Unix socket, or
 * to a UDP port, and answered by the outcome. The agent uses it to reach the guest's
 * servers; the host, to let a guest reach what it was explicitly allowed to.
 */
import { Counters } from '../../base/counters.ts';
import { type IpAddress, ipv4 } from '../../base/ip-address.ts';
import type { Log } from '../../base/log.ts';
import type { Budget } from '../../base/shares/budget.ts';
import type { Clock, Instant } from '../../base/time.ts';
import { type Destination, formatDestination, type IpDestination } from '../../mux/destination.ts';
import type { RefusalReason } from '../../mux/reason.ts';
import type { ChannelRequest } from '../../mux/request.ts';
import { errorCode } from '../../native/errors.ts';
import { connectStream, failedConnect } from '../../native/stream/connect-stream.ts';
import type { Connecting, ConnectOwner, HostStream } from '../../native/stream/host-stream.ts';
import type { Guest } from '../../stack/guest.ts';
import type { Flow, FlowFacts, FlowSource } from '../flows/flow.ts';
import type { FlowBook } from '../flows/flow-book.ts';
import { NO_FLUSH } from '../flush-scheduler.ts';
import type { Turns } from '../turns.ts';
import { type ChannelOrigin, channelFacts, endOf, UNKNOWN_END } from './channel-facts.ts';
import { DialedSplice } from './dialed-splice.ts';
import { DialerSockets, type SocketHolder } from './dialer-sockets.ts';
import { UdpTarget, type UdpTargetCount } from './udp-target.ts';

export interface TargetDialerDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly book: FlowBook;
  /** @param owner whose peer asks; undefined where it is not known */
  isAllowed(target: Destination, owner: Guest | undefined, link: string): boolean;
  /** Descriptors, where they are shared with others. */
  readonly sockets?: Budget;
  /** Of the event loop, where it is shared with others. */
  readonly turns?: Turns;
  readonly connectTimeoutMs?: number;
  /** Where a server is reached by several addresses: they are dialled one after the other. Undefined: by one alone. */
  waysTo?(target: Destination): Ways | undefined;
  /** Idle time before a target is probed, in s. */
  readonly keepaliveS?: number | undefined;
}

export interface Ways {
  readonly targets: readonly Destination[];
  /** For each. */
  readonly timeoutMs: number;
  /** Run what opens a connection, which belongs to where it was opened. */
  within?<T>(open: () => T): T;
}

export type DialerCount =
  | 'connected'
  | 'refused'
  | 'failed'
  | 'prohibited'
  | 'cancelled'
  | UdpTargetCount;

const LOOPBACK = ipv4(0x7f00_0001);
const CONNECT_TIMEOUT_MS = 20_000;

export class TargetDialer {
  readonly counts: Counters<DialerCount> = new Counters();
  private readonly deps: TargetDialerDeps;
  /** Connections joined now. */
  active = 0;
  /** By the name of the link. */
  private readonly byLink = new Map<string, DialerSockets>();

  constructor(deps: TargetDialerDeps) {
    this.deps = deps;
  }

  /**
   * @param link that the peer is behind: its name
   * @param owner of the peer; undefined where it is not known
   */
  onRequest(now: Instant, request: ChannelRequest, link: string, owner?: Guest): void {
    const target = resolved(request.destination);
    if (!this.deps.isAllowed(target, owner, link)) {
      this.counts.add('prohibited');
      const text = formatDestination(target);
      this.deps.log.warn({ target: text }, 'the peer requested a target that is not allowed');
      request.refuse(now, 'prohibited', `${text} is not allowed`);
    } else if (target.proto === 'udp' && target.port === 0) {
      this.counts.add('failed');
      request.refuse(now, 'unreachable', 'there is no UDP port 0');
    } else if (target.proto === 'udp') {
      this.dialUdp(now, request, target, this.socketsOf(link), owner);
    } else {
      this.dial(now, request, this.waysTo(target, owner, link), this.socketsOf(link), owner);
    }
  }

  private dialUdp(
    now: Instant,
    request: ChannelRequest,
    target: IpDestination,
    sockets: DialerSockets,
    owner: Guest | undefined,
  ): void {
    const udp = new UdpTarget(
      { ...this.deps, counts: this.counts },
      target,
      sockets,
      originOf(request, target, sockets.link),
      owner,
    );
    const channel = request.accept(now, udp);
    if (channel === undefined) return;
    this.counts.add('connected');
    udp.join(now, channel);
  }

  private dial(
    now: Instant,
    request: ChannelRequest,
    ways: Ways,
    sockets: DialerSockets,
    owner: Guest | undefined,
  ): void {
    if (!sockets.take()) {
      this.counts.add('failed');
      request.refuse(now, 'limit', 'no descriptor is left for it');
      return;
    }
    sockets.add(new TargetDial(this, this.deps, sockets, request, ways, owner));
  }

  private waysTo(target: Destination, owner: Guest | undefined, link: string): Ways {
    const { connectTimeoutMs: timeoutMs = CONNECT_TIMEOUT_MS, isAllowed } = this.deps;
    const ways = this.deps.waysTo?.(target);
    const targets = ways?.targets.filter((one) => isAllowed(one, owner, link)) ?? [];
    return ways === undefined || targets.length === 0
      ? { targets: [target], timeoutMs }
      : { ...ways, targets };
  }

  close(): void {
    for (const sockets of this.byLink.values()) sockets.close();
  }

  private socketsOf(link: string): DialerSockets {
    const known = this.byLink.get(link);
    if (known !== undefined) return known;
    const sockets = new DialerSockets(link, this.deps.sockets, this.deps.turns);
    this.byLink.set(link, sockets);
    return sockets;
  }
}

/** One connect for a channel. */
class TargetDial implements ConnectOwner, SocketHolder, FlowSource {
  chainNext: SocketHolder | undefined = undefined;
  chainPrev: SocketHolder | undefined = undefined;
  activitySeen = 0;
  readonly activity = 0;
  private readonly dialer: TargetDialer;
  private readonly deps: TargetDialerDeps;
  private readonly sockets: DialerSockets;
  private readonly request: ChannelRequest;
  private readonly ways: Ways;
  /** The way that is tried. */
  private way = 0;
  private target: Destination;
  private origin: ChannelOrigin;
  private readonly startedAt: Instant;
  private readonly entry: Flow;
  private connecting: Connecting;
  private timer: NodeJS.Timeout;
  /** Of the ways before. */
  private problems = '';

  constructor(
    dialer: TargetDialer,
    deps: TargetDialerDeps,
    sockets: DialerSockets,
    request: ChannelRequest,
    ways: Ways,
    owner: Guest | undefined,
  ) {
    const [target = request.destination] = ways.targets;
    this.ways = ways;
    this.dialer = dialer;
    this.deps = deps;
    this.sockets = sockets;
    this.request = request;
    this.target = target;
    this.origin = originOf(request, target, sockets.link);
    this.startedAt = deps.clock.now();
    const remote = target.proto === 'unix' ? undefined : target.address;
    this.entry = deps.book.add(target.proto, owner, remote, this);
    [this.connecting, this.timer] = this.connect();
    request.onCancelled = (): void => this.cancel();
  }

  private connect(): [Connecting, NodeJS.Timeout] {
    const { target } = this;
    const { keepaliveS } = this.deps;
    const at =
      target.proto === 'unix'
        ? { path: target.path }
        : { host: target.address.toString(), port: target.port };
    const { timeoutMs } = this.ways;
    const timer = setTimeout(() => {
      this.connecting.cancel();
      this.failWay('timed-out', `no answer in ${timeoutMs} ms`);
    }, timeoutMs);
    const options = keepaliveS === undefined ? {} : { keepaliveS };
    const open = (): Connecting => connectStream(at, this, options);
    return [this.ways.within === undefined ? open() : this.openWithin(open), timer];
  }

  private openWithin(open: () => Connecting): Connecting {
    try {
      return this.ways.within?.(open) ?? open();
    } catch (error) {
      return failedConnect(this, error instanceof Error ? errorCode(error) : 'EUNKNOWN');
    }
  }

  onConnected(stream: HostStream): void {
    clearTimeout(this.timer);
    const { clock, book } = this.deps;
    const { entry } = this;
    this.request.onCancelled = undefined;
    const { dialer, sockets } = this;
    const splice = new DialedSplice({ clock, flusher: NO_FLUSH }, this.origin, (reason) => {
      dialer.active--;
      sockets.delete(splice);
      book.end(entry, reason ?? 'finished');
    });
    const channel = this.request.accept(clock.now(), splice);
    if (channel === undefined) {
      sockets.delete(this);
      stream.reset();
      book.end(entry, 'cancelled');
      return;
    }
    dialer.counts.add('connected');
    dialer.active++;
    sockets.replace(this, splice);
    entry.source = splice;
    splice.join(stream, channel, sockets.intake);
  }

  onConnectFailed(code: string): void {
    this.failWay(refusalOf(code), code);
  }

  private failWay(reason: RefusalReason, why: string): void {
    const next = this.ways.targets[this.way + 1];
    if (next === undefined) {
      this.fail(reason, why);
      return;
    }
    clearTimeout(this.timer);
    this.problems += `${formatDestination(this.target)}: ${why}; `;
    this.way++;
    this.target = next;
    this.origin = originOf(this.request, next, this.sockets.link);
    [this.connecting, this.timer] = this.connect();
  }

  /** The peer has given up. */
  private cancel(): void {
    clearTimeout(this.timer);
    this.dialer.counts.add('cancelled');
    this.deps.book.end(this.entry, 'cancelled');
    this.connecting.cancel();
    this.sockets.delete(this);
  }

  evict(): void {
    this.connecting.cancel();
    this.fail('limit', 'others need its descriptor');
  }

  describeFlow(): FlowFacts {
    return channelFacts(this.origin, undefined, this.startedAt);
  }

  endFlow(): void {
    this.connecting.cancel();
    this.fail('refused', 'ended by request');
  }

  private fail(reason: RefusalReason, why: string): void {
    clearTimeout(this.timer);
    this.sockets.delete(this);
    this.dialer.counts.add(reason === 'refused' ? 'refused' : 'failed');
    this.request.onCancelled = undefined;
    this.deps.book.end(this.entry, reason);
    const text = formatDestination(this.target);
    this.deps.log.debug({ target: text, reason, why }, 'target not reached');
    const all = `cannot connect to ${this.problems}${text}: ${why}`;
    this.request.refuse(this.deps.clock.now(), reason, all);
  }
}

const originOf = (
  { client }: ChannelRequest,
  target: Destination,
  link: string,
): ChannelOrigin => ({
  openedBy: 'guest',
  link,
  guest: client ?? UNKNOWN_END,
  remote: endOf(target),
});

/** The unspecified address is the dialer's own loopback. */
function resolved(target: Destination): Destination {
  if (target.proto === 'unix' || !isUnspecified(target.address)) return target;
  return { ...target, address: LOOPBACK };
}

const isUnspecified = ({ a, b, c, d, family }: IpAddress): boolean =>
  d === 0 && (family === 4 || (a === 0 && b === 0 && c === 0));

/** The refusal for a connect that failed with `code`. */
export function refusalOf(code: string): RefusalReason {
  switch (code) {
    case 'ENETUNREACH':
    case 'ENETDOWN':
    case 'EHOSTUNREACH':
    case 'EHOSTDOWN':
    case 'EADDRNOTAVAIL':
    case 'EAFNOSUPPORT':
      return 'unreachable';
    case 'EACCES':
    case 'EPERM':
      return 'prohibited';
    case 'EMFILE':
    case 'ENFILE':
      return 'limit';
    case 'ETIMEDOUT':
      return 'timed-out';
    default:
      return 'refused';
  }
}
