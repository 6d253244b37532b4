/**
 * One guest's host socket for datagrams or pings, as an entry of an {@link IdleTable}: the common part of a binding of
 * the NAT and a session of the echo proxy.
 */
import type { RemoteInfo } from 'node:dgram';
import { reportFault } from '../../base/faults.ts';
import type { IpAddress } from '../../base/ip-address.ts';
import type { QueuedError } from '../../native/posix.ts';
import type { Guest } from '../../stack/guest.ts';
import type { FlowFacts, FlowVerdict } from '../flows/flow.ts';
import type { Intake, IntakeList, IntakeSource } from '../intake.ts';
import { enableErrors, type HostErrors, isPendingError } from './host-errors.ts';
import { closeQuietly, type HostSocket } from './host-socket.ts';
import { IdleFlow } from './idle-flow.ts';
import type { Outbox, Sender } from './outbox.ts';
import type { Redirects } from './redirects.ts';
import type { SendSlot } from './send-pool.ts';
import { TargetCache } from './target-cache.ts';

/** The host's socket is of the guest's family, and for addresses as the guest knows them. */
export const PLAIN = 0;
/** Or it is translated: of IPv4, or of IPv6. */
export type Side = typeof PLAIN | 4 | 6;

/** What a session needs of its proxy. */
export interface SessionOwner<S> {
  /** Undefined without native calls. */
  readonly errors: HostErrors | undefined;
  deliver(session: S, bytes: Buffer, peer: RemoteInfo): void;
  /** The kernel reported an ICMP error about something that the session sent. */
  reportError(session: S, entry: QueuedError): void;
  /** A receive failed for another reason than an ICMP error. */
  receiveFailed(): void;
  /** A callback of the session has thrown: it must end. */
  faulted(session: S): void;
  /** It is asked to end. */
  ended(session: S): void;
  /** `slot` could not be sent, and is not tried again. It still belongs to the session. */
  sendFailed(session: S, slot: SendSlot, code: string): void;
  /** The kernel is done with `slot`. */
  release(slot: SendSlot): void;
}

const NO_NAMES: readonly string[] = [];

export abstract class HostSession<S> extends IdleFlow<S> implements Sender, IntakeSource {
  readonly guest: IpAddress;
  readonly side: Side;
  readonly target: TargetCache = new TargetCache();
  /** Of the destination of its last datagram. */
  verdict: FlowVerdict | undefined = undefined;
  /** By which its guest had found it. */
  names: readonly string[] = NO_NAMES;
  /** Where others stand for what the guest has asked for. */
  redirects: Redirects | undefined = undefined;
  inFlight = 0;
  inFlightBytes = 0;
  private closed = false;
  private reportsErrors = false;
  protected fd = -1;
  private ttl = -1;
  intakeList: IntakeList | undefined = undefined;
  intakeNext: IntakeSource | undefined = undefined;
  intakePrev: IntakeSource | undefined = undefined;
  private intake: Intake | undefined = undefined;
  private host: HostSocket | undefined = undefined;
  private outbox: Outbox | undefined = undefined;
  private readonly proxy: SessionOwner<S>;

  constructor(proxy: SessionOwner<S>, key: Int32Array, owner: Guest, guest: IpAddress, side: Side) {
    super(key, owner);
    this.proxy = proxy;
    this.guest = guest;
    this.side = side;
  }

  get hostFamily(): 4 | 6 {
    return this.side === PLAIN ? this.guest.family : this.side;
  }

  /** `this`, with its own type. */
  protected abstract readonly self: S;
  /** Of the guest: a port, or the identifier of pings. */
  protected abstract readonly guestPort: number;

