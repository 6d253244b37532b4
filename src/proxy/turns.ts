/**
 * Divides each turn of the event loop among those that have work in it, so that none keeps the others waiting.
 *
 * Theory of operation
 * -------------------
 * Each source of work (a link) has a {@link TurnShare}. Work that arrives is done at once, as a *piece*: the source asks
 * `begin`, then `more` before each further frame, and reports `end`. When its credit for the turn is used up, or the turn is, it
 * stops in the middle, leaves the rest where it is, reads no more, and waits in a queue. After the event loop has
 * polled, the queue is served by deficit round robin (RFC 3290 §7.1.3): each share in it is given one quantum a round,
 * and what it used beyond that is a debt, which it keeps. Links of one listener divide a quantum among them, so that
 * whoever opens more links gets no more. So a source that is flooded gets what the others leave, and
 * one that asks for less than a quantum waits for at most one turn.
 *
 * The currency is time, because nothing else measures a guest that makes us drop, refuse or evict. It is wall time: a
 * thread's CPU time costs a system call to read, and while the thread is preempted the others wait just the same.
 *
 * What is left waits for an immediate, never for a promise or a tick: between two of them the event loop polls, so that
 * others are heard. A source that is alone goes on at once.
 */
import { reportFault } from '../base/faults.ts';
import type { Clock, Instant } from '../base/time.ts';
import type { TurnLimit } from '../base/turn.ts';

/**
 * For what one poll brings, and again for what waits in the queue; and what each share has of it. As short as polls stay
 * cheap beside it (15 us) where several links have work: whoever asks little waits for a turn or two, four times
 * in a connection and its first answer. A link that is alone has all done at a time that it sent at a time, which costs
 * a third less where that is a buffer of small frames: it has a limit for the API's sake.
 */
const ALONE = { turnMs: 1, quantumMs: 4 };
const SHARED = { turnMs: 0.3, quantumMs: 0.25 };
/** For work apart from links. */
const ASSIST_MS = 0.5;
/** How long the work of a second link is remembered. */
const SHARED_MS = 200;
/** When work outside of pieces, each source within its credit, is too much. */
const CROWDED_MS = 4;
/** A piece cannot be interrupted everywhere; a debt beyond this is forgiven. */
const MAX_DEBT_MS = 64;
/**
 * A piece that is much longer than its credit was most likely stopped by the collector, or its thread by the system, which
 * is nobody's doing, and a debt of 10 ms would keep a guest that asks little away for as long again. So what goes beyond
 * the first is forgiven, as far as a twenty-fifth of the time goes: whoever overdraws all the time pays.
 */
const PAUSE_DEBT_MS = 0.5;
const PAUSE_SHARE = 0.04;
const MAX_PAUSES_MS = 32;
/** Work of this length is noticed by others: the turn's end is looked for. */
const NOTICED_MS = 0.25;
/** Flows with events, and the like, for the end of one batch: each costs up to some tens of microseconds. */
const MAX_OWED = 128;
/**
 * Frames between two looks at the clock, which is read in about 0.1 us: fewer while frames cost much (a new socket, an
 * eviction), so that a piece ends soon after its credit.
 */
const MAX_STRIDE = 32;
const LONG_STRIDE_MS = 0.2;
const SHORT_STRIDE_MS = 0.05;

/**
 * Sockets of the host that a link may open while other links have work: in a millisecond, and at once. Most of what one costs
 * comes after its frame: its events, its end, the collector's work. A link that is alone opens as many as it can.
 */
const OPENS_PER_MS = 4;
const OPENS_AT_ONCE = 128;

/** A source of work. */
export interface TurnWork {
  /** Go on with what was left: begin as with new work. */
  onTurn(now: Instant): void;
}

