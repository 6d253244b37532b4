/**
 * A multiplexer over one stream, sans-IO: VPNKit's, and hawser's extended mode where both ends know
 * it.
 *
 * Theory of operation
 * -------------------
 * The owner feeds bytes (`onBytes`, then `onBatchEnd`), time (`nextTimeout`, `onTimeout`) and room
 * (`onWritable`); bytes leave through a `MuxWriter`. Handlers are notified of everything from a work list
 * at the end of a batch, after which what is due is written, and flushed once. What an application
 * does outside a batch is written by `flush`, which `MuxHandler.onWork` asks for.
 *
 * States: `greeting` until the peer's handshake is in, `ready`, `down`. Opens made while greeting
 * wait. The peer is not trusted: bytes for an unknown or closed channel are consumed and counted, a
 * channel that breaks a rule is closed alone, and only a stream that cannot be parsed ends the link.
 *
 * Memory: the windows promised to all channels never add up to more than the budget; sending
 * buffers and control flags are bounded for each channel, and channels by their number.
 */
import { assert } from '../base/assert.ts';
import { BufferPool, MAX_BUFFER } from '../base/buffer-pool.ts';
import { reportFault } from '../base/faults.ts';
import type { Slab } from '../base/slab.ts';
import { type Instant, NEVER } from '../base/time.ts';
import {
  Channel,
  type ChannelPort,
  EVENT_END,
  EVENT_OPEN,
  EVENT_READABLE,
  EVENT_WRITABLE,
} from './channel.ts';
import { writeControl } from './control-writer.ts';
import { Decoder, type StreamFault } from './decoder.ts';
import type { Destination, IpEndpoint } from './destination.ts';
import type { MuxChannel, MuxChannelHandler } from './mux-channel.ts';
import { type MuxOptions, muxSettings } from './options.ts';
import { Receiver } from './receiver.ts';
import { ChannelRequest } from './request.ts';
import { Session } from './session.ts';
import type { MuxDrop, MuxStats } from './stats.ts';
import type { MuxWriter } from './writer.ts';

export type MuxDownReason =
  | StreamFault
  | 'handshake-timeout'
  | 'ping-timeout'
  | 'refusal-flood'
  | 'link-down';

/** Events for the owner of a multiplexer; delivered, like those of channels, at the end of a batch. */
export interface MuxHandler {
  /** The handshake is complete. */
  onReady(now: Instant, extended: boolean): void;
  /** The peer opens a channel: accept or refuse it, now or later. */
  onRequest(now: Instant, request: ChannelRequest): void;
  /** The peer takes no more opens; existing channels go on. */
  onGoAway(now: Instant): void;
  /** After `drain`, the last channel has gone: the link may be closed. */
  onDrained(now: Instant): void;
  /** Every channel has ended, and nothing more is sent: close the link. */
  onDown(now: Instant, reason: MuxDownReason): void;
  /** There is something to write: call `flush` soon. */
  onWork(): void;
}

/** Rounds of events and writes in one batch; what is left then waits for `flush`. */
const MAX_ROUNDS = 16;

export class Mux implements ChannelPort {
  readonly rxPool: BufferPool;
  readonly txPool: BufferPool;
  readonly sendBuffer: number;
  private readonly handler: MuxHandler;
  private readonly session: Session;
  private readonly decoder: Decoder;
  private readonly receiver: Receiver;
  private state: 'new' | 'up' | 'down' = 'new';
  private downReason: MuxDownReason | undefined = undefined;
  private drainedNotified = false;
  private nextId: number;
  private readonly idStep: 1 | -1;
  private greetBy: Instant = NEVER;
  /** Channels whose Open the peer has not answered, oldest first. */
  private readonly unanswered = new Set<Channel>();
  private openTimedOut = false;
  /** Channels with pending events, and those whose events are being delivered. */
  private pendingEvents: Channel[] = [];
  private delivering: Channel[] = [];
  /** Channels with a flag due. */
  private control: Channel[] = [];
  private writingControl: Channel[] = [];
  /** A batch is in progress: its end writes whatever becomes due. */
  private running = false;
  private workRequested = false;
  private now: Instant = 0;

