import type { Instant } from '../base/time.ts';
import type { Destination, IpEndpoint } from './destination.ts';
import type { MuxChannel, MuxChannelHandler } from './mux-channel.ts';
import type { RefusalReason } from './reason.ts';

/** The channel that the peer wants to open. */
interface RequestedChannel extends MuxChannel {
  accept(handler: MuxChannelHandler): void;
}

/** An Open of the peer, held until the destination has answered or failed. */
export class ChannelRequest {
  /** Set by the owner: the opener gave up, or the link went, before an answer. */
  onCancelled: (() => void) | undefined = undefined;
  private readonly channel: RequestedChannel;
  private answered = false;

  constructor(channel: RequestedChannel) {
    this.channel = channel;
  }

  get destination(): Destination {
    return this.channel.destination;
  }

  /** The client being served, where the peer said. */
  get client(): IpEndpoint | undefined {
    return this.channel.client;
  }

  /** @returns undefined when the opener has given up in the meantime */
  accept(_now: Instant, handler: MuxChannelHandler): MuxChannel | undefined {
    if (this.answered) return undefined;
    this.answered = true;
    this.channel.accept(handler);
    return this.channel;
  }

  refuse(now: Instant, reason: RefusalReason, text = ''): void {
    if (this.answered) return;
    this.answered = true;
    this.channel.abort(now, reason, text);
  }

  /** For the multiplexer. */
  cancel(): void {
    if (this.answered) return;
    this.answered = true;
    this.onCancelled?.();
  }
}
