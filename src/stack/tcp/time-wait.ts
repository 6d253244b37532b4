/**
 * TIME-WAIT (RFC 9293 §3.6.1) as a small entry, so that a burst of short connections does not hold
 * connections. It answers what still arrives, and gives way to a new SYN that is clearly newer.
 */
import type { Chained } from '../../base/chain.ts';
import { makeKey } from '../../base/flow-key.ts';
import { type Seq, seq, seqDiff, seqLt } from '../../base/seq.ts';
import type { Instant } from '../../base/time.ts';
import { Timer } from '../../base/timer-wheel.ts';
import { ACK, RST, SYN } from '../../wire/tcp.ts';
import type { Guest } from '../guest.ts';
import type { Path } from '../path.ts';
import type { Segment } from './segment.ts';
import type { Tcb } from './tcb.ts';

type Own<T> = { -readonly [K in keyof T]: T[K] };

export class TimeWait extends Timer implements Chained<TimeWait> {
  chainNext: TimeWait | undefined = undefined;
  chainPrev: TimeWait | undefined = undefined;
  readonly key: Int32Array = makeKey();
  owner: Guest;
  sndNxt: Seq = seq(0);
  rcvNxt: Seq = seq(0);
  timestamps = false;
  tsRecent = 0;
  tsOffset = 0;
  private readonly ownPath: Own<Path>;
  private rcvWnd = 0;
  private readonly onOver: (entry: TimeWait) => void;

  /** @param c connection that is closed */
  constructor(c: Tcb, onOver: (entry: TimeWait) => void) {
    super();
    this.owner = c.shares.guest;
    this.ownPath = { ...c.path };
    this.onOver = onOver;
    this.standFor(c);
  }

  get path(): Path {
    return this.ownPath;
  }

  /**
   * It is new, or over. Nothing that was made for `c` alone is kept: where entries are used again, V8 has them in the old
   * space, and would move there what they hold, to stay until the next full collection.
   */
  standFor(c: Tcb): void {
    const { ownPath } = this;
    this.key.set(c.key);
    this.owner = c.shares.guest;
    this.sndNxt = c.sndNxt;
    this.rcvNxt = c.rcvNxt;
    this.rcvWnd = c.rcvWnd;
    this.timestamps = c.timestamps;
    this.tsRecent = c.tsRecent;
    this.tsOffset = c.tsOffset;
    ownPath.neighbor = c.path.neighbor;
    ownPath.source = c.path.source;
    ownPath.ip = c.path.ip;
    ownPath.headerLen = c.path.headerLen;
    ownPath.flowLabel = c.path.flowLabel;
  }

  /** What a segment asks for: nothing, our last ACK once more, or room for a new connection. */
  answerTo(s: Segment): 'nothing' | 'acknowledge' | 'reopen' {
    if ((s.flags & RST) !== 0) return 'nothing'; // RFC 1337: a RST does not end TIME-WAIT
    if ((s.flags & (SYN | ACK)) === SYN) return this.isNewer(s) ? 'reopen' : 'acknowledge';
    if ((s.flags & SYN) !== 0) return 'acknowledge'; // RFC 5961 §4.2: no connection begins so
    if ((s.flags & ACK) === 0) return 'nothing'; // RFC 9293 §3.10.7.4, fifth step
    const start = seqDiff(s.seq, this.rcvNxt);
    // A FIN again, data, or what is outside the window (§3.10.7.4, first step).
    return s.span > 0 || start < 0 || start > this.rcvWnd ? 'acknowledge' : 'nothing';
  }

  /** RFC 9293 §3.6.1 and RFC 6191: by timestamp, else by sequence number. */
  private isNewer(s: Segment): boolean {
    if (seqLt(this.rcvNxt, s.seq)) return true;
    return (
      this.timestamps && s.options.hasTimestamps && ((s.options.tsVal - this.tsRecent) | 0) > 0
    );
  }

  override onDeadline(_now: Instant): void {
    this.onOver(this);
  }
}
