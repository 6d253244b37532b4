/** A channel that the peer opened, joined to the host stream that was dialled for it. */
import { ChannelPump } from './channel-pump.ts';
import type { SocketHolder } from './dialer-sockets.ts';

export class DialedSplice extends ChannelPump implements SocketHolder {
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