  constructor(options: MuxOptions, writer: MuxWriter, handler: MuxHandler) {
    const settings = muxSettings(options);
    this.handler = handler;
    this.session = new Session(settings, writer);
    this.sendBuffer = settings.sendBuffer;
    // A ring that grows holds two buffers for a moment.
    this.rxPool = new BufferPool(settings.memoryBudget + MAX_BUFFER);
    this.txPool = new BufferPool(settings.memoryBudget);
    this.receiver = new Receiver(this.session, this);
    this.decoder = new Decoder(this.receiver);
    this.nextId = settings.role === 'connector' ? -1 : 0;
    this.idStep = settings.role === 'connector' ? -1 : 1;
  }

  /** Send the handshake. */
  start(now: Instant): void {
    assert(this.state === 'new', 'mux started twice');
    const { role, extended, window, maxPayload, maxChannels, handshakeTimeoutMs } =
      this.session.settings;
    this.state = 'up';
    this.greetBy = now + handshakeTimeoutMs;
    this.session.link.greet(extended ? { role, window, maxPayload, maxChannels } : undefined);
    this.flush(now);
  }

  get stats(): MuxStats {
    return this.session.stats;
  }

  /** The handshake is complete, and the link up. */
  get ready(): boolean {
    return this.session.ready && this.state === 'up';
  }

  /** An Open timed out without an answer, and nothing has been received from the peer since. */
  get unresponsive(): boolean {
    return this.openTimedOut;
  }

  get extended(): boolean {
    return this.session.link.extended;
  }

  /** Round-trip time of the last ping, in ms; 0 when none was answered. */
  get rttMs(): number {
    return this.session.link.rttMs;
  }

  /** Channels not yet closed by both ends. */
  get channelCount(): number {
    return this.session.channels.size;
  }

  /** Bytes promised to the peer as receive windows. */
  get windowsPromised(): number {
    return this.session.budget.promised;
  }

  /** For status output: every channel that the application still has. */
  *openChannels(): IterableIterator<MuxChannel> {
    for (const channel of this.session.channels.values()) if (!channel.over) yield channel;
  }

  /**
   * Open a channel; `send` may be used at once.
   *
   * @param client the client served by this channel; sent to the peer in the extended mode
   * @returns undefined when either end takes no more channels, or the budget is spent
   */
  open(
    now: Instant,
    destination: Destination,
    handler: MuxChannelHandler,
    client?: IpEndpoint,
  ): MuxChannel | undefined {
    const { session } = this;
    const { channels, settings } = session;
    if (this.state === 'down' || session.leaving || session.peerLeaving) return undefined;
    if (channels.size >= Math.min(settings.maxChannels, session.peerMaxChannels)) {
      return this.limited('channel-limit');
    }
    const channel = new Channel(this, this.freeId(), destination, client, true);
    if (!session.budget.admit(channel)) return this.limited('memory-limit');
    channel.handler = handler;
    channel.txAllowed = session.peerWindow;
    channel.openDue = true;
    channel.openedAt = now;
    this.unanswered.add(channel);
    channels.set(channel.id, channel);
    session.stats.opened++;
    this.queueControl(channel);
    return channel;
  }

  /** Accept and make no more opens; `onDrained` follows when the last channel is gone. */
  drain(): void {
    if (this.session.leaving || this.state === 'down') return;
    this.session.leaving = true;
    this.session.link.goAwayDue = true;
    this.requestWork();
  }

  // --- the link ---

  /** Bytes from the peer; `slab` is borrowed for the call. No handler is called before `onBatchEnd`. */
  onBytes(now: Instant, slab: Slab, off: number, len: number): void {
    if (this.state !== 'up') return;
    this.now = now;
    this.running = true;
    this.openTimedOut = false;
    const fault = this.decoder.onBytes(now, slab, off, len);
    this.session.link.heard(now);
    if (fault !== undefined) this.goDown(fault);
    else if (this.receiver.flooded) this.goDown('refusal-flood');
  }

  onBatchEnd(now: Instant): void {
    this.flush(now);
  }

  /** The writer has room again after `reserve` returned -1. */
  onWritable(now: Instant): void {
    this.flush(now);
  }

  /** The link is gone: every channel ends, and its handler is notified. */
  onLinkDown(now: Instant): void {
    if (this.state === 'down') return;
    this.goDown('link-down');
    this.flush(now);
  }

