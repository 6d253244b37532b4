/**
 * One stream between the host and the guest.
 *
 * Theory of operation
 * -------------------
 * Received bytes wait in `rx` until released; the guest may have at most `window` of them
 * unreleased, as announced to it, and one that sends more is reset. Any packet announces the released
 * bytes; when none is going out, a CREDIT_UPDATE is due as soon as a quarter of what
 * the guest can have in flight is free. That is the lesser of our buffer and of the guest's own: Linux
 * caps what it sends by the latter, and a sender that waits for the larger to drain deadlocks.
 * Bytes to send wait in `tx` for credit of the guest.
 *
 * Packets that are due are a set of flags, not a queue, so that they are bounded whatever the guest does. On
 * the wire a connection always ends by a reset, without an error too: after both ends have shut down, or at
 * once when the guest announces that it will neither send nor receive. Bytes received before can then still
 * be read (`attached` is false, `over` is not yet true); bytes sent are lost, and end the stream
 * as reset once everything has been read.
 */

import { assert } from '../../base/assert.ts';
import type { BufferPool } from '../../base/buffer-pool.ts';
import { ByteRing } from '../../base/byte-ring.ts';
import { NO_BYTES, plainCount } from '../../base/no-bytes.ts';
import { type Run, viewOf } from '../../base/run.ts';
import type { Instant } from '../../base/time.ts';
import type { CloseReason } from '../../stack/flow.ts';
import * as p from './packet.ts';
import type { VsockRequest, VsockStream, VsockStreamHandler, VsockStreamInfo } from './stream.ts';

/** What a connection needs of its endpoint. */
export interface ConnectionPort {
  readonly pool: BufferPool;
  readonly sendBuffer: number;
  /** Something is due to be sent. */
  queueSend(connection: Connection): void;
  /** An event is pending. */
  queueEvent(connection: Connection): void;
  /** It is over on the wire: forget its ports; `reset`: send a reset to the guest. */
  detach(connection: Connection, reset: boolean): void;
}

const EVENT_OPEN = 1;
const EVENT_READABLE = 2;
const EVENT_END = 4;
const EVENT_WRITABLE = 8;

/** More than a guest can have in flight; also keeps sums within int32. */
const MAX_CREDIT = 1 << 30;
/** Packets shorter than this are delayed while more may be sent soon. */
const MIN_PAYLOAD = 4096;

export class Connection implements VsockStream {
  readonly guestPort: number;
  readonly hostPort: number;
  readonly openedBy: 'guest' | 'host';
  readonly openedAt: Instant;
  /** Announced to the guest as its limit of unreleased bytes. */
  readonly window: number;
  readonly rx: ByteRing;
  readonly tx: ByteRing;
  /** The guest's unanswered request. */
  request: VsockRequest | undefined = undefined;
  handler: VsockStreamHandler | undefined = undefined;
  /** The guest has answered us, or we have answered it. */
  established = false;
  /** Known by its ports; the guest has not been reset. */
  attached = true;
  /** The handler is not called any more. */
  over = false;
  inEvents = false;
  inSends = false;
  private readonly port: ConnectionPort;
  private events = 0;
  private ending: CloseReason | undefined = undefined;
  private wanted = 0;
  private bytesToHost: number = NO_BYTES;
  private bytesToGuest: number = NO_BYTES;
  /** Modulo 2^32, as int32. */
  private consumed = 0;
  private consumedAnnounced = 0;
  private sent = 0;
  private guestForwarded = 0;
  private guestBuffer = 0;
  private openDue = false;
  private creditDue = false;
  /** The guest was asked for credit since it last gave some. */
  private creditAsked = false;
  private guestEnded = false;
  /** The guest receives no more. */
  private guestDeaf = false;
  private shutdownWanted = false;
  private shutdownSent = false;
  /** Bytes were sent that the guest will not take. */
  private doomed = false;

  constructor(
    port: ConnectionPort,
    guestPort: number,
    hostPort: number,
    openedBy: 'guest' | 'host',
    openedAt: Instant,
    window: number,
  ) {
    this.port = port;
    this.guestPort = guestPort;
    this.hostPort = hostPort;
    this.openedBy = openedBy;
    this.openedAt = openedAt;
    this.window = window;
    this.rx = new ByteRing(port.pool);
    this.tx = new ByteRing(port.pool);
  }

  get receivedLen(): number {
    return this.rx.length;
  }

  readable(): Uint8Array {
    return viewOf(this.rx.lend());
  }

  lend(): Run {
    return this.rx.lend();
  }

