/** A bounded set whose members are forgotten after a while, and before that when there are too many: the oldest first. */
import type { Instant } from './time.ts';

export class ExpiringSet {
  private readonly limit: number;
  private readonly lastsMs: number;
  /** When each ends, the oldest first. */
  private readonly until = new Map<string, Instant>();

  constructor(limit: number, lastsMs: number) {
    this.limit = limit;
    this.lastsMs = lastsMs;
  }

  get isEmpty(): boolean {
    return this.until.size === 0;
  }

  /** From now on for the whole time, also where it was a member before. */
  add(now: Instant, member: string): void {
    this.until.delete(member);
    if (this.until.size >= this.limit) {
      for (const oldest of this.until.keys()) {
        this.until.delete(oldest);
        break;
      }
    }
    this.until.set(member, now + this.lastsMs);
  }

  delete(member: string): void {
    this.until.delete(member);
  }

  has(now: Instant, member: string): boolean {
    return now < (this.until.get(member) ?? now);
  }
}
