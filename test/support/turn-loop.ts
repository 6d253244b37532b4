import { Turns } from '../../src/proxy/turns.ts';

/** A virtual loop: time passes only by work, and `poll` runs what was deferred. */
export class TurnLoop {
  nowMs = 0;
  owed = 0;
  polls = 0;
  settle: () => void = () => {};
  private deferred: (() => void)[] = [];
  readonly turns: Turns = new Turns({
    clock: { now: () => this.nowMs },
    owed: () => this.owed,
    settle: () => this.settle(),
    defer: (run) => this.deferred.push(run),
  });

  get isIdle(): boolean {
    return this.deferred.length === 0;
  }

  poll(): void {
    this.polls++;
    for (const run of this.deferred.splice(0)) run();
  }
}
