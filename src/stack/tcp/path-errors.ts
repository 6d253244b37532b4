/** The effects of ICMP errors from the guest's side on a connection. Each quotes a segment of ours. */
import { type Seq, seqDiff } from '../../base/seq.ts';
import type { Instant } from '../../base/time.ts';
import { TCP_HEADER_LEN } from '../../wire/tcp.ts';
import { TIMESTAMPS_LEN } from '../../wire/tcp-options.ts';
import { lowerMss } from './recovery.ts';
import { output } from './send.ts';
import type { Tcb } from './tcb.ts';

/** RFC 1191 §3: a path carries at least this. */
const MIN_MTU = 576;

/** A segment was longer than the path takes; `mtu` is what it takes (RFC 1191 §6.4). */
export function onPathMtu(c: Tcb, now: Instant, quotedSeq: Seq, mtu: number): void {
  // RFC 5927 §4.1: only about what is in flight.
  if (seqDiff(quotedSeq, c.sndUna) < 0 || seqDiff(c.sndNxt, quotedSeq) < 0) return;
  const options = c.timestamps ? TIMESTAMPS_LEN : 0;
  const mss = Math.max(mtu, MIN_MTU) - c.path.headerLen - TCP_HEADER_LEN - options;
  if (lowerMss(c, mss)) output(c, now);
}

/**
 * A segment did not arrive. A hard error about our SYN (RFC 5927 §4.1) ends the attempt; after a soft one it goes on, and
 * that is its reason once it has failed (RFC 1122 §4.2.3.9). An established connection goes on (RFC 5927 §5.2).
 */
export function onUnreachable(c: Tcb, quotedSeq: Seq, hard: boolean): void {
  if (c.state !== 'syn-sent' || quotedSeq !== c.iss) return;
  if (hard) c.close('unreachable');
  else c.unreachable = true;
}
