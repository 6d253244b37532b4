import type { Instant } from '../base/time.ts';
import type { Channel } from './channel.ts';
import { writeControl } from './control-writer.ts';
import type { Session } from './session.ts';

/** Channels with a control frame due, each at most once, in the order in which it became due. */
export class ControlQueue {
  private queued: Channel[] = [];
  private writing: Channel[] = [];

  get empty(): boolean {
    return this.queued.length === 0;
  }

  push(channel: Channel): void {
    if (channel.inControl) return;
    channel.inControl = true;
    this.queued.push(channel);
  }

  /** @returns false when the link has no room; what is left stays queued */
  write(now: Instant, session: Session): boolean {
    const list = this.queued;
    this.queued = this.writing;
    this.writing = list;
    let done = 0;
    for (const channel of list) {
      if (!writeControl(now, session, channel)) break;
      channel.inControl = false;
      done++;
    }
    const all = done === list.length;
    if (!all) this.queued.push(...list.slice(done));
    list.length = 0;
    return all;
  }
}