export interface TurnsDeps {
  readonly clock: Pick<Clock, 'now'>;
  /** How much the frames of the batch have left for its end. */
  readonly owed: () => number;
  /** Hand on what the poll has brought, before what waits is served. */
  readonly settle?: () => void;
  /** Run `run` once, after the events that are waiting. Default: `setImmediate`. */
  readonly defer?: (run: () => void) => unknown;
  /** Run `run` once, after so many ms. Default: `setTimeout`, which does not keep the process. */
  readonly delay?: (run: () => void, ms: number) => unknown;
}

export class Turns implements TurnLimit {
  /** The longest turn so far, as far as it is accounted for here. */
  longestMs = 0;
  /** How often work had to wait for a later turn. */
  postponed = 0;
  /** @internal for shares */
  readonly deps: TurnsDeps;
  /** @internal for shares: of this turn. */
  serial = 0;
  private readonly queue: TurnShare[] = [];
  /** To join the queue after the next poll. */
  private readonly polling: TurnShare[] = [];
  /** How many shares of a group wait, where any do. */
  private readonly waiting = new Map<string, number>();
  private usedMs = 0;
  private length = ALONE;
  private sharedUntil: Instant = 0;
  /** The link that has worked last. */
  private last: TurnShare | undefined = undefined;
  private pieceAt: Instant | undefined = undefined;
  /** Whose piece it is, where it is a link's. */
  private opener: TurnShare | undefined = undefined;
  private readonly delay: (run: () => void, ms: number) => unknown;
  private readonly defer: (run: () => void) => unknown;
  private isDue = false;

  constructor(deps: TurnsDeps) {
    this.deps = deps;
    this.defer = deps.defer ?? setImmediate;
    this.delay = deps.delay ?? ((run, ms) => setTimeout(run, ms).unref());
  }

  /** For a link. @param group those that share a quantum: the name of their listener */
  join(work: TurnWork, group = ''): TurnShare {
    return new TurnShare(this, work, group, undefined);
  }

  /** For work that links have caused, and that is done for them apart. */
  assist(work: TurnWork, quantumMs: number = ASSIST_MS): TurnShare {
    return new TurnShare(this, work, '', quantumMs);
  }

  /** A piece of work begins; one is open at a time. */
  enter(now: Instant): void {
    this.pieceAt = now;
  }

  /** The work of a piece has opened so many of the host's sockets. */
  onOpened(sockets: number): void {
    this.opener?.open(sockets);
  }

  /** @returns the length of the piece */
  leave(): number {
    const spentMs = this.openMs();
    this.pieceAt = undefined;
    this.opener = undefined;
    this.usedMs += spentMs;
    if (this.usedMs >= NOTICED_MS) this.schedule();
    return spentMs;
  }

  hasTime(): boolean {
    return this.usedMs + this.openMs() < this.length.turnMs;
  }

  /** @internal for shares */
  get isTaken(): boolean {
    return this.pieceAt !== undefined || this.usedMs >= this.length.turnMs;
  }

  /** @internal for shares: those that have credit left have used up the turn together. */
  get isCrowded(): boolean {
    return this.usedMs >= CROWDED_MS;
  }

  /** @internal for shares: others have work as well. */
  get isShared(): boolean {
    return this.length === SHARED;
  }

  /** @internal for shares: a link's piece begins. */
  enterFor(share: TurnShare, now: Instant): void {
    this.enter(now);
    this.opener = share;
  }

  /** @internal for shares: of a link. */
  get quantumMs(): number {
    return this.length.quantumMs;
  }

  /** @internal for shares: its link has work. */
  onLinkWork(share: TurnShare, now: Instant): void {
    if (share !== this.last && this.last !== undefined) this.sharedUntil = now + SHARED_MS;
    this.last = share;
    this.length = now < this.sharedUntil ? SHARED : ALONE;
  }

  /** @internal for shares */
  wait(share: TurnShare): void {
    this.postponed++;
    this.queue.push(share);
    this.waiting.set(share.group, this.waitingOf(share.group) + 1);
    this.schedule();
  }

