/** A channel of a multiplexer joined to a host stream, as a flow of the book. */
import type { MuxChannel } from '../../mux/mux-channel.ts';
import type { ChannelEnd } from '../../mux/reason.ts';
import type { FlowFacts, FlowSource } from '../flows/flow.ts';
import { type PumpContext, StreamPump, type WhenOver } from '../stream/stream-pump.ts';
import { type ChannelOrigin, channelFacts } from './channel-facts.ts';

export abstract class ChannelPump extends StreamPump<MuxChannel, ChannelEnd> implements FlowSource {
  private readonly origin: ChannelOrigin;

  constructor(context: PumpContext, origin: ChannelOrigin, whenOver: WhenOver<ChannelEnd>) {
    super(context, whenOver);
    this.origin = origin;
  }

  describeFlow(): FlowFacts {
    return channelFacts(this.origin, this.flow, this.lastActive);
  }

  endFlow(): void {
    this.abort();
  }
}
