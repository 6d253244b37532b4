/**
 * The table of connections, whose size is a part of the descriptors that the process may open: a guest that finds no
 * room in it cannot connect, which its user sees as a network that fails. So the log says it once, and the health does until
 * {@link RECENT_MS} have passed without.
 */
import type { Counters } from '../base/counters.ts';
import type { Log } from '../base/log.ts';
import type { Instant } from '../base/time.ts';
import type { StackDrop } from '../stack/drops.ts';

export const RECENT_MS = 60_000;

export class LimitWatch {
  private readonly drops: Counters<StackDrop>;
  private readonly connections: number;
  private readonly log: Log;
  private seen = 0;
  private lastAt: Instant = Number.NEGATIVE_INFINITY;

  constructor(drops: Counters<StackDrop>, connections: number, log: Log) {
    this.drops = drops;
    this.connections = connections;
    this.log = log;
  }

  /** To be called after work. */
  check(now: Instant): void {
    const { drops } = this;
    const refused = drops.get('tcp-connection-table-full') + drops.get('tcp-connection-evicted');
    if (refused === this.seen) return;
    this.seen = refused;
    const isKnown = this.problem(now) !== undefined;
    this.lastAt = now;
    if (isKnown) return;
    const { connections } = this;
    this.log.warn({ connections }, 'connection refused: guests have as many as there may be');
  }

  /** A sentence, while connections were refused recently. */
  problem(now: Instant): string | undefined {
    if (now - this.lastAt > RECENT_MS) return undefined;
    return `Guests' connections are refused: there may be ${this.connections} of them. Raise the limit of open files (ulimit -n), if it is less than 65536.`;
  }
}