  nextTimeout(): Instant {
    if (this.state !== 'up') return NEVER;
    if (!this.session.ready) return this.greetBy;
    return this.extended ? this.session.link.nextTimeout() : this.nextOpenTimeout();
  }

  onTimeout(now: Instant): void {
    if (this.state !== 'up') return;
    if (!this.session.ready) {
      if (now >= this.greetBy) this.goDown('handshake-timeout');
    } else if (!this.extended) this.giveUpOpens(now);
    else if (!this.session.link.onTimeout(now)) this.goDown('ping-timeout');
    this.flush(now);
  }

  /** Deliver pending events, then write what is due, with a single flush at the end. */
  flush(now: Instant): void {
    this.now = now;
    this.workRequested = false;
    this.running = true;
    let rounds = 0;
    do {
      this.deliverEvents(now);
      if (this.state === 'up') this.write(now);
    } while (this.hasPendingEvents() && ++rounds < MAX_ROUNDS);
    this.running = false;
    if (this.state === 'up') this.session.writer.flush();
    if (this.hasPendingEvents()) this.requestWork();
  }

  // --- ChannelPort ---

  writeNow(channel: Channel, bytes: Uint8Array, off: number, len: number): number {
    const { session } = this;
    if (!session.ready || !session.scheduler.mayWriteNow(channel) || this.state !== 'up') return 0;
    // An Open or Accept goes before the first byte.
    if (channel.openDue || channel.acceptDue) {
      if (!session.link.write(this.now, session.writer)) return 0;
      if (!writeControl(this.now, session, channel)) return 0;
    }
    const done = session.scheduler.writeNow(channel, bytes, off, len);
    if (done > 0) this.requestWork();
    return done;
  }

  queueData(channel: Channel): void {
    if (!channel.sendable) return;
    this.session.scheduler.enqueue(channel, channel.tx.length > 0);
    this.requestWork();
  }

  turnIsOver(channel: Channel): boolean {
    return this.session.scheduler.turnIsOver(channel);
  }

  queueControl(channel: Channel): void {
    if (channel.inControl) return;
    channel.inControl = true;
    this.control.push(channel);
    this.requestWork();
  }

  queueEvent(channel: Channel): void {
    if (channel.inEvents) return;
    channel.inEvents = true;
    this.pendingEvents.push(channel);
    this.requestWork();
  }

  onAccepted(channel: Channel): void {
    if (this.extended) channel.acceptDue = true;
    else channel.windowDue = true;
    this.queueControl(channel);
  }

  onGranted(channel: Channel): void {
    this.unanswered.delete(channel);
  }

  retire(channel: Channel): void {
    this.unanswered.delete(channel);
    this.session.budget.retire(channel);
  }

  onSentAfterClose(): void {
    this.stats.drops.add('sent-after-close');
  }

  // --- inside ---

  private nextOpenTimeout(): Instant {
    const [oldest] = this.unanswered;
    return oldest === undefined ? NEVER : oldest.openedAt + this.session.settings.openTimeoutMs;
  }

  /** VPNKit's dialect has no ping: a peer that hangs is detected by the Opens that it leaves unanswered. */
  private giveUpOpens(now: Instant): void {
    for (const channel of this.unanswered) {
      if (channel.openedAt + this.session.settings.openTimeoutMs > now) return;
      this.unanswered.delete(channel);
      this.openTimedOut = true;
      this.stats.drops.add('open-unanswered');
      channel.fail(now, 'timed-out');
    }
  }

  private hasPendingEvents(): boolean {
    return this.pendingEvents.length > 0 || this.session.requests.length > 0;
  }

