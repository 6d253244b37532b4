/** Acknowledgements from the guest: the bytes they free, round-trip times, and the window; `recovery.ts` repairs losses. */
import { seqAdd, seqDiff, seqLe, seqLt, seqMax } from '../../base/seq.ts';
import { type Instant, NEVER } from '../../base/time.ts';
import { FIN } from '../../wire/tcp.ts';
import { advanceRecovery, countDuplicate, detectLoss } from './recovery.ts';
import type { Segment } from './segment.ts';
import type { Tcb } from './tcb.ts';

/** Take in the ACK, the window and the SACK blocks of an acceptable segment. */
export function takeAck(c: Tcb, now: Instant, s: Segment): void {
  const acked = seqDiff(s.ack, c.sndUna);
  if (acked < 0) return; // old: says nothing new (RFC 9293 §3.10.7.4)
  const flight = c.flight;
  const window = s.window << c.sndScale;
  const sackedBefore = c.sacked.bytes;
  if (c.sackPermitted && s.options.sackCount > 0) takeSack(c, s);
  if (acked > 0) advance(c, now, s, acked, flight);
  else if (flight > 0 && s.len === 0 && (s.flags & FIN) === 0) {
    const repeats = c.sackPermitted ? c.sacked.bytes > sackedBefore : window === c.sndWnd;
    if (repeats) countDuplicate(c, flight);
  }
  takeWindow(c, now, s, window);
  if (flight > 0) detectLoss(c, now);
  if (c.recovery !== 'none' || c.sndNxt !== c.outgoingEnd || c.finQueued) c.touch();
}

function takeSack(c: Tcb, s: Segment): void {
  for (let i = 0; i < s.options.sackCount; i++) {
    const start = s.options.sackStartAt(i);
    const end = s.options.sackEndAt(i);
    // Only what is in flight, and above the cumulative ACK (a block below it is a D-SACK).
    if (!seqLt(start, end) || seqLt(c.sndNxt, end) || !seqLt(c.sndUna, end)) continue;
    if (seqLt(start, seqMax(c.sndUna, s.ack))) continue;
    c.sacked.add(start, end); // beyond the limit a range is forgotten: it will be sent again
  }
}

/** New data is acknowledged. */
function advance(c: Tcb, now: Instant, s: Segment, acked: number, flight: number): void {
  c.sndUna = s.ack;
  const data = Math.min(seqDiff(s.ack, c.outgoingSeq), c.outgoing.length);
  if (data > 0) {
    c.outgoing.release(data);
    c.outgoingSeq = seqAdd(c.outgoingSeq, data);
  }
  if (c.finSent && s.ack === c.sndNxt) c.finAcked = true;
  sampleRtt(c, now, s);
  c.attempts = 0;
  c.sacked.trim(s.ack);
  advanceRecovery(c, acked);
  // RFC 7661's point: a window that was not used says nothing about the path.
  const slowStart = c.cc.cwnd < c.cc.ssthresh;
  if (c.recovery !== 'fast' && flight * (slowStart ? 2 : 1) + c.sndMss >= c.cc.cwnd) {
    c.cc.onAck(now, acked, c.rtt.srtt);
  }
  c.rtoAt = c.flight > 0 ? now + c.rtt.rto : NEVER; // RFC 6298 §5.2, §5.3
  c.tailProbeAt = NEVER;
  c.tailProbed = false;
  c.notifySpace();
}

function sampleRtt(c: Tcb, now: Instant, s: Segment): void {
  if (c.timedAt >= 0 && seqLe(c.timedSeq, s.ack)) {
    c.rtt.sample(now - c.timedAt);
    c.timedAt = -1;
    return;
  }
  c.rtt.resetBackOff();
  // RFC 7323 §4: an echo identifies the copy that was acknowledged, so a retransmission may be timed.
  if (c.timedAt >= 0 || !s.options.hasTimestamps || c.recovery === 'none') return;
  const rtt = (c.tsVal(now) - s.options.tsEcr) | 0;
  if (rtt >= 0 && rtt < 60_000) c.rtt.sample(rtt);
}

function takeWindow(c: Tcb, now: Instant, s: Segment, window: number): void {
  const newer = seqLt(c.sndWl1, s.seq) || (c.sndWl1 === s.seq && seqLe(c.sndWl2, s.ack)); // §3.10.7.4
  if (!newer) return;
  c.sndWl1 = s.seq;
  c.sndWl2 = s.ack;
  if (window === c.sndWnd) return;
  c.sndWnd = window;
  c.persistFrom = now;
  if (window > c.maxSndWnd) c.maxSndWnd = window;
  if (window > 0) {
    c.persistAt = NEVER;
    c.persistBackoff = 0;
  }
  c.notifySpace();
}
