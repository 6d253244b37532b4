/** One channel that we opened, joined to the host stream of a client. */
import type { Chained } from '../../base/chain.ts';
import type { Flow } from '../flows/flow.ts';
import { ChannelPump } from './channel-pump.ts';

export class ChannelSplice extends ChannelPump implements Chained<ChannelSplice> {
  chainNext: ChannelSplice | undefined = undefined;
  chainPrev: ChannelSplice | undefined = undefined;
  /** In the book. */
  entry: Flow | undefined = undefined;
}
