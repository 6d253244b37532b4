/**
 * TIME-WAIT (RFC 9293 §3.6.1) as a small entry, so that a burst of short connections does not hold
 * connections. It answers what still arrives, and gives way to a new SYN that is clearly newer.
 */
import type { Chained } from '../../base/chain.ts';
import { type Seq, seqLt } from '../../base/seq.ts';
import type { Instant } from '../../base/time.ts';
import { Timer } from '../../base/timer-wheel.ts';
import { FIN, RST, SYN } from '../../wire/tcp.ts';
import type { Path } from '../ipv4/output.ts';
import type { Segment } from './segment.ts';

export class TimeWait extends Timer implements Chained<TimeWait> {
  chainNext: TimeWait | undefined = undefined;
  chainPrev: TimeWait | undefined = undefined;
  readonly key: Int32Array;
  readonly path: Path;
  readonly sndNxt: Seq;
  readonly rcvNxt: Seq;
  readonly timestamps: boolean;
  readonly tsRecent: number;
  readonly tsOffset: number;
  private readonly onOver: (entry: TimeWait) => void;

  constructor(
    key: Int32Array,
    path: Path,
    sndNxt: Seq,
    rcvNxt: Seq,
    timestamps: boolean,
    tsRecent: number,
    tsOffset: number,
    onOver: (entry: TimeWait) => void,
  ) {
    super();
    this.key = key;
    this.path = path;
    this.sndNxt = sndNxt;
    this.rcvNxt = rcvNxt;
    this.timestamps = timestamps;
    this.tsRecent = tsRecent;
    this.tsOffset = tsOffset;
    this.onOver = onOver;
  }

  /** What a segment asks for: nothing, our last ACK once more, or room for a new connection. */
  judge(s: Segment): 'ignore' | 'acknowledge' | 'reopen' {
    if ((s.flags & RST) !== 0) return 'ignore'; // RFC 1337: a RST does not end TIME-WAIT
    if ((s.flags & SYN) !== 0) {
      // RFC 9293 §3.6.1 and RFC 6191: newer by timestamp, else by sequence number.
      const newer =
        this.timestamps && s.options.hasTimestamps
          ? ((s.options.tsVal - this.tsRecent) | 0) > 0 || seqLt(this.rcvNxt, s.seq)
          : seqLt(this.rcvNxt, s.seq);
      return newer ? 'reopen' : 'acknowledge';
    }
    return s.len > 0 || (s.flags & FIN) !== 0 ? 'acknowledge' : 'ignore';
  }

  override onDeadline(_now: Instant): void {
    this.onOver(this);
  }
}