  release(_now: Instant, n: number): void {
    if (this.over) return;
    this.rx.release(n);
    this.consumed = (this.consumed + n) | 0;
    if (this.guestEnded) this.settle();
    else if (this.attached && !this.creditDue) {
      const unannounced = (this.consumed - this.consumedAnnounced) | 0;
      if (unannounced < Math.min(this.window, this.guestBuffer) >> 2) return;
      this.creditDue = true;
      this.port.queueSend(this);
    }
  }

  get sendSpace(): number {
    const { length } = this.tx;
    if (length > 0 && this.port.pool.spent) return 0;
    return this.port.sendBuffer - length;
  }

  get queuedLen(): number {
    return this.tx.length;
  }

  send(_now: Instant, bytes: Uint8Array, off: number, len: number): void {
    if (this.over || this.shutdownWanted || len === 0) return;
    if (this.guestDeaf) {
      this.doomed = true;
      this.settle();
      return;
    }
    assert(len <= this.port.sendBuffer - this.tx.length, 'sent more than sendSpace');
    if (!this.tx.append(bytes, off, len)) {
      this.fail('reset-by-host');
      return;
    }
    this.port.queueSend(this);
  }

  wantSpace(n: number): void {
    this.wanted = n;
    this.onDrained();
  }

  shutdown(_now: Instant): void {
    if (this.over || this.shutdownWanted) return;
    this.shutdownWanted = true;
    this.port.queueSend(this);
    this.settle();
  }

  abort(_now: Instant): void {
    if (this.over) return;
    this.port.detach(this, true);
    this.finish();
  }

  describe(): VsockStreamInfo {
    return {
      state: this.state(),
      bytesToHost: plainCount(this.bytesToHost),
      bytesToGuest: plainCount(this.bytesToGuest),
      bufferedToHost: this.rx.length,
      bufferedToGuest: this.tx.length,
      credit: this.credit(),
    };
  }

  // --- for the endpoint ---

  /** Send the REQUEST, or the RESPONSE that makes the connection established. */
  open(handler: VsockStreamHandler): void {
    this.handler = handler;
    this.request = undefined;
    this.established = this.openedBy === 'guest';
    this.openDue = true;
    this.port.queueSend(this);
  }

  /** The guest answered our REQUEST. */
  onResponse(): void {
    this.established = true;
    this.raise(EVENT_OPEN);
    this.port.queueSend(this);
  }

  /** Every packet carries credit. @returns false when it acknowledges bytes that were never sent */
  onCredit(header: DataView): boolean {
    const forwarded = p.fwdCnt(header);
    const inFlight = (this.sent - forwarded) | 0;
    if (inFlight < 0 || inFlight > ((this.sent - this.guestForwarded) | 0)) return false;
    const buffer = Math.min(p.bufAlloc(header), MAX_CREDIT);
    if (forwarded === this.guestForwarded && buffer === this.guestBuffer) return true;
    this.guestForwarded = forwarded;
    this.guestBuffer = buffer;
    this.creditAsked = false;
    if (this.tx.length > 0) this.port.queueSend(this);
    return true;
  }

  /** Bytes were received; they are in `rx` already. */
  onReceived(len: number): void {
    this.bytesToHost += len;
    this.raise(EVENT_READABLE);
  }

  /** Whether the guest may send `len` bytes more. */
  mayReceive(len: number): boolean {
    return !this.guestEnded && this.rx.length + len <= this.window;
  }

  onCreditRequest(): void {
    this.creditDue = true;
    this.port.queueSend(this);
  }

  onShutdown(flags: number): void {
    const receives = (flags & p.SHUTDOWN_RECEIVE) === 0;
    const sends = (flags & p.SHUTDOWN_SEND) === 0;
    if (!receives && !this.guestDeaf) {
      this.guestDeaf = true;
      if (this.tx.length > 0) this.doomed = true;
      this.tx.clear();
      this.onDrained();
    }
    if (!sends && !this.guestEnded) {
      this.guestEnded = true;
      this.raise(EVENT_END);
    }
    if (this.guestEnded && (this.guestDeaf || this.shutdownSent)) this.port.detach(this, true);
    this.settle();
  }

  /** The guest's RST: an orderly end once the guest has shut down, a loss of all bytes otherwise. */
  onReset(): void {
    this.port.detach(this, false);
    if (!this.established) this.end('refused');
    else if (this.guestEnded) {
      this.guestDeaf = true;
      if (this.tx.length > 0) this.doomed = true;
      this.tx.clear();
      this.settle();
    } else this.end('reset-by-guest');
  }

