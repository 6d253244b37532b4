/** The interface of a connection to its owner ({@link TcpFlow}), and the delivery of its events. */
import { reportFault } from '../../base/faults.ts';
import { plainCount } from '../../base/no-bytes.ts';
import { type Run, viewOf } from '../../base/run.ts';
import type { Seq } from '../../base/seq.ts';
import type { EvictionCandidate } from '../../base/shares/eviction-order.ts';
import { type Instant, NEVER } from '../../base/time.ts';
import { ACK, RST } from '../../wire/tcp.ts';
import type { FlowId, TcpFlow, TcpFlowHandler, TcpFlowInfo } from '../flow.ts';
import type { Guest } from '../guest.ts';
import type { Path } from '../path.ts';
import type { TcpShares } from './connection-memory.ts';
import { armTimer } from './deadlines.ts';
import { output, outputWhole, sendReset } from './send.ts';
import {
  EVENT_CLOSED,
  EVENT_GUEST_END,
  EVENT_OPEN,
  EVENT_READABLE,
  EVENT_WRITABLE,
  Tcb,
  type TcpContext,
} from './tcb.ts';
import { serveTimers } from './timers.ts';

/** Lent at once at most: what one read of the host's takes. */
const RESERVE_MAX = 256 * 1024;

const ignore = (): void => {};
const DEAF: TcpFlowHandler = {
  onOpen: ignore,
  onReadable: ignore,
  onWritable: ignore,
  onPeerEnd: ignore,
  onClosed: ignore,
};

export class TcpConnection extends Tcb implements TcpFlow, EvictionCandidate<TcpConnection> {
  chainNext: TcpConnection | undefined = undefined;
  chainPrev: TcpConnection | undefined = undefined;
  activitySeen: number = Number.NEGATIVE_INFINITY;
  private handler: TcpFlowHandler;

  constructor(
    context: TcpContext,
    now: Instant,
    id: FlowId,
    key: Int32Array,
    path: Path,
    shares: TcpShares,
    iss: Seq,
    handler: TcpFlowHandler,
  ) {
    super(context, now, id, key, path, shares, iss);
    this.handler = handler;
  }

  get activity(): Instant {
    return this.lastHeard;
  }

  get owner(): Guest {
    return this.shares.guest;
  }

  get receivedLen(): number {
    return this.received.length;
  }

  readable(): Uint8Array {
    return viewOf(this.received.lend());
  }

  lend(): Run {
    return this.received.lend();
  }

  peek(offset: number): Run {
    return this.received.peek(offset);
  }

  release(now: Instant, n: number): void {
    // After a reset the ring is empty, and a pending write may still complete.
    if (n > this.received.length) return;
    this.received.release(n);
    if (this.state !== 'closed' && this.windowUpdateDue) {
      this.ackNow = true;
      output(this, now);
    }
  }

  get queuedLen(): number {
    return this.outgoing.length;
  }

  send(now: Instant, bytes: Uint8Array, off: number, len: number): void {
    if (this.state === 'closed' || len === 0) return;
    if (!this.outgoing.append(bytes, off, len)) {
      // The budget is spent: bytes that were accepted must not vanish, so the connection ends.
      this.context.drops.add('tcp-no-memory');
      this.close('timed-out');
      return;
    }
    this.onQueued(now, len);
  }

  reserve(min: number): Uint8Array | undefined {
    const max = Math.min(this.sendSpace, RESERVE_MAX);
    return max < min ? undefined : this.outgoing.reserve(min, max);
  }

  fill(now: Instant, n: number): void {
    if (this.state === 'closed') return; // and the ring with it
    this.outgoing.fill(n);
    if (n > 0) this.onQueued(now, n);
  }

  /**
   * What fills segments goes out at once, while it is in the cache. The rest waits for the flush, without which no frame
   * leaves anyhow: what the host says in small pieces, or in others than the guest's MTU, makes few segments so.
   */
  private onQueued(now: Instant, len: number): void {
    this.bytesToGuest += len;
    outputWhole(this, now);
    if (this.corkedAt === NEVER) this.context.corkedList.push(this);
    this.corkedAt = now;
  }

  wantSpace(n: number): void {
    this.spaceWanted = n;
    if (this.context.pool.spent) this.context.starved.push(this);
  }

  shutdown(now: Instant): void {
    if (this.finQueued || this.state === 'closed') return;
    this.finQueued = true;
    if (!this.blocked) output(this, now);
  }

  abort(now: Instant): void {
    if (this.state === 'closed') {
      this.mute();
      return;
    }
    // RFC 9293 §3.10.5: in SYN-SENT nothing is sent; a late SYN-ACK matches no connection and is reset.
    if (this.state !== 'syn-sent') sendReset(this, now, this.sndNxt, RST | ACK);
    this.end('reset-by-host');
    this.mute();
  }

  override evict(now: Instant): void {
    if (this.state === 'closed') return;
    if (this.state !== 'syn-sent') sendReset(this, now, this.sndNxt, RST | ACK);
    this.close('evicted');
    if (!this.received.isLent) this.received.clear();
  }

  describe(): TcpFlowInfo {
    return {
      state: this.state,
      bytesToHost: plainCount(this.bytesToHost),
      bytesToGuest: plainCount(this.bytesToGuest),
      lastHeard: this.lastHeard,
      retransmits: this.retransmits,
      srttMs: this.rtt.srtt,
      cwndBytes: Math.round(this.cc.cwnd),
      bufferedToHost: this.received.length,
      bufferedToGuest: this.outgoing.length,
    };
  }

  offer(now: Instant, bytes: Uint8Array, off: number, len: number): number {
    if (this.events !== 0) return 0; // it hears of them first
    return this.handler.offer?.(now, bytes, off, len) ?? 0;
  }

  /** Call the handler for every event noted, in the order in which they make sense. */
  override deliver(now: Instant): void {
    const { events } = this;
    this.events = 0;
    this.queued = false;
    // `handler` is read again for each event: one that aborts the flow is not called any more.
    if ((events & EVENT_OPEN) !== 0) this.handler.onOpen(now, this);
    if ((events & EVENT_READABLE) !== 0 && this.receivedLen > 0) this.handler.onReadable(now, this);
    if ((events & EVENT_GUEST_END) !== 0) this.handler.onPeerEnd(now, this);
    if ((events & EVENT_WRITABLE) !== 0 && this.state !== 'closed')
      this.handler.onWritable(now, this);
    if ((events & EVENT_CLOSED) === 0) return;
    this.handler.onClosed(now, this, this.closeReason);
    if (this.closeReason !== 'finished') this.received.clear();
  }

  override onDeadline(now: Instant): void {
    try {
      serveTimers(this, now);
      if (this.state !== 'closed') armTimer(this);
    } catch (fault) {
      this.onFault(now, fault);
    }
  }

  /** @throws `fault` where nobody watches, once the connection has ended */
  override onFault(now: Instant, fault: unknown): void {
    const { handler } = this;
    try {
      reportFault('tcp', fault);
    } finally {
      try {
        handler.onClosed(now, this, 'reset-by-host');
      } catch (again) {
        reportFault('tcp', again);
      } finally {
        this.abort(now);
      }
    }
  }

  override onLinkWritable(now: Instant): void {
    this.blocked = false;
    output(this, now);
  }

  /** No more calls to the handler; what it has not taken is gone. */
  private mute(): void {
    this.events = 0;
    this.handler = DEAF;
    this.received.clear();
  }
}
