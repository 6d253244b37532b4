/** A channel that the peer opened, joined to the host stream that was dialled for it. */
import type { MuxChannel } from '../../mux/mux-channel.ts';
import type { ChannelEnd } from '../../mux/reason.ts';
import { StreamPump } from '../stream/stream-pump.ts';
import type { SocketHolder } from './dialer-sockets.ts';

export class DialedSplice extends StreamPump<MuxChannel, ChannelEnd> implements SocketHolder {
  chainNext: SocketHolder | undefined = undefined;
  chainPrev: SocketHolder | undefined = undefined;
  activitySeen = 0;

  get activity(): number {
    return this.lastActive;
  }

  evict(): void {
    this.abort();
  }
}