  /** The connection has failed: reset it and notify the application. */
  fail(reason: CloseReason): void {
    this.port.detach(this, true);
    this.end(reason);
  }

  /** Notify the application, or the owner of the undecided request, that it is over. */
  end(reason: CloseReason): void {
    if (this.over || this.ending !== undefined) return;
    this.ending = reason;
    this.tx.clear();
    this.port.queueEvent(this);
  }

  /**
   * Write the header of the next packet that is due, if any.
   *
   * @param maxLen payload bytes that fit
   * @returns payload bytes, the oldest of `tx`, to be confirmed by `onSent` afterwards; -1: none is due
   */
  nextPacket(header: DataView, maxLen: number): number {
    if (!this.attached) return -1;
    if (this.openDue) {
      this.openDue = false;
      return this.emit(header, this.openedBy === 'guest' ? p.OP_RESPONSE : p.OP_REQUEST, 0, 0);
    }
    if (!this.established) return -1;
    if (this.tx.length > 0) {
      const credit = this.credit();
      const len = Math.min(this.tx.length, credit, maxLen, p.MAX_PACKET_PAYLOAD);
      const worth = Math.min(this.tx.length, maxLen, MIN_PAYLOAD, this.guestBuffer >> 1);
      if (len > 0 && len >= worth) {
        return this.emit(header, p.OP_RW, len, 0);
      }
      if (!this.creditAsked) {
        this.creditAsked = true;
        return this.emit(header, p.OP_CREDIT_REQUEST, 0, 0);
      }
    } else if (this.shutdownWanted && !this.shutdownSent) {
      this.shutdownSent = true;
      return this.emit(header, p.OP_SHUTDOWN, 0, p.SHUTDOWN_SEND);
    }
    return this.creditDue ? this.emit(header, p.OP_CREDIT_UPDATE, 0, 0) : -1;
  }

  /** The packet was handed to the guest. */
  onSent(len: number): void {
    if (len > 0) {
      this.tx.release(len);
      this.sent = (this.sent + len) | 0;
      this.bytesToGuest += len;
      this.onDrained();
    }
    if (this.shutdownSent && this.attached) {
      if (this.guestEnded) this.port.detach(this, true);
      this.settle();
    }
  }

  /** Deliver pending events to the application. */
  deliverEvents(now: Instant): void {
    const { handler, events, request } = this;
    this.events = 0;
    if (handler === undefined) {
      if (this.ending === undefined) return;
      this.finish();
      request?.onCancelled?.();
      return;
    }
    if ((events & EVENT_OPEN) !== 0 && !this.over) handler.onOpen(now, this);
    if ((events & EVENT_READABLE) !== 0 && !this.over) handler.onReadable(now, this);
    if ((events & EVENT_END) !== 0 && !this.over) handler.onPeerEnd(now, this);
    if ((events & EVENT_WRITABLE) !== 0 && !this.over) handler.onWritable(now, this);
    // Events raised by these calls are delivered in the next round, and the end after them.
    if (this.ending === undefined || this.over || this.events !== 0) return;
    this.finish();
    handler.onClosed(now, this, this.ending);
  }

  /** Whether there is more for `deliverEvents`. */
  get hasPendingEvents(): boolean {
    return !this.over && (this.events !== 0 || this.ending !== undefined);
  }

  private emit(header: DataView, op: number, len: number, flags: number): number {
    this.creditDue = false;
    this.consumedAnnounced = this.consumed;
    p.emitPacket(header, op, len, flags, this.window, this.consumed);
    return len;
  }

  private credit(): number {
    return Math.max(0, this.guestBuffer - ((this.sent - this.guestForwarded) | 0));
  }

  private raise(event: number): void {
    if (this.over) return;
    this.events |= event;
    this.port.queueEvent(this);
  }

  private onDrained(): void {
    if (this.wanted === 0 || this.sendSpace < this.wanted) return;
    this.wanted = 0;
    this.raise(EVENT_WRITABLE);
  }

  /** It is over for the application once both directions have ended and everything was read. */
  private settle(): void {
    if (!this.guestEnded || this.rx.length > 0) return;
    if (this.doomed) this.end('reset-by-guest');
    else if (this.shutdownSent || (this.guestDeaf && this.shutdownWanted)) this.end('finished');
  }

  private finish(): void {
    this.over = true;
    this.events = 0;
    this.rx.clear();
    this.tx.clear();
  }

  private state(): VsockStreamInfo['state'] {
    if (this.over || !this.attached) return 'closed';
    if (!this.established) return 'opening';
    return this.shutdownSent || this.guestEnded ? 'half-closed' : 'open';
  }
}
