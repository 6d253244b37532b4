/**
 * Handles the peer's frames. No handler is called, and nothing is written, at once: flags and events
 * are set, and handled at the end of the batch. A frame that breaks a rule ends its own channel
 * at most (VPNKit: the whole link, or worse, a stream out of sync); each is counted by its name.
 */
import type { Instant } from '../base/time.ts';
import { Channel, type ChannelPort } from './channel.ts';
import type { FrameSink } from './decoder.ts';
import { type IpEndpoint, parseDestination, parseEndpoint } from './destination.ts';
import * as frame from './frame.ts';
import { parseOffer } from './handshake.ts';
import { type RefusalReason, reasonOfCode } from './reason.ts';
import type { Session } from './session.ts';
import type { MuxDrop } from './stats.ts';

const MULTIPLEXED = 2;

export class Receiver implements FrameSink {
  /** The peer opens channels without reading the answers. */
  flooded = false;
  private readonly session: Session;
  private readonly port: ChannelPort;
  /** Destination of the payload of the current Data frame; undefined discards it. */
  private target: Channel | undefined = undefined;

  constructor(session: Session, port: ChannelPort) {
    this.session = session;
    this.port = port;
  }

  onHandshake(now: Instant, view: DataView, off: number, len: number): void {
    const { session } = this;
    const { role, extended, maxPayload } = session.settings;
    const offer = extended ? parseOffer(view, off, len) : undefined;
    session.ready = true;
    session.readyPending = true;
    if (offer !== undefined && offer.role !== role) {
      session.link.startPings(now);
      session.peerWindow = offer.window;
      session.peerMaxChannels = Math.max(offer.maxChannels, 1);
      session.scheduler.maxPayload = Math.min(offer.maxPayload, maxPayload);
    }
    for (const channel of session.channels.values()) {
      channel.txAllowed = session.peerWindow;
      channel.openedAt = now;
      this.port.queueData(channel);
    }
  }

  onHeader(now: Instant, view: DataView, off: number, headerLen: number): number {
    this.session.stats.framesReceived++;
    const id = frame.frameId(view, off);
    switch (frame.frameCommand(view, off)) {
      case frame.DATA:
        return this.onData(now, id, frame.payloadLen(view, off));
      case frame.WINDOW:
        this.onWindow(id, frame.windowLimit(view, off));
        return 0;
      case frame.OPEN:
        this.onOpen(now, id, view, off + frame.FRAME_HEADER_LEN, off + headerLen);
        return 0;
      case frame.SHUTDOWN:
        this.onShutdown(id);
        return 0;
      case frame.CLOSE:
        this.onClose(id);
        return 0;
      default:
        this.onExtended(now, id, view, off, headerLen);
        return 0;
    }
  }

  onPayload(now: Instant, bytes: Uint8Array, off: number, len: number): void {
    const channel = this.target;
    this.session.stats.bytesReceived += len;
    if (channel === undefined || channel.over || channel.ending !== undefined) return;
    if (channel.take(bytes, off, len)) return;
    this.drop('no-memory');
    channel.fail(now, 'no-memory');
  }

  private onData(now: Instant, id: number, len: number): number {
    const { session } = this;
    const channel = session.channels.get(id);
    this.target = undefined;
    if (channel === undefined) this.drop('data-unknown-channel');
    else if (channel.over || channel.ending !== undefined || channel.closeReceived) {
      this.drop('data-after-close');
    } else if (channel.rxEnded) this.drop('data-after-shutdown');
    else if (channel.rxTotal + len > channel.rxAllowed) {
      this.drop('window-overrun');
      channel.fail(now, 'window-overrun');
    } else if (session.link.extended && len > session.settings.maxPayload) {
      this.drop('payload-too-long');
      channel.fail(now, 'protocol');
    } else {
      channel.rxTotal += len;
      channel.grant();
      this.target = channel;
    }
    return len;
  }

  private onWindow(id: number, limit: number): void {
    const channel = this.session.channels.get(id);
    if (channel === undefined || channel.closeReceived) {
      this.drop('stray-window');
      return;
    }
    channel.txAllowed = limit; // a smaller limit is honoured too: the sender waits, as VPNKit's does
    if (!this.session.link.extended) channel.grant();
    if (channel.sendable) this.session.scheduler.enqueue(channel, false);
  }

