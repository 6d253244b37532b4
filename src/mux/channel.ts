/**
 * One channel of a multiplexer: a byte stream in each direction, each ended by itself, closed once by each end.
 *
 * Theory of operation
 * -------------------
 * Received bytes wait in `rx` until released; the window announced to the peer (`rxAllowed`, counted
 * since Open) is what `rx` has promised to hold. Bytes to send go straight to the link when nothing
 * waits before them, else to `tx`, from where the multiplexer's scheduler takes them in turn.
 *
 * What has to be sent about a channel is a set of flags, not a queue: Open, Accept, Window,
 * Shutdown and Close are each due at most once at a time, whatever the peer does. Each end sends
 * Close exactly once and nothing after it; the id is free when both have.
 *
 * For the application a channel ends (`over`) independently of the wire: with `onClosed` or
 * `abort`, after which the channel lingers, without memory, until the peer's Close. A peer's Close
 * or end is delivered after everything before it has been read; a Reset at once.
 */

import { assert } from '../base/assert.ts';
import type { BufferPool } from '../base/buffer-pool.ts';
import { ByteRing } from '../base/byte-ring.ts';
import type { Chained } from '../base/chain.ts';
import { NO_BYTES, plainCount } from '../base/no-bytes.ts';
import { type Run, viewOf } from '../base/run.ts';
import type { Instant } from '../base/time.ts';
import type { Destination, IpEndpoint } from './destination.ts';
import type { MuxChannel, MuxChannelHandler, MuxChannelInfo } from './mux-channel.ts';
import type { ChannelEnd, RefusalReason } from './reason.ts';
import { ReceiveRing } from './receive-ring.ts';
import type { ChannelRequest } from './request.ts';

/** What a channel needs of its multiplexer. */
export interface ChannelPort {
  readonly rxPool: BufferPool;
  readonly txPool: BufferPool;
  readonly sendBuffer: number;
  /** Write as much as may be sent ahead of all others now. @returns bytes taken */
  writeNow(channel: Channel, bytes: Uint8Array, off: number, len: number): number;
  /** Whether `channel` has had its turn, and others wait. */
  turnIsOver(channel: Channel): boolean;
  /** `channel` may have become `sendable`. */
  queueData(channel: Channel): void;
  /** A flag of `channel` is due. */
  queueControl(channel: Channel): void;
  /** `channel` has a pending event. */
  queueEvent(channel: Channel): void;
  /** The application took the channel that the peer opened. */
  onAccepted(channel: Channel): void;
  /** The peer answered the Open of `channel`. */
  onGranted(channel: Channel): void;
  /** The channel holds no memory any more. */
  retire(channel: Channel): void;
  onSentAfterClose(bytes: number): void;
}

export const EVENT_OPEN = 1;
export const EVENT_READABLE = 2;
export const EVENT_END = 4;
export const EVENT_WRITABLE = 8;

export class Channel implements MuxChannel, Chained<Channel> {
  readonly id: number;
  readonly destination: Destination;
  readonly client: IpEndpoint | undefined;
  readonly openedHere: boolean;
  handler: MuxChannelHandler | undefined = undefined;
  /** The peer's Open, until it is answered. */
  request: ChannelRequest | undefined = undefined;
  readonly rx: ReceiveRing;
  readonly tx: ByteRing;
  /** Counted since Open, as limits are. */
  rxTotal: number = NO_BYTES;
  rxConsumed: number = NO_BYTES;
  rxAllowed: number = NO_BYTES;
  rxWindow = 0;
  txSent: number = NO_BYTES;
  txAllowed: number = NO_BYTES;
  windowAnnouncedAt: Instant = 0;
  /** The peer granted the Open; true from the start on channels it opened. */
  granted: boolean;
  /** When our Open was made, or the link became ready after it. */
  openedAt: Instant = 0;
  rxEnded = false;
  shutdownWanted = false;
  shutdownSent = false;
  openDue = false;
  acceptDue = false;
  windowDue = false;
  closeDue = false;
  closeSent = false;
  closeReceived = false;
  /** The reason that a due Close carries in the extended mode; 'finished' is a plain Close. */
  closeReason: RefusalReason | 'finished' = 'finished';
  closeText = '';
  /** The handler is not called any more. */
  over = false;
  ending: ChannelEnd | undefined = undefined;
  endText = '';
  events = 0;
  /** What `wantSpace` asked for; 0 when nothing. */
  wanted = 0;
  inEvents = false;
  inControl = false;
  inData = false;
  /** Bytes sent beyond its turns. */
  debt = 0;
  nextInData: Channel | undefined = undefined;
  /** Among those whose Open the peer has not answered. */
  chainNext: Channel | undefined = undefined;
  chainPrev: Channel | undefined = undefined;
  /** The application sent after the peer's Close. */
  private doomed = false;
  private readonly port: ChannelPort;

  constructor(
    port: ChannelPort,
    id: number,
    destination: Destination,
    client: IpEndpoint | undefined,
    openedHere: boolean,
  ) {
    this.port = port;
    this.id = id;
    this.destination = destination;
    this.client = client;
    this.openedHere = openedHere;
    this.granted = !openedHere;
    this.rx = new ReceiveRing(port.rxPool);
    this.tx = new ByteRing(port.txPool);
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
    this.rxConsumed += n;
    if (this.rxEnded) this.settle();
    else if (this.rxAllowed - this.rxConsumed < this.rxWindow / 2 && !this.windowDue) {
      this.windowDue = true;
      this.port.queueControl(this);
    }
  }

