import { Chain } from '../base/chain.ts';
import { type Instant, NEVER } from '../base/time.ts';
import type { Channel } from './channel.ts';

/**
 * Our Opens that the peer has not answered, oldest first.
 *
 * VPNKit's dialect has no ping: a peer that hangs is detected by the Opens that it leaves unanswered. In the extended mode a
 * peer that is alive answers a Ping meanwhile, and may take its time to dial; one that says nothing at all hangs, or is
 * stopped: who waits for it is told long before the link is given up.
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

  /**
   * @param heardAt Opens before that are spared: the peer has said something since
   * @returns no later than the first that is not spared fails
   */
  nextTimeout(heardAt: Instant): Instant {
    const { first, last } = this.channels;
    if (first === undefined || last === undefined || last.openedAt < heardAt) return NEVER;
    return Math.max(first.openedAt, heardAt) + this.timeoutMs;
  }

  /** @returns how many channels have failed */
  expire(now: Instant, heardAt: Instant): number {
    let expired = 0;
    for (const channel of this.channels) {
      if (channel.openedAt + this.timeoutMs > now) break;
      if (channel.openedAt < heardAt) continue;
      this.channels.delete(channel);
      channel.fail(now, 'timed-out');
      expired++;
    }
    return expired;
  }
}
