import { Chain } from '../base/chain.ts';
import { type Instant, NEVER } from '../base/time.ts';
import type { Channel } from './channel.ts';

/**
 * Our Opens that the peer has not answered, oldest first.
 *
 * VPNKit's dialect has no ping: a peer that hangs is detected by the Opens that it leaves unanswered.
 */
export class UnansweredOpens {
  private readonly channels = new Chain<Channel>();
  private readonly timeoutMs: number;

  constructor(timeoutMs: number) {
    this.timeoutMs = timeoutMs;
  }

  add(channel: Channel): void {
    this.channels.add(channel);
  }

  delete(channel: Channel): void {
    this.channels.delete(channel);
  }

  nextTimeout(): Instant {
    const { first } = this.channels;
    return first === undefined ? NEVER : first.openedAt + this.timeoutMs;
  }

  /** @returns how many channels have failed */
  expire(now: Instant): number {
    let expired = 0;
    for (const channel of this.channels) {
      if (channel.openedAt + this.timeoutMs > now) break;
      this.channels.delete(channel);
      channel.fail(now, 'timed-out');
      expired++;
    }
    return expired;
  }
}