  private onShutdown(id: number): void {
    const channel = this.session.channels.get(id);
    if (channel === undefined || channel.rxEnded) {
      this.drop('stray-shutdown');
      return;
    }
    channel.grant();
    channel.onEnd();
    this.port.queueControl(channel); // our Close may be due
  }

  private onClose(id: number): void {
    const channel = this.session.channels.get(id);
    if (channel === undefined || channel.closeReceived) {
      this.drop('stray-close');
      return;
    }
    channel.onClose(this.session.link.extended);
    this.freeIfClosed(channel);
  }

  private onOpen(now: Instant, id: number, view: DataView, off: number, end: number): void {
    const { session } = this;
    const { link, settings } = session;
    const existing = session.channels.get(id);
    if (existing !== undefined) {
      if (!existing.closeSent || !existing.over) {
        // VPNKit replaces the channel silently, and its user is lost.
        this.drop('duplicate-open');
        existing.fail(now, 'protocol');
        return;
      }
      // We have closed, and the peer reuses the id: for the peer the old channel is gone.
      session.channels.delete(id);
    }
    if (view.getUint8(off) !== MULTIPLEXED) {
      this.refuse(id, 'dedicated-open', 'protocol');
      return;
    }
    const destination = parseDestination(view, off + 1, end);
    if (destination === undefined) this.refuse(id, 'bad-destination', 'protocol');
    else if (session.leaving) this.refuse(id, 'going-away', 'going-away');
    else if (session.channels.size >= settings.maxChannels) {
      this.refuse(id, 'channel-limit', 'limit');
    } else {
      const client = link.extended ? clientOf(view, destination.next, end) : undefined;
      const channel = new Channel(this.port, id, destination.value, client, false);
      if (!session.budget.admit(channel)) {
        this.refuse(id, 'memory-limit', 'no-memory');
        return;
      }
      if (link.extended) channel.rxAllowed = channel.rxWindow;
      channel.txAllowed = session.peerWindow;
      session.channels.set(id, channel);
      session.requests.push(channel);
      session.stats.accepted++;
    }
  }

  private onExtended(
    now: Instant,
    id: number,
    view: DataView,
    off: number,
    headerLen: number,
  ): void {
    const { session } = this;
    const command = frame.frameCommand(view, off);
    if (command < frame.ACCEPT || command > frame.GO_AWAY) this.drop('unknown-command');
    else if (!session.link.extended) this.drop('extended-in-plain-mode');
    else if (command === frame.PING) session.link.onPing(frame.pingToken(view, off));
    else if (command === frame.PONG) session.link.onPong(now, frame.pingToken(view, off));
    else if (command === frame.GO_AWAY) {
      session.goAwayPending ||= !session.peerLeaving;
      session.peerLeaving = true;
    } else if (command === frame.ACCEPT) this.onAccept(id);
    else this.onReset(id, frame.resetCode(view, off), frame.resetText(view, off, headerLen));
  }

  private onAccept(id: number): void {
    const channel = this.session.channels.get(id);
    if (channel === undefined || channel.closeReceived) this.drop('stray-accept');
    else channel.grant();
  }

  private onReset(id: number, code: number, text: string): void {
    const channel = this.session.channels.get(id);
    if (channel === undefined || channel.closeReceived) {
      this.drop('stray-close');
      return;
    }
    channel.onReset(reasonOfCode(code), text);
    this.freeIfClosed(channel);
  }

  private freeIfClosed(channel: Channel): void {
    if (channel.closeSent) this.session.channels.delete(channel.id);
  }

  private refuse(id: number, drop: MuxDrop, reason: RefusalReason): void {
    this.drop(drop);
    if (this.session.link.refuse(id, reason)) return;
    this.drop('refusal-flood');
    this.flooded = true;
  }

  private drop(reason: MuxDrop): void {
    this.session.stats.drops.add(reason);
  }
}

function clientOf(view: DataView, off: number, end: number): IpEndpoint | undefined {
  const client = parseEndpoint(view, off, end)?.value;
  return client === undefined || client.port === 0 ? undefined : client;
}
