import assert from 'node:assert/strict';
import { Intake, type IntakeList, type IntakeSource } from '../../src/proxy/intake.ts';
import { TurnLoop } from '../support/turn-loop.ts';

const READ_LEN = 64 << 10;

/** A socket that is ready whenever it has bytes. */
class Source implements IntakeSource {
  intakeList: IntakeList | undefined = undefined;
  intakeNext: IntakeSource | undefined = undefined;
  intakePrev: IntakeSource | undefined = undefined;
  isRead = false;
  waiting = 0;
  reads = 0;
  private readonly intake: Intake;

  constructor(intake: Intake) {
    this.intake = intake;
    intake.start(this);
  }

  setReading(isReading: boolean): void {
    this.isRead = isReading;
  }

  /** What libuv does for a socket that is ready. @returns whether it was read */
  poll(): boolean {
    if (!this.isRead || this.waiting === 0) return false;
    this.waiting--;
    this.reads++;
    if (!this.intake.took(this, READ_LEN)) this.isRead = false;
    return true;
  }
}

/** Poll all of them, as one turn does. @returns how many were read */
const pollAll = (sources: readonly Source[]): number =>
  sources.filter((source) => source.poll()).length;

describe('proxy/intake', () => {
  it('reads a few sockets at will', () => {
    const loop = new TurnLoop();
    const intake = new Intake(loop.turns);
    const sources = Array.from({ length: 4 }, () => new Source(intake));
    for (let turn = 0; turn < 20; turn++) {
      for (const source of sources) source.waiting = 1;
      assert.equal(pollAll(sources), 4);
      loop.poll();
    }
    assert.equal(intake.holds, 0);
  });

  describe('of 60 sockets that are ready in each turn', () => {
    const rush = (loop: TurnLoop, others: number): { read: number[]; holds: number } => {
      const intake = new Intake(loop.turns);
      const sources = Array.from({ length: 60 }, () => new Source(intake));
      const links = Array.from({ length: others }, () => loop.turns.join({ onTurn() {} }));
      const read = Array.from({ length: 20 }, () => {
        for (const link of links) if (link.begin(loop.nowMs)) link.end(false);
        for (const source of sources) source.waiting = 1;
        const n = pollAll(sources);
        loop.poll();
        return n;
      });
      return { read, holds: intake.holds };
    };

    it('holds none while no other link has work', () => {
      for (const links of [0, 1]) {
        const { read, holds } = rush(new TurnLoop(), links);
        assert.ok(read.every((n) => n === 60));
        assert.equal(holds, 0);
      }
    });

    it('holds some while another has', () => {
      const { read, holds } = rush(new TurnLoop(), 2);
      assert.ok(read.slice(1).every((n) => n < 30));
      assert.ok(holds > 0);
    });

    it('holds some where several guests have as many', () => {
      const loop = new TurnLoop();
      const intakes = Array.from({ length: 20 }, () => new Intake(loop.turns));
      const sources = intakes.flatMap((one) => Array.from({ length: 60 }, () => new Source(one)));
      for (const source of sources) source.waiting = 1;
      assert.ok(pollAll(sources) < 200);
      assert.ok(intakes.slice(-1).every(({ holds }) => holds > 0));
    });
  });

  it('bounds what one turn reads of 5000 that are ready at once, and reads every byte of each', () => {
    const loop = new TurnLoop();
    const intake = new Intake(loop.turns);
    const sources = Array.from({ length: 5000 }, () => new Source(intake));
    for (const source of sources) source.waiting = 2;
    let most = 0;
    for (let turn = 0; sources.some(({ waiting }) => waiting > 0); turn++) {
      assert.ok(turn < 5000, 'it goes on');
      most = Math.max(most, pollAll(sources));
      loop.poll();
    }
    assert.ok(most < 120, `${most} reads in one turn`);
    assert.ok(sources.every(({ reads }) => reads === 2));
    while (intake.heldCount > 0) loop.poll();
    assert.ok(loop.isIdle);
  });

  it('reads all again soon when the rush is over', () => {
    const loop = new TurnLoop();
    const intake = new Intake(loop.turns);
    const sources = Array.from({ length: 5000 }, () => new Source(intake));
    for (const source of sources) source.waiting = 1;
    pollAll(sources);
    for (const source of sources) source.waiting = 0;
    let turns = 0;
    for (; intake.heldCount > 0; turns++) loop.poll();
    assert.ok(turns < 100, `${turns} turns`);
    assert.ok(sources.every(({ isRead }) => isRead));
  });

  it('has a turn read few sockets again, since each of them is a step for the kernel', () => {
    const loop = new TurnLoop();
    const intake = new Intake(loop.turns);
    const sources = Array.from({ length: 5000 }, () => new Source(intake));
    for (const source of sources) source.waiting = 1;
    pollAll(sources);
    for (const source of sources) source.waiting = 0;
    const countRead = (): number => sources.filter(({ isRead }) => isRead).length;
    let most = 0;
    while (intake.heldCount > 0) {
      const before = countRead();
      loop.poll();
      most = Math.max(most, countRead() - before);
    }
    assert.ok(most > 0 && most <= 64, `${most} in one turn`);
  });

  describe('of 5000 sockets that end at once', () => {
    const COST_MS = 0.04;

    /** An end that waits is passed on when its socket is read again. */
    class Ending extends Source {
      isOver = false;

      override setReading(isReading: boolean): void {
        super.setReading(isReading);
        if (isReading && this.isHeld) this.pass();
      }

      private isHeld = false;
      private readonly loop: TurnLoop;
      private readonly among: Intake;

      constructor(loop: TurnLoop, among: Intake) {
        super(among);
        this.loop = loop;
        this.among = among;
      }

      end(): void {
        if (this.among.mayEnd(this)) this.pass();
        else this.isHeld = true;
        this.isRead = false;
      }

      private pass(): void {
        this.among.stop(this);
        this.loop.nowMs += COST_MS;
        this.isOver = true;
        this.isRead = false;
      }
    }

    it('passes on few in one turn, and each of them in the end', () => {
      const loop = new TurnLoop();
      const intake = new Intake(loop.turns);
      const sources = Array.from({ length: 5000 }, () => new Ending(loop, intake));
      const isOver = (): number => sources.filter((source) => source.isOver).length;
      let most = 0;
      let seen = 0;
      for (let turn = 0; isOver() < sources.length; turn++) {
        assert.ok(turn < 5000, 'it goes on');
        const before = isOver();
        for (const source of sources) {
          if (!source.isRead) continue;
          source.end();
          if (turn === 0) seen++;
        }
        loop.poll();
        most = Math.max(most, isOver() - before);
      }
      assert.ok(most < 120, `${most} ends in one turn`);
      assert.ok(seen < 400, `${seen} events in one poll`);
      assert.equal(intake.heldCount, 0);
    });

    it('reads the others on while hundreds end', () => {
      const loop = new TurnLoop();
      const intake = new Intake(loop.turns);
      const others = Array.from({ length: 1000 }, () => new Source(intake));
      const sources = Array.from({ length: 200 }, () => new Ending(loop, intake));
      for (const source of sources) source.end();
      assert.ok(intake.heldCount > 100);
      assert.ok(others.every(({ isRead }) => isRead));
      while (intake.heldCount > 0) loop.poll();
      assert.ok(sources.every((source) => source.isOver));
    });
  });

  it('does not hold the sockets of another guest', () => {
    const loop = new TurnLoop();
    const rush = new Intake(loop.turns);
    const good = new Intake(loop.turns);
    const sources = Array.from({ length: 1000 }, () => new Source(rush));
    const other = new Source(good);
    for (let turn = 0; turn < 20; turn++) {
      for (const source of sources) source.waiting = 1;
      other.waiting = 1;
      pollAll(sources);
      assert.ok(other.poll(), `turn ${turn}`);
      loop.poll();
    }
    assert.equal(good.holds, 0);
  });

  it('forgets a socket that was closed while it was held', () => {
    const loop = new TurnLoop();
    const intake = new Intake(loop.turns);
    const sources = Array.from({ length: 200 }, () => new Source(intake));
    for (const source of sources) source.waiting = 1;
    pollAll(sources);
    assert.ok(intake.heldCount > 0);
    for (const source of sources) {
      source.isRead = false;
      intake.stop(source);
    }
    assert.equal(intake.heldCount, 0);
    while (!loop.isIdle) loop.poll();
    assert.ok(sources.every(({ isRead }) => !isRead));
  });
});