  /** @internal for shares */
  waitFor(share: TurnShare, ms: number): void {
    this.postponed++;
    this.delay(() => this.wait(share), ms);
  }

  /** @internal for shares */
  waitingOf(group: string): number {
    return this.waiting.get(group) ?? 0;
  }

  /** @internal for shares */
  waitForPoll(share: TurnShare): void {
    this.polling.push(share);
    this.waiting.set(share.group, this.waitingOf(share.group) + 1);
    this.schedule();
  }

  /** Work of the host's own has had a turn for itself. */
  onApart(ms: number): void {
    this.longestMs = Math.max(this.longestMs, ms);
  }

  /** @internal for shares: work that was done outside of a piece. */
  add(ms: number): void {
    this.usedMs += ms;
    if (this.usedMs >= NOTICED_MS) this.schedule();
  }

  private openMs(): number {
    return this.pieceAt === undefined ? 0 : this.deps.clock.now() - this.pieceAt;
  }

  private schedule(): void {
    if (this.isDue) return;
    this.isDue = true;
    this.defer(this.run);
  }

  /** The event loop has polled. */
  private readonly run = (): void => {
    this.isDue = false;
    this.pieceAt = undefined; // of a piece that has thrown
    this.opener = undefined;
    this.deps.settle?.();
    this.queue.push(...this.polling.splice(0));
    const polledMs = this.usedMs;
    this.usedMs = 0;
    this.serial++;
    while (this.queue.length > 0 && this.usedMs < this.length.turnMs) this.serveNext();
    this.longestMs = Math.max(this.longestMs, polledMs + this.usedMs);
    this.usedMs = 0;
    this.serial++;
    if (this.queue.length + this.polling.length > 0) this.schedule();
  };

  private serveNext(): void {
    const share = this.queue.shift();
    if (share === undefined) return;
    if (!share.refill()) {
      this.queue.push(share); // it pays a debt; the others are served meanwhile
      return;
    }
    share.isWaiting = false;
    const others = this.waitingOf(share.group) - 1;
    if (others > 0) this.waiting.set(share.group, others);
    else this.waiting.delete(share.group);
    try {
      share.work.onTurn(this.deps.clock.now());
    } catch (fault) {
      this.pieceAt = undefined;
      this.opener = undefined;
      reportFault('turn', fault);
    }
  }
}

export class TurnShare {
  /** @internal */
  readonly work: TurnWork;
  /** It is in the queue: `onTurn` follows. */
  isWaiting = false;
  /** @internal */
  readonly group: string;
  private readonly turns: Turns;
  /** Undefined for a link: as its neighbours have it. */
  private readonly ownQuantumMs: number | undefined;
  private creditMs: number;
  private serial = -1;
  private beganAt: Instant = 0;
  private lookedAt: Instant = 0;
  /** Of the host's sockets, that it may open; below 0 where it has opened more. */
  private opens = OPENS_AT_ONCE;
  private opensAt: Instant = 0;
  /** Debt that will be forgiven, as of the last one. */
  private pausesMs = 0;
  private pausedAt: Instant = 0;
  private stride = 1;
  /** Frames until the next look. */
  private left = 1;

  constructor(turns: Turns, work: TurnWork, group: string, ownQuantumMs: number | undefined) {
    this.turns = turns;
    this.work = work;
    this.group = group;
    this.ownQuantumMs = ownQuantumMs;
    this.creditMs = this.quantumMs;
  }

  /** @returns false when the work must wait: nothing more is to be read, and `onTurn` follows */
  begin(now: Instant): boolean {
    const { turns } = this;
    if (this.isWaiting) return false;
    if (this.ownQuantumMs === undefined) turns.onLinkWork(this, now);
    if (this.serial !== turns.serial) this.refill();
    if (this.creditMs <= 0 || turns.isTaken) {
      this.wait();
      return false;
    }
    if (!this.mayOpen(now)) {
      this.isWaiting = true;
      turns.waitFor(this, Math.ceil((OPENS_AT_ONCE / 2 - this.opens) / OPENS_PER_MS));
      return false;
    }
    if (this.ownQuantumMs === undefined) turns.enterFor(this, now);
    else turns.enter(now);
    this.beganAt = now;
    this.lookedAt = now;
    this.left = this.stride;
    return true;
  }