  get sendSpace(): number {
    return this.port.turnIsOver(this) ? 0 : this.port.sendBuffer - this.tx.length;
  }

  get queuedLen(): number {
    return this.tx.length;
  }

  send(now: Instant, bytes: Uint8Array, off: number, len: number): void {
    if (this.over || this.ending !== undefined || this.shutdownWanted || len === 0) return;
    if (this.closeReceived) {
      this.port.onSentAfterClose(len);
      this.doomed = true;
      this.settle();
      return;
    }
    assert(len <= this.port.sendBuffer - this.tx.length, 'sent more than sendSpace');
    const done = this.tx.length === 0 ? this.port.writeNow(this, bytes, off, len) : 0;
    if (done === len) return;
    if (!this.tx.append(bytes, off + done, len - done)) {
      this.fail(now, 'no-memory');
      return;
    }
    this.port.queueData(this);
  }

  wantSpace(n: number): void {
    this.wanted = n;
    this.port.queueData(this);
  }

  shutdown(_now: Instant): void {
    if (this.over || this.shutdownWanted) return;
    this.shutdownWanted = true;
    this.settle();
    if (this.tx.length === 0) this.port.queueControl(this);
  }

  abort(_now: Instant, reason: RefusalReason = 'reset-by-peer', text = ''): void {
    if (this.over) return;
    this.close(reason, text);
    this.over = true;
    this.retire();
  }

  describe(): MuxChannelInfo {
    return {
      id: this.id >>> 0,
      state: this.state(),
      bytesReceived: plainCount(this.rxTotal),
      bytesSent: plainCount(this.txSent),
      bufferedReceived: this.rx.length,
      bufferedToSend: this.tx.length,
      window: this.rxWindow,
      credit: this.txAllowed - this.txSent,
    };
  }

  // --- for the multiplexer ---

  /** Answer the peer's Open. */
  accept(handler: MuxChannelHandler): void {
    this.request = undefined;
    this.handler = handler;
    this.port.onAccepted(this);
    if (this.events !== 0 || this.ending !== undefined) this.port.queueEvent(this);
  }

  /** The peer granted our Open, explicitly or by using the channel. */
  grant(): void {
    if (this.granted) return;
    this.granted = true;
    this.port.onGranted(this);
    this.raise(EVENT_OPEN);
  }

  /** Payload of a Data frame that was within the window. @returns false when there is no memory */
  take(bytes: Uint8Array, off: number, len: number): boolean {
    if (!this.rx.write(bytes, off, len, this.rxWindow)) return false;
    this.raise(EVENT_READABLE);
    return true;
  }

  raise(event: number): void {
    if (this.over) return;
    this.events |= event;
    this.port.queueEvent(this);
  }

  /** The peer sends no more. */
  onEnd(): void {
    if (this.rxEnded) return;
    this.rxEnded = true;
    this.raise(EVENT_END);
    this.settle();
  }

  /** The peer's Close. A plain peer's also stands for a refusal, and for a reset. */
  onClose(extended: boolean): void {
    this.closeReceived = true;
    this.tx.clear();
    if (!this.closeSent) {
      this.closeDue = true;
      this.port.queueControl(this);
    }
    if (this.over) return;
    if (this.handler === undefined)
      this.end('reset-by-peer', ''); // it did not wait for our answer
    else if (!extended && this.openedHere && this.rxTotal === 0 && !this.rxEnded)
      this.end('refused', '');
    else {
      if (this.wanted > 0) this.raise(EVENT_WRITABLE); // a send now reports the reset
      this.onEnd();
      this.settle();
    }
  }

  onReset(reason: RefusalReason, text: string): void {
    this.closeReceived = true;
    if (!this.closeSent) {
      this.closeDue = true;
      this.closeReason = 'finished';
      this.port.queueControl(this);
    }
    this.end(reason, text);
  }

  /** This channel alone has failed: notify both ends. */
  fail(_now: Instant, reason: RefusalReason): void {
    this.close(reason, '');
    this.end(reason, '');
  }

  /** Notify the application that the channel is over, and release its bytes. */
  end(reason: ChannelEnd, text: string): void {
    if (this.over || this.ending !== undefined) return;
    this.ending = reason;
    this.endText = text;
    this.tx.clear();
    this.port.queueEvent(this);
  }

  /** Release all memory. Lent bytes are no longer read. */
  retire(): void {
    this.events = 0;
    this.wanted = 0;
    this.rx.clear();
    this.tx.clear();
    this.port.retire(this);
  }

  /** There are bytes to send, or an application that waits to send some, and the peer's credit for them. */
  get sendable(): boolean {
    return (this.tx.length > 0 || this.wanted > 0) && this.txAllowed > this.txSent;
  }

  /** End for the application once both directions have ended and everything was read. */
  settle(): void {
    if (!this.rxEnded || this.rx.length > 0) return;
    if (this.shutdownSent || (this.closeReceived && this.shutdownWanted)) this.end('finished', '');
    else if (this.doomed) this.end('reset-by-peer', '');
  }

  private close(reason: RefusalReason, text: string): void {
    if (this.closeSent || this.closeDue) return;
    this.closeDue = true;
    this.closeReason = reason;
    this.closeText = text;
    this.port.queueControl(this);
  }

  private state(): MuxChannelInfo['state'] {
    if (this.closeSent && this.closeReceived) return 'closed';
    if (this.closeSent || this.closeReceived || this.closeDue) return 'closing';
    if (!this.granted) return 'opening';
    return this.shutdownSent || this.rxEnded ? 'half-closed' : 'open';
  }
}
