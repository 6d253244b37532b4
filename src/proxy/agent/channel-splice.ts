/** One channel of a multiplexer joined to one host stream. */
import type { Chained } from '../../base/chain.ts';
import type { Instant } from '../../base/time.ts';
import type { MuxChannel, MuxChannelHandler } from '../../mux/channel.ts';
import type { ChannelEnd } from '../../mux/reason.ts';
import { type PumpContext, StreamPump } from '../tcp/stream-pump.ts';

/** How it went: the channel's end, or undefined when the stream's side ended it. */
export type SpliceEnd = (reason: ChannelEnd | undefined, text: string) => void;

export class ChannelSplice
  extends StreamPump<MuxChannel>
  implements MuxChannelHandler, Chained<ChannelSplice>
{
  chainNext: ChannelSplice | undefined = undefined;
  chainPrev: ChannelSplice | undefined = undefined;
  private readonly onEnd: SpliceEnd;
  private reason: ChannelEnd | undefined = undefined;
  private text = '';

  constructor(context: PumpContext, onEnd: SpliceEnd) {
    super(context);
    this.onEnd = onEnd;
  }

  onOpen(): void {}

  onClosed(_now: Instant, _channel: MuxChannel, reason: ChannelEnd, text: string): void {
    this.reason = reason;
    this.text = text;
    this.onFlowClosed(reason === 'finished');
  }

  protected override onOver(): void {
    this.onEnd(this.reason, this.text);
  }
}

/** A channel needs no flush of its own: the multiplexer asks for one when it has work. */
export const NO_FLUSH: { schedule(): void } = { schedule: () => {} };
