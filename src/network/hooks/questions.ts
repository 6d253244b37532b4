/**
 * Questions to the program's hooks: each is answered once, by the hook or, where that fails or takes too long, by a denial.
 * Those that wait are a budget of shares: when it runs short, the guest that has the most waiting is denied its oldest.
 */
import { Counters } from '../../base/counters.ts';
import { reportFault } from '../../base/faults.ts';
import type { Log } from '../../base/log.ts';
import { type Account, Budget } from '../../base/shares/budget.ts';
import { Owner } from '../../base/shares/owner.ts';

export const QUESTIONS_MAX = 1024;

export type HookName = 'onFlow' | 'onDns' | 'onPublishedClient';

/** `HOOK-asked`, and what went wrong: it threw or answered nonsense, answered late, gave way. */
export type HookCount = `${HookName}-${'asked' | 'failed' | 'late' | 'evicted'}`;

export interface Question<B> {
  readonly hook: HookName;
  /** Undefined: nobody that we know. */
  readonly owner: Owner | undefined;
  readonly call: () => unknown;
  /** @returns undefined: it is no answer; what it throws is why */
  readonly read: (answer: unknown) => B | undefined;
  readonly denied: (why: string) => B;
  /** Called once, maybe before {@link Questions.ask} returns. */
  readonly onAnswer: (answer: B) => void;
  /** Of an answer that comes when nobody waits for it any more. */
  readonly discard?: ((answer: B) => void) | undefined;
}

class Waiting {
  readonly share: Account;
  readonly finishers = new Set<(why: string) => void>();

  constructor(owner: Owner, budget: Budget) {
    this.share = owner.share(budget, { evict: () => this.evict(), recycles: true });
  }

  private evict(): boolean {
    for (const finish of this.finishers) {
      finish('too many questions wait');
      return true;
    }
    return false;
  }
}

export class Questions {
  readonly counts: Counters<HookCount> = new Counters();
  readonly budget: Budget;
  private readonly log: Log;
  private readonly timeoutMs: number;
  private readonly byOwner = new WeakMap<Owner, Waiting>();
  private readonly nobody = new Owner('clients');
  private readonly timers = new Set<NodeJS.Timeout>();
  private isClosed = false;

  constructor(log: Log, timeoutMs: number, limit: number = QUESTIONS_MAX) {
    this.log = log;
    this.timeoutMs = timeoutMs;
    this.budget = new Budget('hook-questions', limit);
  }

  ask<B>(question: Question<B>): void {
    const { hook, call, onAnswer } = question;
    this.counts.add(`${hook}-asked`);
    let answer: unknown;
    let isLater: boolean;
    try {
      answer = call();
      isLater = isThenable(answer);
    } catch (error) {
      onAnswer(this.failed(question, error));
      return;
    }
    if (isLater) this.wait(question, Promise.resolve(answer));
    else onAnswer(this.read(question, answer));
  }

  /** Nothing is answered any more. */
  close(): void {
    this.isClosed = true;
    for (const timer of this.timers) clearTimeout(timer);
    this.timers.clear();
  }

  private wait<B>(question: Question<B>, promise: Promise<unknown>): void {
    const { hook, owner = this.nobody, denied, onAnswer } = question;
    const waiting = this.of(owner);
    let isOver = false;
    const finish = (answer: B): void => {
      isOver = true;
      clearTimeout(timer);
      this.timers.delete(timer);
      if (waiting.finishers.delete(evict)) waiting.share.give();
      if (this.isClosed) return;
      try {
        onAnswer(answer);
      } catch (fault) {
        reportFault('hook', fault);
      }
    };
    const evict = (why: string): void => {
      this.counts.add(`${hook}-evicted`);
      finish(denied(`${hook}: ${why}`));
    };
    const timer = setTimeout(() => {
      this.counts.add(`${hook}-late`);
      this.log.warn({ hook, timeoutMs: this.timeoutMs }, 'a hook has not answered in time: denied');
      finish(denied(`${hook} has not answered within ${this.timeoutMs} ms`));
    }, this.timeoutMs);
    timer.unref();
    this.timers.add(timer);
    promise.then(
      (answer) => {
        if (!isOver) finish(this.read(question, answer));
        else this.discard(question, answer);
      },
      (error: unknown) => {
        if (!isOver) finish(this.failed(question, error));
      },
    );
    if (waiting.share.take()) waiting.finishers.add(evict);
    else evict('too many questions wait');
  }

  private of(owner: Owner): Waiting {
    const known = this.byOwner.get(owner);
    if (known !== undefined) return known;
    const made = new Waiting(owner, this.budget);
    this.byOwner.set(owner, made);
    return made;
  }

  /** An answer may be an object whose members are functions of the program. */
  private read<B>(question: Question<B>, answer: unknown): B {
    try {
      const read = question.read(answer);
      return read ?? this.failed(question, new TypeError(`it answered ${shown(answer)}`));
    } catch (error) {
      return this.failed(question, error);
    }
  }

  private discard<B>({ hook, read, discard }: Question<B>, answer: unknown): void {
    try {
      const late = discard && read(answer);
      if (late !== undefined) discard?.(late);
    } catch (error) {
      this.log.error({ hook, err: error }, 'a hook has failed, and was late');
    }
  }

  private failed<B>({ hook, denied }: Question<B>, error: unknown): B {
    this.counts.add(`${hook}-failed`);
    this.log.error({ hook, err: error }, 'a hook has failed: denied');
    return denied(`${hook} has failed`); // no more: guests read it
  }
}

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' &&
  value !== null &&
  'then' in value &&
  typeof value.then === 'function';

const shown = (value: unknown): string =>
  typeof value === 'string' ? JSON.stringify(value.slice(0, 40)) : typeof value;
