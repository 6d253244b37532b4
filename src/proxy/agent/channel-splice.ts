/** One channel of a multiplexer joined to one host stream. */
import type { Chained } from '../../base/chain.ts';
import type { MuxChannel } from '../../mux/mux-channel.ts';
import type { ChannelEnd } from '../../mux/reason.ts';
import { StreamPump } from '../stream/stream-pump.ts';

export class ChannelSplice
  extends StreamPump<MuxChannel, ChannelEnd>
  implements Chained<ChannelSplice>
{
  chainNext: ChannelSplice | undefined = undefined;
  chainPrev: ChannelSplice | undefined = undefined;
}
