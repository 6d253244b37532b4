/**
 * The dialling end of a multiplexer: each channel that the peer opens is connected to a TCP or Unix socket, or
 * to a UDP port, and answered by the outcome. The agent uses it to reach the guest's
 * servers; the host, to let a guest reach what it was explicitly allowed to.
 */
import { Chain } from '../../base/chain.ts';
import { Counters } from '../../base/counters.ts';
import { type IpAddress, ipv4 } from '../../base/ip-address.ts';
import type { Log } from '../../base/log.ts';
import type { Clock, Instant } from '../../base/time.ts';
import { type Destination, formatDestination, type IpDestination } from '../../mux/destination.ts';
import type { RefusalReason } from '../../mux/reason.ts';
import type { ChannelRequest } from '../../mux/request.ts';
import { connectStream } from '../../native/stream/connect-stream.ts';
import type { Connecting, ConnectOwner, HostStream } from '../../native/stream/host-stream.ts';
import { NO_FLUSH } from '../flush-scheduler.ts';
import { ChannelSplice } from './channel-splice.ts';
import { UdpTarget } from './udp-target.ts';

export interface TargetDialerDeps {
  readonly clock: Clock;
  readonly log: Log;
  isAllowed(target: Destination): boolean;
  readonly connectTimeoutMs?: number;
  /** Idle time before a target is probed, in s. */
  readonly keepaliveS?: number | undefined;
}

export type DialerCount = 'connected' | 'refused' | 'failed' | 'prohibited' | 'cancelled';

const LOOPBACK = ipv4(0x7f00_0001);
const CONNECT_TIMEOUT_MS = 20_000;

export class TargetDialer {
  readonly counts: Counters<DialerCount> = new Counters();
  private readonly deps: TargetDialerDeps;
  private readonly splices = new Chain<ChannelSplice>();

  constructor(deps: TargetDialerDeps) {
    this.deps = deps;
  }

  /** Connections joined now. */
  get active(): number {
    return this.splices.size;
  }

  onRequest(now: Instant, request: ChannelRequest): void {
    const target = resolved(request.destination);
    if (!this.deps.isAllowed(target)) {
      this.counts.add('prohibited');
      const text = formatDestination(target);
      this.deps.log.warn({ target: text }, 'the peer requested a target that is not allowed');
      request.refuse(now, 'prohibited', `${text} is not allowed`);
    } else if (target.proto === 'udp' && target.port === 0) {
      this.counts.add('failed');
      request.refuse(now, 'unreachable', 'there is no UDP port 0');
    } else if (target.proto === 'udp') this.dialUdp(now, request, target);
    else this.dial(request, target);
  }

  private dialUdp(now: Instant, request: ChannelRequest, target: IpDestination): void {
    const udp = new UdpTarget(this.deps.clock, target);
    const channel = request.accept(now, udp);
    if (channel === undefined) return;
    this.counts.add('connected');
    udp.join(now, channel);
  }

  private dial(request: ChannelRequest, target: Destination): void {
    const dial = new TargetDial(this.deps, this.counts, this.splices, request, target);
    request.onCancelled = (): void => dial.cancel();
  }

  close(): void {
    for (const splice of [...this.splices]) splice.abort();
  }
}

/** One connect for a channel. */
class TargetDial implements ConnectOwner {
  private readonly deps: TargetDialerDeps;
  private readonly counts: Counters<DialerCount>;
  private readonly splices: Chain<ChannelSplice>;
  private readonly request: ChannelRequest;
  private readonly target: Destination;
  private readonly connecting: Connecting;
  private readonly timer: NodeJS.Timeout;

  constructor(
    deps: TargetDialerDeps,
    counts: Counters<DialerCount>,
    splices: Chain<ChannelSplice>,
    request: ChannelRequest,
    target: Destination,
  ) {
    const { connectTimeoutMs = CONNECT_TIMEOUT_MS, keepaliveS } = deps;
    this.deps = deps;
    this.counts = counts;
    this.splices = splices;
    this.request = request;
    this.target = target;
    const at =
      target.proto === 'unix'
        ? { path: target.path }
        : { host: target.address.toString(), port: target.port };
    this.connecting = connectStream(at, this, keepaliveS === undefined ? {} : { keepaliveS });
    this.timer = setTimeout(() => {
      this.connecting.cancel();
      this.fail('timed-out', `no answer in ${connectTimeoutMs} ms`);
    }, connectTimeoutMs);
  }

  onConnected(stream: HostStream): void {
    clearTimeout(this.timer);
    const { clock } = this.deps;
    this.request.onCancelled = undefined;
    const splice = new ChannelSplice({ clock, flusher: NO_FLUSH }, () => {
      this.splices.delete(splice);
    });
    const channel = this.request.accept(clock.now(), splice);
    if (channel === undefined) {
      stream.reset();
      return;
    }
    this.counts.add('connected');
    this.splices.add(splice);
    splice.join(stream, channel);
  }

  onConnectFailed(code: string): void {
    this.fail(refusalOf(code), code);
  }

  /** The peer has given up. */
  cancel(): void {
    clearTimeout(this.timer);
    this.counts.add('cancelled');
    this.connecting.cancel();
  }

  private fail(reason: RefusalReason, why: string): void {
    clearTimeout(this.timer);
    this.counts.add(reason === 'refused' ? 'refused' : 'failed');
    this.request.onCancelled = undefined;
    const text = formatDestination(this.target);
    this.deps.log.debug({ target: text, reason, why }, 'target not reached');
    this.request.refuse(this.deps.clock.now(), reason, `cannot connect to ${text}: ${why}`);
  }
}

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
