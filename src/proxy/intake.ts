/**
 * Bounds what one turn of the event loop takes in from the host's sockets for one guest.
 *
 * Theory of operation
 * -------------------
 * One poll hands over every socket that is ready, thousands of them one after another, and each is read before its
 * owner is called; nothing stops it but that sockets are no longer read. So when a guest's sockets have used up its
 * share of the turn, the one at hand is held, and with it {@link HELD_AT_ONCE} others that may be ready too: libuv skips
 * an event of a handle that was stopped meanwhile. After the poll those that are held are read again, a few at a time:
 * twice as many each time that all of them stayed within the share, half as many when they did not. Sockets of other
 * guests are read as before.
 *
 * An end costs little to take in and much to pass on, so beyond the share it waits, with what its socket needs no more:
 * others are held only when hundreds have come at once.
 *
 * The cost of a read is estimated by its length, since libuv makes it before anybody is called; what is done with the bytes
 * may cost more, as where a ring grows and is copied.
 */
import type { Instant } from '../base/time.ts';
import type { Guest } from '../stack/guest.ts';
import type { TurnShare, Turns, TurnWork } from './turns.ts';

/** Socket, callback and frames of a read: for each, and for each byte of it. */
const READ_MS = 0.012;
const BYTE_MS = 0.8e-6;
/** An end is passed on, and most often a connection goes with it. */
const END_MS = 0.04;
/** Ends that wait for their turn, of one poll, until others are held: 5 us each. */
const ENDS_AT_ONCE = 256;
/**
 * To hold a socket and read it again costs four system calls. While no other link has work, that is more than what so few
 * can bring in one turn: they are held when the turn as a whole is too long.
 */
const FEW = 64;
const HELD_AT_ONCE = 128;
/** Two of them, which libuv makes at the next poll. */
const RELEASE_MS = 0.006;
const MIN_RELEASED = 8;
const MAX_RELEASED = 64;

/** A socket of the host that is read for a guest. It is in at most one list; only the intake writes these fields. */
export interface IntakeSource {
  intakeList: IntakeList | undefined;
  intakeNext: IntakeSource | undefined;
  intakePrev: IntakeSource | undefined;
  /** Stop reading, or read on: an end that had to wait is passed on. */
  setReading(isReading: boolean): void;
}

class IntakeList {
  size = 0;
  first: IntakeSource | undefined = undefined;
  private last: IntakeSource | undefined = undefined;

  add(source: IntakeSource): void {
    source.intakeList?.delete(source);
    source.intakeList = this;
    source.intakePrev = this.last;
    if (this.last === undefined) this.first = source;
    else this.last.intakeNext = source;
    this.last = source;
    this.size++;
  }

  delete(source: IntakeSource): void {
    const { intakeNext: next, intakePrev: prev } = source;
    if (prev === undefined) this.first = next;
    else prev.intakeNext = next;
    if (next === undefined) this.last = prev;
    else next.intakePrev = prev;
    source.intakeList = undefined;
    source.intakeNext = undefined;
    source.intakePrev = undefined;
    this.size--;
  }
}

export type { IntakeList };

/** The intake of each guest. */
export class Intakes {
  private readonly turns: Turns;
  private readonly ofGuests = new WeakMap<Guest, Intake>();

  constructor(turns: Turns) {
    this.turns = turns;
  }

  of(guest: Guest): Intake {
    const known = this.ofGuests.get(guest);
    if (known !== undefined) return known;
    const intake = new Intake(this.turns);
    this.ofGuests.set(guest, intake);
    return intake;
  }
}

export class Intake implements TurnWork {
  /** How often a source was held. */
  holds = 0;
  private readonly share: TurnShare;
  private readonly reading = new IntakeList();
  private readonly held = new IntakeList();
  private atOnce = MIN_RELEASED;
  private wasOverdrawn = false;
  /** Ends that have to wait, since the last turn. */
  private endsHeld = 0;

  constructor(turns: Turns) {
    this.share = turns.assist(this);
  }

  /** Sources that wait to be read. */
  get heldCount(): number {
    return this.held.size;
  }

  /** `source`, which is not being read, is to be read: now, or when its turn comes. */
  start(source: IntakeSource): void {
    if (this.held.size > 0) {
      this.held.add(source);
      return;
    }
    this.reading.add(source);
    source.setReading(true);
  }

  /** `source`, which is being read, is the guest's from now on. */
  admit(source: IntakeSource): void {
    if (this.held.size === 0) {
      this.reading.add(source);
      return;
    }
    this.held.add(source);
    source.setReading(false);
  }

  /** `source` is not read any more. */
  stop(source: IntakeSource): void {
    source.intakeList?.delete(source);
  }

  /**
   * `source` has read `len` bytes, which were processed.
   *
   * @param tookMs how long that took, where it is known, without the read itself
   * @returns false when it is held: the caller stops reading it
   */
  took(source: IntakeSource, len: number, tookMs = 0): boolean {
    if (this.charge(Math.max(READ_MS + BYTE_MS * len, tookMs))) return true;
    const isRead = source.intakeList === this.reading;
    if (isRead) this.hold(source);
    this.holdOthers();
    return !isRead;
  }

  /**
   * `source`, which was read, has come to its end.
   *
   * @returns whether that is to be passed on now; else when the source is to be read again
   */
  mayEnd(source: IntakeSource): boolean {
    this.stop(source);
    if (this.charge(END_MS)) return true;
    this.hold(source);
    if (++this.endsHeld > ENDS_AT_ONCE) this.holdOthers();
    this.share.waitForPoll();
    return false;
  }

  private charge(ms: number): boolean {
    const areFew = this.reading.size + this.held.size <= FEW;
    return areFew ? this.share.chargeFew(ms) : this.share.charge(ms);
  }

  private holdOthers(): void {
    this.wasOverdrawn = true;
    for (let n = 0; n < HELD_AT_ONCE; n++) {
      const other = this.reading.first;
      if (other === undefined) break;
      this.hold(other);
      other.setReading(false);
    }
    if (this.held.size > 0) this.share.waitForPoll();
  }

  onTurn(now: Instant): void {
    if (!this.share.begin(now)) return;
    this.atOnce = this.wasOverdrawn
      ? Math.max(this.atOnce >> 1, MIN_RELEASED)
      : Math.min(this.atOnce << 1, MAX_RELEASED);
    this.wasOverdrawn = false;
    this.endsHeld = 0;
    let released = 0;
    while (released < this.atOnce && this.share.moreNow()) {
      const source = this.held.first;
      if (source === undefined) break;
      released++;
      this.reading.add(source);
      source.setReading(true);
    }
    this.share.end(false);
    this.share.charge(released * RELEASE_MS);
    if (this.held.size > 0) this.share.waitForPoll();
  }

  private hold(source: IntakeSource): void {
    this.holds++;
    this.held.add(source);
  }
}
