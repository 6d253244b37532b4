/**
 * Budgets that a guest notices when they run short: it cannot connect, which its user sees as a network that fails. So
 * the log says it once, and the health does until {@link RECENT_MS} have passed without. Of every budget there are events,
 * of each at most one in {@link LOOK_MS}.
 */

import type { Log } from '../base/log.ts';
import type { Account, Budget } from '../base/shares/budget.ts';
import type { Instant } from '../base/time.ts';
import type { LimitEvent } from '../control/events/network-events.ts';

export const RECENT_MS = 60_000;
export const LOOK_MS = 1_000;

export type OnLimit = (event: LimitEvent) => void;

type Hits = Pick<Account, 'refused' | 'evicted'>;

const NO_HITS: Hits = { refused: 0, evicted: 0 };

export class LimitWatch {
  private readonly budgets: readonly Budget[];
  private readonly log: Log;
  private readonly lookMs: number;
  private seen = 0;
  private lastAt: Instant = Number.NEGATIVE_INFINITY;
  /** Others that are looked at, and what was seen of each. */
  private watched: readonly Budget[] = [];
  private readonly before = new Map<Budget, Hits>();
  private onLimit: OnLimit = () => {};
  private timer: NodeJS.Timeout | undefined = undefined;

  constructor(budgets: readonly Budget[], log: Log, lookMs: number = LOOK_MS) {
    this.lookMs = lookMs;
    this.budgets = budgets;
    this.log = log;
  }

  /** Report when one of `budgets` has refused somebody, or ended something for others. */
  watch(budgets: readonly Budget[], onLimit: OnLimit): void {
    this.watched = budgets;
    this.onLimit = onLimit;
  }

  close(): void {
    clearTimeout(this.timer);
  }

  /** To be called after work. */
  check(now: Instant): void {
    if (this.watched.length > 0) this.timer ??= setTimeout(this.look, this.lookMs).unref();
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

  private readonly look = (): void => {
    this.timer = undefined;
    for (const budget of this.watched) {
      const { name, whole, held, guests } = budget;
      const { refused, evicted } = this.before.get(budget) ?? NO_HITS;
      if (guests.refused === refused && guests.evicted === evicted) continue;
      this.before.set(budget, { refused: guests.refused, evicted: guests.evicted });
      const hits = { refused: guests.refused - refused, evicted: guests.evicted - evicted };
      this.onLimit({ kind: 'hit', limit: { name, whole, held, ...hits } });
    }
  };

  private get limits(): Record<string, number> {
    return Object.fromEntries(this.budgets.map(({ name, whole }) => [name, whole]));
  }
}