  private deliverEvents(now: Instant): void {
    const { handler, session } = this;
    if (session.readyPending) {
      session.readyPending = false;
      handler.onReady(now, session.link.extended);
    }
    for (const channel of session.requests.splice(0)) {
      if (channel.ending !== undefined) continue; // gone before its handler was notified
      channel.request = new ChannelRequest(channel);
      try {
        handler.onRequest(now, channel.request);
      } catch (fault) {
        this.onFault(now, channel, fault);
      }
    }
    const list = this.pendingEvents;
    this.pendingEvents = this.delivering;
    this.delivering = list;
    for (const channel of list) {
      channel.inEvents = false;
      try {
        this.deliverChannelEvents(now, channel);
      } catch (fault) {
        this.onFault(now, channel, fault);
      }
    }
    list.length = 0;
    if (session.goAwayPending) {
      session.goAwayPending = false;
      handler.onGoAway(now);
    }
    if (session.leaving && session.channels.size === 0 && !this.drainedNotified) {
      this.drainedNotified = true;
      if (this.state === 'up') handler.onDrained(now);
    }
    const { downReason } = this;
    if (downReason === undefined || this.hasPendingEvents()) return;
    this.downReason = undefined;
    handler.onDown(now, downReason);
  }

  /** A handler of the channel has thrown: the channel is reset, and the link goes on. */
  private onFault(now: Instant, channel: Channel, fault: unknown): void {
    reportFault('channel', fault);
    if (isOver(channel)) {
      channel.retire(); // it was the end that it did not take
      return;
    }
    try {
      channel.handler?.onClosed(now, channel, 'protocol', FAULT);
    } catch (again) {
      reportFault('channel', again);
    }
    channel.abort(now, 'protocol', FAULT);
  }

  private deliverChannelEvents(now: Instant, channel: Channel): void {
    const { handler } = channel;
    if (channel.over) return;
    if (handler !== undefined) {
      const { events } = channel;
      channel.events = 0;
      if (events & EVENT_OPEN) handler.onOpen(now, channel);
      if (events & EVENT_READABLE && channel.receivedLen > 0 && !isOver(channel)) {
        handler.onReadable(now, channel);
      }
      if (events & EVENT_END && !isOver(channel)) handler.onPeerEnd(now, channel);
      if (events & EVENT_WRITABLE && !isOver(channel)) handler.onWritable(now, channel);
    }
    if (channel.ending === undefined || isOver(channel)) return;
    channel.over = true;
    channel.request?.cancel();
    handler?.onClosed(now, channel, channel.ending, channel.endText);
    channel.retire();
  }

  private write(now: Instant): void {
    const { session } = this;
    const { link, scheduler, stats, writer } = session;
    if (!link.write(now, writer)) {
      stats.stalls++;
      return;
    }
    if (!session.ready) return;
    if (!this.writeControls(now) || !scheduler.run(this.onTurn, this.onServed)) stats.stalls++;
    // A channel whose last bytes were sent may have a Shutdown due.
    else if (this.control.length > 0) this.writeControls(now);
  }

  private readonly onTurn = (channel: Channel): void => {
    if (channel.over || channel.ending !== undefined) return;
    try {
      channel.handler?.onWritable(this.now, channel);
    } catch (fault) {
      this.onFault(this.now, channel, fault);
    }
  };

  private readonly onServed = (channel: Channel): void => {
    if (channel.shutdownWanted && channel.tx.length === 0) this.queueControl(channel);
  };

  /** @returns false when the link has no room; what is left stays queued */
  private writeControls(now: Instant): boolean {
    const list = this.control;
    this.control = this.writingControl;
    this.writingControl = list;
    let done = 0;
    for (const channel of list) {
      if (!writeControl(now, this.session, channel)) break;
      channel.inControl = false;
      done++;
    }
    const all = done === list.length;
    if (!all) this.control.push(...list.slice(done));
    list.length = 0;
    return all;
  }

  private goDown(reason: MuxDownReason): void {
    this.state = 'down';
    this.downReason = reason;
    for (const channel of this.session.channels.values()) channel.end('link-down', '');
    this.session.channels.clear();
    this.requestWork();
  }

  private limited(drop: MuxDrop): undefined {
    this.stats.drops.add(drop);
    return undefined;
  }

  private freeId(): number {
    let id = this.nextId;
    while (this.session.channels.has(id)) id = (id + this.idStep) | 0;
    this.nextId = (id + this.idStep) | 0;
    return id;
  }

  private requestWork(): void {
    if (this.running || this.workRequested) return;
    this.workRequested = true;
    this.handler.onWork();
  }
}

const FAULT = 'an internal error';

/** Reads the field again: a callback may have ended the channel. */
const isOver = (channel: Channel): boolean => channel.over;