  /** @internal Of the host's sockets, so many. */
  open(sockets: number): void {
    if (this.turns.isShared) this.opens -= sockets;
  }

  /** Whether the piece may go on with one more frame. */
  more(): boolean {
    return --this.left > 0 || this.look();
  }

  /** As {@link more}, by the clock: for steps that cost much each. */
  moreNow(): boolean {
    return this.look();
  }

  /** @param isLeft there is more, and `onTurn` is to follow */
  end(isLeft: boolean): void {
    this.spend(this.turns.leave(), this.beganAt);
    if (isLeft) this.wait();
  }

  /** Have `onTurn` called. */
  wait(): void {
    if (this.isWaiting) return;
    this.isWaiting = true;
    this.turns.wait(this);
  }

  /** Have `onTurn` called after the event loop has polled once more. */
  waitForPoll(): void {
    if (this.isWaiting) return;
    this.isWaiting = true;
    this.turns.waitForPoll(this);
  }

  /** Work of this length was done outside of a piece. @returns whether there may be more in this turn */
  charge(ms: number): boolean {
    const { turns } = this;
    if (this.serial !== turns.serial && !this.isWaiting) this.refill();
    this.spend(ms, this.turns.deps.clock.now());
    turns.add(ms);
    return this.creditMs > 0 && !turns.isCrowded;
  }

  /** As {@link charge}, of few sources: while no other link has work, the turn alone is their limit. */
  chargeFew(ms: number): boolean {
    const { turns } = this;
    if (turns.isShared) return this.charge(ms);
    turns.add(ms);
    return !turns.isCrowded;
  }

  /** @internal Another quantum. @returns whether it may work */
  refill(): boolean {
    this.serial = this.turns.serial;
    const sharers = this.turns.waitingOf(this.group) + (this.isWaiting ? 0 : 1);
    const wholeMs = this.quantumMs;
    const quantumMs = this.group === '' ? wholeMs : wholeMs / sharers;
    this.creditMs = Math.min(this.creditMs + quantumMs, wholeMs);
    return this.creditMs > 0;
  }

  private spend(ms: number, now: Instant): void {
    let creditMs = this.creditMs - ms;
    if (creditMs < -PAUSE_DEBT_MS) {
      const earnedMs = (now - this.pausedAt) * PAUSE_SHARE;
      this.pausesMs = Math.min(this.pausesMs + earnedMs, MAX_PAUSES_MS);
      this.pausedAt = now;
      const forgivenMs = Math.min(-PAUSE_DEBT_MS - creditMs, this.pausesMs);
      this.pausesMs -= forgivenMs;
      creditMs += forgivenMs;
    }
    this.creditMs = Math.max(creditMs, -MAX_DEBT_MS);
  }

  private get quantumMs(): number {
    return this.ownQuantumMs ?? this.turns.quantumMs;
  }

  private mayOpen(now: Instant): boolean {
    this.opens = Math.min(this.opens + (now - this.opensAt) * OPENS_PER_MS, OPENS_AT_ONCE);
    this.opensAt = now;
    return this.opens > 0 || !this.turns.isShared;
  }

  private look(): boolean {
    const { clock, owed } = this.turns.deps;
    const now = clock.now();
    const strideMs = now - this.lookedAt;
    this.lookedAt = now;
    if (strideMs > LONG_STRIDE_MS) this.stride = (this.stride + 1) >> 1;
    else if (strideMs < SHORT_STRIDE_MS) this.stride = Math.min(this.stride << 1, MAX_STRIDE);
    this.left = this.stride;
    return now - this.beganAt < this.creditMs && owed() < MAX_OWED && this.mayOpen(now);
  }
}