  describeFlow(): FlowFacts {
    const { target } = this;
    const { bytesToHost, bytesToGuest, packetsToHost, packetsToGuest, lastAt } = this.traffic;
    return {
      guest: { address: this.guest, port: this.guestPort },
      remote: { address: target.remote, port: target.port },
      dialled: this.dialled,
      insteadOf: this.redirects?.insteadOf,
      verdict: this.verdict,
      names: this.names,
      openedBy: 'guest',
      via: 'net',
      state: 'active',
      bytesToHost,
      bytesToGuest,
      packetsToHost,
      packetsToGuest,
      lastAt,
    };
  }

  endFlow(): void {
    this.proxy.ended(this.self);
  }

  /** @param fd the descriptor, where Node does not expose the socket's own */
  attach(host: HostSocket, outbox: Outbox, intake: Intake | undefined, fd: number = host.fd): void {
    this.host = host;
    this.intake = intake;
    intake?.admit(this);
    this.outbox = outbox;
    this.fd = fd;
    this.reportsErrors = enableErrors(this.proxy.errors, fd, this.hostFamily);
  }

  /** Needed by traceroute. One system call, when a guest changes it. */
  setTtl(ttl: number): void {
    const wanted = Math.max(1, Math.min(255, ttl));
    if (wanted === this.ttl) return;
    this.ttl = wanted;
    this.outbox?.flush(); // earlier datagrams keep their TTL
    try {
      this.applyTtl(wanted);
    } catch {
      // The kernel's default is sent instead.
    }
  }

  protected applyTtl(ttl: number): void {
    this.host?.socket.setTTL(ttl);
  }

  transmit(slot: SendSlot): void {
    this.inFlight++;
    this.inFlightBytes += slot.len;
    this.outbox?.add(slot);
  }

  onSent(slot: SendSlot, failure: string): void {
    this.inFlight--;
    this.inFlightBytes -= slot.len;
    if (failure !== '' && !this.closed && this.guard(() => this.retries(slot, failure))) return;
    this.proxy.release(slot);
  }

  onInterrupted(): void {
    this.guard(() => this.drainErrors() > 0);
  }

  onMessage(bytes: Buffer, peer: RemoteInfo): void {
    if (this.closed) return;
    this.proxy.deliver(this.self, bytes, peer);
    if (!this.closed && this.intake?.took(this, bytes.length) === false) this.setReading(false);
  }

  setReading(isReading: boolean): void {
    if (!this.closed) this.host?.setReading(isReading);
  }

  onReceiveError(): void {
    if (this.drainErrors() === 0) this.proxy.receiveFailed();
  }

  onFault(): void {
    if (!this.closed) this.proxy.faulted(this.self);
  }

  /** The batch of datagrams, which may be other flows' too, goes on. */
  private guard(call: () => boolean): boolean {
    try {
      return call();
    } catch (fault) {
      reportFault('datagram-send', fault);
      this.onFault();
      return false;
    }
  }

  close(): void {
    this.outbox?.flush();
    this.intake?.stop(this);
    this.closed = true;
    if (this.host !== undefined) closeQuietly(this.host.socket);
  }

  /** @returns whether the slot, whose send failed, was queued again */
  private retries(slot: SendSlot, code: string): boolean {
    const pending = this.drainErrors();
    if (!slot.retried && (pending > 0 || isPendingError(code))) {
      // The kernel reported an error of another datagram and did not send this one.
      slot.retried = true;
      this.transmit(slot);
      return true;
    }
    this.proxy.sendFailed(this.self, slot, code);
    return false;
  }

  private get dialled(): string | undefined {
    const { remote, current } = this.target;
    return current.address === remote.toString() ? undefined : current.address;
  }

  /** @returns how many errors the kernel had waiting */
  private drainErrors(): number {
    const { errors } = this.proxy;
    if (errors === undefined || !this.reportsErrors || this.closed) return 0;
    let drained = 0;
    let entry = errors.readErrorQueue(this.fd);
    while (entry !== undefined) {
      drained++;
      this.proxy.reportError(this.self, entry);
      entry = errors.readErrorQueue(this.fd);
    }
    return drained;
  }
}
