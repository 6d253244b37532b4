/**
 * Calls the handlers of a multiplexer and of its channels, at the end of a batch: first about the link, then
 * about requests, then about channels in the order in which they got something to report.
 *
 * A channel whose handler throws is reset, and the others go on. The end of the link is reported after the end of
 * every channel.
 */
import { reportFault } from '../base/faults.ts';
import type { Instant } from '../base/time.ts';
import { type Channel, EVENT_END, EVENT_OPEN, EVENT_READABLE, EVENT_WRITABLE } from './channel.ts';
import type { MuxDownReason, MuxHandler } from './mux-handler.ts';
import { ChannelRequest } from './request.ts';
import type { Session } from './session.ts';

const FAULT = 'an internal error';
/** Of one flush, where they are not paced: each has a connection made, which costs 50 to 700 us. The next flush goes on. */
const REQUESTS_AT_ONCE = 16;
/** Of one flush once the link is gone: each has a connection closed. */
const ENDS_AT_ONCE = 32;

export class EventDelivery {
  private readonly session: Session;
  private readonly handler: MuxHandler;
  /** Channels with pending events, and those whose events are being delivered. */
  private queued: Channel[] = [];
  private delivering: Channel[] = [];
  private downReason: MuxDownReason | undefined = undefined;
  private drainedNotified = false;

  constructor(session: Session, handler: MuxHandler) {
    this.session = session;
    this.handler = handler;
  }

  /** Requests and channels to report about. */
  get owed(): number {
    return this.queued.length + this.session.requests.length;
  }

  /** Whether another flush would deliver something. */
  get pending(): boolean {
    return this.queued.length > 0 || (this.session.requests.length > 0 && !this.isPaced);
  }

  /** Requests that wait for {@link takeRequests}. */
  get waiting(): number {
    return this.isPaced ? this.session.requests.length : 0;
  }

  /** Whether channels, rather than requests, have something to report. */
  get hasChannels(): boolean {
    return this.queued.length > 0;
  }

  queue(channel: Channel): void {
    if (channel.inEvents) return;
    channel.inEvents = true;
    this.queued.push(channel);
  }

  /** Report the end of the link, once no other event is pending. */
  queueDown(reason: MuxDownReason): void {
    this.downReason = reason;
  }

  /** @param isFirst of the flush */
  deliver(now: Instant, isFirst: boolean): void {
    const { handler, session } = this;
    this.deliverReady(now);
    if (isFirst && !this.isPaced) this.deliverRequests(now);
    this.deliverChannels(now);
    if (session.goAwayPending) {
      session.goAwayPending = false;
      handler.onGoAway(now);
    }
    if (session.leaving && session.channels.size === 0 && !this.drainedNotified) {
      this.drainedNotified = true;
      if (session.state === 'up') handler.onDrained(now);
    }
    const { downReason } = this;
    if (downReason === undefined || this.pending) return;
    this.downReason = undefined;
    handler.onDown(now, downReason);
  }

  /** Ask the application of `channel` for bytes: its turn to send has begun. */
  deliverTurn(now: Instant, channel: Channel): void {
    if (channel.over || channel.ending !== undefined) return;
    try {
      channel.handler?.onWritable(now, channel);
    } catch (fault) {
      onFault(now, channel, fault);
    }
  }

  /** Deliver one request after the other, as long as `more` says so. */
  takeRequests(now: Instant, more: () => boolean): void {
    const { requests } = this.session;
    this.deliverReady(now);
    do {
      const channel = requests.shift();
      if (channel === undefined) return;
      this.deliverRequest(now, channel);
    } while (more());
  }

  private get isPaced(): boolean {
    return this.session.settings.pacedRequests;
  }

  private deliverReady(now: Instant): void {
    const { session } = this;
    if (!session.readyPending) return;
    session.readyPending = false;
    this.handler.onReady(now, session.link.extended);
  }

  private deliverRequests(now: Instant): void {
    const { requests } = this.session;
    for (let left = Math.min(requests.length, REQUESTS_AT_ONCE); left > 0; left--) {
      const channel = requests.shift();
      if (channel !== undefined) this.deliverRequest(now, channel);
    }
  }

  private deliverRequest(now: Instant, channel: Channel): void {
    if (channel.ending !== undefined) return; // gone before its handler was notified
    channel.request = new ChannelRequest(channel);
    try {
      this.handler.onRequest(now, channel.request);
    } catch (fault) {
      onFault(now, channel, fault);
    }
  }

  private deliverChannels(now: Instant): void {
    if (this.session.state === 'down') {
      this.deliverAll(now, this.queued.splice(0, ENDS_AT_ONCE));
      return;
    }
    const list = this.queued;
    this.queued = this.delivering;
    this.delivering = list;
    this.deliverAll(now, list);
  }

  /** Leaves `list` empty. Where a handler's exception is its caller's, the rest is delivered by the next flush. */
  private deliverAll(now: Instant, list: Channel[]): void {
    let delivered = 0;
    try {
      for (const channel of list) {
        delivered++;
        deliverTo(now, channel);
      }
    } finally {
      if (delivered < list.length) this.queued.push(...list.slice(delivered));
      list.length = 0;
    }
  }
}

function deliverTo(now: Instant, channel: Channel): void {
  channel.inEvents = false;
  try {
    deliverEvents(now, channel);
  } catch (fault) {
    onFault(now, channel, fault);
  }
}

function deliverEvents(now: Instant, channel: Channel): void {
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

/** A handler of the channel has thrown. @throws `fault` where nobody watches, once the channel has ended */
function onFault(now: Instant, channel: Channel, fault: unknown): void {
  try {
    reportFault('channel', fault);
  } finally {
    endFaulted(now, channel);
  }
}

function endFaulted(now: Instant, channel: Channel): void {
  if (isOver(channel)) {
    channel.retire(); // it was the end that it did not take
    return;
  }
  try {
    channel.handler?.onClosed(now, channel, 'protocol', FAULT);
  } catch (again) {
    reportFault('channel', again);
  } finally {
    channel.abort(now, 'protocol', FAULT);
  }
}

/** Reads the field again: a callback may have ended the channel. */
const isOver = (channel: Channel): boolean => channel.over;
