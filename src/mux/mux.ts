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
import type { Slab } from '../base/slab.ts';
import { type Instant, NEVER } from '../base/time.ts';
import { Channel, type ChannelPort } from './channel.ts';
import { ControlQueue } from './control-queue.ts';
import { writeControl } from './control-writer.ts';
import { Decoder } from './decoder.ts';
import type { Destination, IpEndpoint } from './destination.ts';
import { EventDelivery } from './event-delivery.ts';
import type { MuxChannel, MuxChannelHandler } from './mux-channel.ts';
import type { MuxDownReason, MuxHandler } from './mux-handler.ts';
import { type MuxOptions, muxSettings } from './options.ts';
import { Receiver } from './receiver.ts';
import { Session } from './session.ts';
import type { MuxDrop, MuxStats } from './stats.ts';
import { UnansweredOpens } from './unanswered-opens.ts';
import type { MuxWriter } from './writer.ts';

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
  private readonly events: EventDelivery;
  private readonly control = new ControlQueue();
  private readonly unanswered: UnansweredOpens;
  private nextId: number;
  private readonly idStep: 1 | -1;
  private greetBy: Instant = NEVER;
  private openTimedOut = false;
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
    this.events = new EventDelivery(this.session, handler);
    this.unanswered = new UnansweredOpens(settings.openTimeoutMs);
    this.nextId = settings.role === 'connector' ? -1 : 0;
    this.idStep = settings.role === 'connector' ? -1 : 1;
  }

  /** Send the handshake. */
  start(now: Instant): void {
    const { session } = this;
    assert(session.state === 'new', 'mux started twice');
    const { role, extended, window, maxPayload, maxChannels, handshakeTimeoutMs } =
      session.settings;
    session.state = 'up';
    this.greetBy = now + handshakeTimeoutMs;
    session.link.greet(extended ? { role, window, maxPayload, maxChannels } : undefined);
    this.flush(now);
  }

  get stats(): MuxStats {
    return this.session.stats;
  }

  /** The handshake is complete, and the link up. */
  get ready(): boolean {
    return this.session.ready && this.session.state === 'up';
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

  /** Requests and channels that the end of the batch will report about. */
  get owed(): number {
    return this.events.owed;
  }

  /** Requests that wait for `takeRequests`. */
  get requestsWaiting(): number {
    return this.events.waiting;
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
    if (session.state === 'down' || session.leaving || session.peerLeaving) return undefined;
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
    session.link.pingBy(now + settings.openTimeoutMs / 2);
    channels.set(channel.id, channel);
    session.stats.opened++;
    this.queueControl(channel);
    return channel;
  }

  /** Accept and make no more opens; `onDrained` follows when the last channel is gone. */
  drain(): void {
    if (this.session.leaving || this.session.state === 'down') return;
    this.session.leaving = true;
    this.session.link.goAwayDue = true;
    this.requestWork();
  }

  // --- the link ---

  /** Bytes from the peer; `slab` is borrowed for the call. No handler is called before `onBatchEnd`. */
  onBytes(now: Instant, slab: Slab, off: number, len: number): void {
    if (this.session.state !== 'up') return;
    this.now = now;
    this.running = true;
    this.openTimedOut = false;
    const fault = this.decoder.onBytes(now, slab, off, len);
    this.session.link.heard(now);
    if (fault !== undefined) this.goDown(fault);
    else if (this.receiver.flooded) this.goDown('refusal-flood');
  }

  /**
   * With `pacedRequests`, within a batch, which `onBatchEnd` ends: deliver the requests that wait, as long as there are any
   * and `more`, which is asked after each, says so.
   */
  takeRequests(now: Instant, more: () => boolean): void {
    this.now = now;
    this.running = true;
    this.events.takeRequests(now, more);
  }

  onBatchEnd(now: Instant): void {
    this.flush(now);
  }

  /** The writer has room again after `reserve` returned -1. */
  onWritable(now: Instant): void {
    this.flush(now);
  }

  /** The link is gone: every channel ends, and its handler is notified; many of them in later flushes. */
  onLinkDown(now: Instant): void {
    if (this.session.state === 'down') return;
    this.goDown('link-down');
    this.flush(now);
  }

  /** @returns when `onTimeout` is to be called, at the latest: it may find nothing yet */
  nextTimeout(): Instant {
    if (this.session.state !== 'up') return NEVER;
    if (!this.session.ready) return this.greetBy;
    return Math.min(this.session.link.nextTimeout(), this.unanswered.nextTimeout(this.spared));
  }

  onTimeout(now: Instant): void {
    if (this.session.state !== 'up') return;
    if (!this.session.ready) {
      if (now >= this.greetBy) this.goDown('handshake-timeout');
    } else if (!this.session.link.onTimeout(now)) this.goDown('ping-timeout');
    else this.giveUpOpens(now);
    this.flush(now);
  }

  /** Deliver pending events, then write what is due, with a single flush at the end. */
  flush(now: Instant): void {
    this.now = now;
    this.workRequested = false;
    this.running = true;
    let rounds = 0;
    do {
      this.events.deliver(now, rounds === 0);
      if (this.session.state !== 'up') break; // what is left of thousands of channels ends in later flushes
      this.write(now);
    } while (++rounds < MAX_ROUNDS && this.events.hasChannels);
    this.running = false;
    if (this.session.state === 'up') {
      this.session.writer.flush();
      this.handler.onFlushed?.();
    }
    if (this.events.pending) this.requestWork();
  }

  // --- ChannelPort ---

  writeNow(channel: Channel, bytes: Uint8Array, off: number, len: number): number {
    const { session } = this;
    if (!session.ready || !session.scheduler.mayWriteNow(channel) || session.state !== 'up')
      return 0;
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
    this.control.push(channel);
    this.requestWork();
  }

  queueEvent(channel: Channel): void {
    this.events.queue(channel);
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

  /** Opens before this wait on: the peer has said something since, which in the plain mode means nothing. */
  private get spared(): Instant {
    return this.extended ? this.session.link.heardAt : 0;
  }

  private giveUpOpens(now: Instant): void {
    const expired = this.unanswered.expire(now, this.spared);
    if (expired === 0) return;
    this.openTimedOut = true;
    this.stats.drops.add('open-unanswered', expired);
  }

  private write(now: Instant): void {
    const { session } = this;
    const { link, scheduler, stats, writer } = session;
    if (!link.write(now, writer)) {
      stats.stalls++;
      return;
    }
    if (!session.ready) return;
    if (!this.control.write(now, session) || !scheduler.run(this.onTurn, this.onServed)) {
      stats.stalls++;
    } else if (!this.control.empty) {
      // A channel whose last bytes were sent may have a Shutdown due.
      this.control.write(now, session);
    }
  }

  private readonly onTurn = (channel: Channel): void => this.events.deliverTurn(this.now, channel);

  private readonly onServed = (channel: Channel): void => {
    if (channel.shutdownWanted && channel.tx.length === 0) this.queueControl(channel);
  };

  private goDown(reason: MuxDownReason): void {
    const { session } = this;
    session.state = 'down';
    this.events.queueDown(reason);
    for (const channel of session.channels.values()) channel.end('link-down', '');
    session.channels.clear();
    session.requests.length = 0; // gone before its handler was notified
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
