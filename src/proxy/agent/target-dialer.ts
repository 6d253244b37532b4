/**
 * The end of a multiplexer that dials: what the peer opens is connected to a TCP or Unix socket, or
 * to a UDP port, and answered by what becomes of that. The agent's use of it is to reach the guest's
 * servers; the host's, to let a guest reach what it was explicitly allowed to.
 */
import { connect } from 'node:net';
import { Counters } from '../../base/counters.ts';
import { type IpAddress, ipv4 } from '../../base/ip-address.ts';
import type { Log } from '../../base/log.ts';
import type { Clock, Instant } from '../../base/time.ts';
import { type Destination, formatDestination, type IpDestination } from '../../mux/destination.ts';
import type { RefusalReason } from '../../mux/reason.ts';
import type { ChannelRequest } from '../../mux/request.ts';
import { resetSocket } from '../tcp/reset-socket.ts';
import { errorCode } from '../udp/host-socket.ts';
import { ChannelSplice, NO_FLUSH } from './channel-splice.ts';
import { UdpTarget } from './udp-target.ts';

export interface TargetDialerDeps {
  readonly clock: Clock;
  readonly log: Log;
  isAllowed(target: Destination): boolean;
  readonly connectTimeoutMs?: number;
}

export type DialerCount = 'connected' | 'refused' | 'failed' | 'prohibited' | 'cancelled';

const LOOPBACK = ipv4(0x7f00_0001);
const CONNECT_TIMEOUT_MS = 20_000;

export class TargetDialer {
  readonly counts: Counters<DialerCount> = new Counters();
  private readonly deps: TargetDialerDeps;
  private readonly splices = new Set<ChannelSplice>();

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
      this.deps.log.warn({ target: text }, 'the peer asked for a target that is not allowed');
      request.refuse(now, 'prohibited', `${text} is not allowed`);
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
    const { clock, log, connectTimeoutMs = CONNECT_TIMEOUT_MS } = this.deps;
    const splice = new ChannelSplice({ clock, flusher: NO_FLUSH }, () => {
      this.splices.delete(splice);
    });
    let joined = false;
    const socket = connect({
      ...(target.proto === 'unix'
        ? { path: target.path }
        : { host: target.address.toString(), port: target.port }),
      allowHalfOpen: true,
      noDelay: true, // the peer has decided what goes together
      keepAlive: true,
      onread: splice.reader,
    });
    const timer = setTimeout(() => {
      fail('timed-out', `no answer in ${connectTimeoutMs} ms`);
      socket.destroy();
    }, connectTimeoutMs);
    const fail = (reason: RefusalReason, why: string): void => {
      clearTimeout(timer);
      this.counts.add(reason === 'refused' ? 'refused' : 'failed');
      request.onCancelled = undefined;
      const text = formatDestination(target);
      log.debug({ target: text, reason, why }, 'target not reached');
      request.refuse(clock.now(), reason, `cannot connect to ${text}: ${why}`);
    };
    socket.on('connect', () => {
      clearTimeout(timer);
      request.onCancelled = undefined;
      const channel = request.accept(clock.now(), splice);
      if (channel === undefined) {
        resetSocket(socket);
        return;
      }
      joined = true;
      this.counts.add('connected');
      this.splices.add(splice);
      if (!ChannelSplice.mayRead(channel)) socket.pause();
      splice.join(socket, channel);
    });
    socket.on('error', (error) => {
      if (joined) splice.onHostError();
      else fail(refusalOf(errorCode(error)), errorCode(error));
    });
    request.onCancelled = (): void => {
      clearTimeout(timer);
      this.counts.add('cancelled');
      socket.destroy();
    };
  }

  close(): void {
    for (const splice of [...this.splices]) splice.abort();
  }
}

/** The unspecified address is the dialer's own loopback. */
function resolved(target: Destination): Destination {
  if (target.proto === 'unix' || !isUnspecified(target.address)) return target;
  return { ...target, address: LOOPBACK };
}

const isUnspecified = ({ a, b, c, d, family }: IpAddress): boolean =>
  d === 0 && (family === 4 || (a === 0 && b === 0 && c === 0));

/** What the peer is told of a connect that failed with `code`. */
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
