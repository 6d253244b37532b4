import { Turns } from '../../src/proxy/turns.ts';

/** A virtual loop: time passes only by work, and `poll` runs what was deferred. */
export class TurnLoop {
  nowMs = 0;
  owed = 0;
  polls = 0;
  settle: () => void = () => {};
  private deferred: (() => void)[] = [];
  private delayed: { run: () => void; at: number }[] = [];
  readonly turns: Turns = new Turns({
    clock: { now: () => this.nowMs },
    owed: () => this.owed,
    settle: () => this.settle(),
    defer: (run) => this.deferred.push(run),
    delay: (run, ms) => this.delayed.push({ run, at: this.nowMs + ms }),
  });

  get isIdle(): boolean {
    return this.deferred.length === 0;
  }

  poll(): void {
    this.polls++;
    const due = this.delayed.filter(({ at }) => at <= this.nowMs);
    this.delayed = this.delayed.filter((one) => !due.includes(one));
    for (const { run } of due) run();
    for (const run of this.deferred.splice(0)) run();
  }
}
