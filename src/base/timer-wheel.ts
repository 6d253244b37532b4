/**
 * A hashed timer wheel with lazy entries: one for all timers of a stack.
 *
 * Theory of operation
 * -------------------
 * An entry is filed in the slot of its deadline. Moving the deadline later is one store: the entry
 * stays where it is, and is filed again when its old slot comes up. Moving it earlier files it
 * again at once. A deadline beyond one turn of the wheel waits in its slot for further turns. Slots
 * with entries are marked in a bit map, so that the next one is found in a few steps.
 */
import { reportFault } from './faults.ts';
import { type Instant, NEVER } from './time.ts';
import { NO_LIMIT, type TurnLimit } from './turn.ts';
import { WorkList } from './work-list.ts';

const SLOTS = 512;
const TICK_MS = 4;
/** Timers served between two questions whether there is time for more. */
const SERVED_PER_LOOK = 8;

/** Base class of objects with a deadline. Only the wheel writes the fields below. */
export abstract class Timer {
  /** When `onDeadline` is due; `NEVER` when not at all. Set it with `TimerWheel.set`. */
  deadline: Instant = NEVER;
  filedSlot = -1;
  filedAt: Instant = NEVER;
  wheelNext: Timer | undefined = undefined;
  wheelPrev: Timer | undefined = undefined;

  /** The deadline has passed. The timer is off the wheel; it may be set again. */
  abstract onDeadline(now: Instant): void;
}

export class TimerWheel {
  private readonly heads: (Timer | undefined)[] = new Array<Timer | undefined>(SLOTS).fill(
    undefined,
  );
  private readonly marks = new Int32Array(SLOTS / 32);
  /** Ticks up to and including this one have been served. */
  private served: number;
  /** Of the slots that came up, in the order of their service. */
  private readonly due: WorkList<Timer> = new WorkList<Timer>();

  constructor(now: Instant) {
    this.served = Math.floor(now / TICK_MS);
  }

  /** Have `timer.onDeadline` called at `at`, or not at all when it is `NEVER`. */
  set(timer: Timer, at: Instant): void {
    timer.deadline = at;
    if (at >= timer.filedAt && timer.filedSlot >= 0) return; // lazy: checked when its slot comes up
    if (timer.filedSlot >= 0) this.unfile(timer);
    if (at !== NEVER) this.file(timer);
  }

  /** Take the timer off the wheel for good. */
  cancel(timer: Timer): void {
    timer.deadline = NEVER;
    if (timer.filedSlot >= 0) this.unfile(timer);
  }

  /** When `advance` has an entry to check; possibly too early, never too late. */
  next(): Instant {
    if (this.due.length > 0) return this.served * TICK_MS;
    const from = this.served + 1;
    for (let step = 0; step <= SLOTS; ) {
      const slot = (from + step) & (SLOTS - 1);
      const bit = slot & 31;
      const word = (this.marks[slot >> 5] ?? 0) >>> bit;
      if (word === 0) {
        step += 32 - bit;
        continue;
      }
      return (from + step + (31 - Math.clz32(word & -word)) + 1) * TICK_MS;
    }
    return NEVER;
  }

  /** Serve the deadlines up to `now`, as far as there is time; `next` is at once while some are left. */
  advance(now: Instant, limit: TurnLimit = NO_LIMIT): void {
    const target = Math.floor(now / TICK_MS) - 1;
    // After a jump of the clock every slot once is every timer.
    this.served = Math.max(this.served, target - SLOTS);
    if (!this.serveDue(now, limit)) return;
    while (this.served < target) {
      this.served++;
      this.empty(this.served & (SLOTS - 1), now);
      if (!this.serveDue(now, limit)) return;
    }
  }

  /** Unhook a whole chain before any of it is served: `onDeadline` may file timers, also into this slot. */
  private empty(slot: number, now: Instant): void {
    let timer = this.heads[slot];
    if (timer === undefined) return;
    this.heads[slot] = undefined;
    this.marks[slot >> 5] = (this.marks[slot >> 5] ?? 0) & ~(1 << (slot & 31));
    const { due } = this;
    while (timer !== undefined) {
      const next: Timer | undefined = timer.wheelNext;
      timer.filedSlot = -1;
      timer.filedAt = NEVER;
      timer.wheelNext = undefined;
      timer.wheelPrev = undefined;
      if (timer.deadline <= now) due.push(timer);
      else if (timer.deadline !== NEVER) this.file(timer);
      timer = next;
    }
  }

  /** @returns false when some are left */
  private serveDue(now: Instant, limit: TurnLimit): boolean {
    const { due } = this;
    for (let served = 1; due.length > 0; served++) {
      const timer = due.take();
      // One served before it may have moved or cancelled it.
      if (timer === undefined || timer.deadline > now || timer.filedSlot >= 0) continue;
      timer.deadline = NEVER;
      try {
        timer.onDeadline(now);
      } catch (fault) {
        reportFault('timer', fault);
      }
      if (served % SERVED_PER_LOOK === 0 && due.length > 0 && !limit.hasTime()) return false;
    }
    return true;
  }

  private file(timer: Timer): void {
    const wanted = Math.floor(timer.deadline / TICK_MS);
    const tick = Math.max(wanted, this.served + 1);
    const slot = tick & (SLOTS - 1);
    const head = this.heads[slot];
    timer.filedSlot = slot;
    // When the slot comes up next: beyond one turn, that is before the deadline.
    const first = this.served + 1;
    timer.filedAt = (first + ((tick - first) & (SLOTS - 1))) * TICK_MS;
    timer.wheelNext = head;
    timer.wheelPrev = undefined;
    if (head !== undefined) head.wheelPrev = timer;
    this.heads[slot] = timer;
    this.marks[slot >> 5] = (this.marks[slot >> 5] ?? 0) | (1 << (slot & 31));
  }

  private unfile(timer: Timer): void {
    const { filedSlot: slot, wheelNext: next, wheelPrev: prev } = timer;
    if (next !== undefined) next.wheelPrev = prev;
    if (prev !== undefined) prev.wheelNext = next;
    else {
      this.heads[slot] = next;
      if (next === undefined) {
        this.marks[slot >> 5] = (this.marks[slot >> 5] ?? 0) & ~(1 << (slot & 31));
      }
    }
    timer.filedSlot = -1;
    timer.filedAt = NEVER;
    timer.wheelNext = undefined;
    timer.wheelPrev = undefined;
  }
}
