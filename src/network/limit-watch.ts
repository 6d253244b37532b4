/**
 * Budgets that a guest notices when they run short: it cannot connect, which its user sees as a network that fails. So
 * the log says it once, and the health does until {@link RECENT_MS} have passed without.
 */
import type { Log } from '../base/log.ts';
import type { Budget } from '../base/shares/budget.ts';
import type { Instant } from '../base/time.ts';

export const RECENT_MS = 60_000;

export class LimitWatch {
  private readonly budgets: readonly Budget[];
  private readonly log: Log;
  private seen = 0;
  private lastAt: Instant = Number.NEGATIVE_INFINITY;

  constructor(budgets: readonly Budget[], log: Log) {
    this.budgets = budgets;
    this.log = log;
  }

  /** To be called after work. */
  check(now: Instant): void {
    let times = 0;
    for (const { guests } of this.budgets) times += guests.refused + guests.evicted;
    if (times === this.seen) return;
    this.seen = times;
    const isKnown = this.problem(now) !== undefined;
    this.lastAt = now;
    if (isKnown) return;
    this.log.warn({ limits: this.limits }, 'guests ask for more connections than there may be');
  }

  /** A sentence, while some were refused, or ended for others, recently. */
  problem(now: Instant): string | undefined {
    if (now - this.lastAt > RECENT_MS) return undefined;
    const limits = Object.entries(this.limits).map(([name, whole]) => `${whole} ${name}`);
    return `Guests ask for more connections than there may be (${limits.join(', ')}); see whose in "hawser status". Raise the limit of open files (ulimit -n), if it is less than 65536.`;
  }

  private get limits(): Record<string, number> {
    return Object.fromEntries(this.budgets.map(({ name, whole }) => [name, whole]));
  }
}
