/**
 * How much each channel may receive ahead of its reader, and all of them together.
 *
 * A window starts small and doubles, up to its maximum, when half of it was read within one
 * round-trip time: then the sender is (or soon will be) waiting for credit, not for data. A reader
 * that has stalled therefore never gets more than it had. When the windows promised come near the
 * budget they stop growing and halve as they are renewed. Growth is for the extended mode: VPNKit's
 * window is 65,536 for good.
 */
import type { Instant } from '../base/time.ts';
import type { Channel } from './channel.ts';
import type { MuxSettings } from './options.ts';
import type { MuxStats } from './stats.ts';

/** Below this the event loop, not the link, decides how long a round trip takes. */
const LEAST_RTT_MS = 2;

export class WindowBudget {
  /** Bytes that peers may send before any are read. */
  promised = 0;
  private readonly settings: MuxSettings;
  private readonly stats: MuxStats;

  constructor(settings: MuxSettings, stats: MuxStats) {
    this.settings = settings;
    this.stats = stats;
  }

  /** @returns false when the budget has no room for another channel */
  admit(channel: Channel): boolean {
    const { window, memoryBudget } = this.settings;
    if (this.promised + window > memoryBudget) return false;
    this.promised += window;
    channel.rxWindow = window;
    return true;
  }

  retire(channel: Channel): void {
    this.promised -= channel.rxWindow;
    channel.rxWindow = 0;
  }

  /** Renew a channel's window. @returns its new limit, counted since Open; never less than before */
  renew(now: Instant, channel: Channel, extended: boolean, rttMs: number): number {
    const { window, maxWindow, memoryBudget } = this.settings;
    const size = channel.rxWindow;
    const ample = memoryBudget - (memoryBudget >> 2);
    if (extended) {
      if (this.promised > ample) {
        if (size > window) this.resize(channel, size >> 1);
      } else if (
        size < maxWindow &&
        channel.rxConsumed > 0 &&
        this.promised + size <= ample &&
        now - channel.windowAnnouncedAt <= Math.max(rttMs, LEAST_RTT_MS)
      ) {
        this.resize(channel, Math.min(size * 2, maxWindow));
        this.stats.windowsGrown++;
      }
    }
    channel.windowAnnouncedAt = now;
    return Math.max(channel.rxAllowed, channel.rxConsumed + channel.rxWindow);
  }

  private resize(channel: Channel, size: number): void {
    this.promised += size - channel.rxWindow;
    channel.rxWindow = size;
  }
}
