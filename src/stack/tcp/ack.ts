/**
 * Acknowledgements from the guest, and recovery from loss.
 *
 * Theory of operation
 * -------------------
 * With SACK: what the guest holds is in `sacked`; everything not SACKed below three segments' worth
 * of SACKed bytes is deemed lost (RFC 6675 §4, IsLost), and `lostEdge` is the end of that region.
 * Without SACK, each duplicate ACK stands for one segment that left the network (`virtualSacked`),
 * and only the segment at `sndUna` is deemed lost (NewReno, RFC 6582). After a retransmission
 * timeout everything not SACKed is. In all three cases `send.ts` retransmits from `rexmitNxt` to
 * `lostEdge` as far as the congestion window allows: one mechanism, three ways to set its edge.
 * An episode ends when `recover`, the highest byte sent when it began, is acknowledged.
 */
import { seqAdd, seqDiff, seqLe, seqLt, seqMax } from '../../base/seq.ts';
import { type Instant, NEVER } from '../../base/time.ts';
import { FIN } from '../../wire/tcp.ts';
import type { TcpConnection } from './connection.ts';
import type { Segment } from './segment.ts';

const DUP_THRESH = 3; // RFC 5681 §3.2

/** Take in the ACK, the window and the SACK blocks of an acceptable segment. */
export function takeAck(c: TcpConnection, now: Instant, s: Segment): void {
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
  takeWindow(c, s, window);
  if (flight > 0) detectLoss(c, now);
  if (c.recovery !== 'none' || c.sndNxt !== c.outgoingEnd || c.finQueued) c.touch();
}

function takeSack(c: TcpConnection, s: Segment): void {
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
function advance(c: TcpConnection, now: Instant, s: Segment, acked: number, flight: number): void {
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

function sampleRtt(c: TcpConnection, now: Instant, s: Segment): void {
  if (c.timedAt >= 0 && seqLe(c.timedSeq, s.ack)) {
    c.rtt.sample(now - c.timedAt);
    c.timedAt = -1;
    return;
  }
  c.rtt.resetBackOff();
  // RFC 7323 §4: an echo tells which copy was acknowledged, so a retransmission may be timed.
  if (c.timedAt >= 0 || !s.options.hasTimestamps || c.recovery === 'none') return;
  const rtt = (c.tsVal(now) - s.options.tsEcr) | 0;
  if (rtt >= 0 && rtt < 60_000) c.rtt.sample(rtt);
}

function advanceRecovery(c: TcpConnection, acked: number): void {
  if (c.recovery === 'none') {
    c.dupAcks = 0;
    c.virtualSacked = 0;
    return;
  }
  if (seqLe(c.recover, c.sndUna)) {
    c.recovery = 'none';
    c.dupAcks = 0;
    c.virtualSacked = 0;
    return;
  }
  if (c.sackPermitted) return;
  // A partial ACK (RFC 6582 §3.2): the next segment is lost as well.
  c.virtualSacked = Math.max(c.virtualSacked - acked + c.sndMss, 0);
  if (c.recovery === 'fast') {
    c.lostEdge = seqAdd(c.sndUna, Math.min(c.sndMss, c.flight));
    c.rexmitNxt = c.sndUna;
    c.forceRetransmit = true;
  }
}

function countDuplicate(c: TcpConnection, flight: number): void {
  c.dupAcks++;
  if (c.sackPermitted) return;
  // What stands for segments that left; at most all but the one that is missing.
  c.virtualSacked = Math.min(c.virtualSacked + c.sndMss, Math.max(flight - c.sndMss, 0));
}

function takeWindow(c: TcpConnection, s: Segment, window: number): void {
  const newer = seqLt(c.sndWl1, s.seq) || (c.sndWl1 === s.seq && seqLe(c.sndWl2, s.ack)); // §3.10.7.4
  if (!newer) return;
  c.sndWl1 = s.seq;
  c.sndWl2 = s.ack;
  if (window === c.sndWnd) return;
  c.sndWnd = window;
  if (window > c.maxSndWnd) c.maxSndWnd = window;
  if (window > 0) {
    c.persistAt = NEVER;
    c.persistBackoff = 0;
  }
  c.notifySpace();
}

function detectLoss(c: TcpConnection, now: Instant): void {
  if (c.flight === 0) return;
  if (c.sackPermitted) {
    // RFC 6675 §4: lost when more than two segments' worth is SACKed above it.
    const edge = c.sacked.edgeBelow((DUP_THRESH - 1) * c.sndMss + 1, c.sndUna);
    if (c.recovery !== 'none') {
      c.lostEdge = seqMax(c.lostEdge, edge);
    } else if (seqLt(c.sndUna, edge) || (c.dupAcks >= DUP_THRESH && c.sacked.count > 0)) {
      enterRecovery(c, now);
      c.lostEdge = seqMax(edge, seqAdd(c.sndUna, Math.min(c.sndMss, c.flight)));
    }
    return;
  }
  if (c.recovery !== 'none' || c.dupAcks < DUP_THRESH) return;
  // RFC 6582 §3.2 (2): duplicates of an old episode do not start a new one.
  if (seqLt(c.sndUna, c.recover)) return;
  enterRecovery(c, now);
  c.lostEdge = seqAdd(c.sndUna, Math.min(c.sndMss, c.flight));
}

function enterRecovery(c: TcpConnection, now: Instant): void {
  c.recovery = 'fast';
  c.recover = c.sndNxt;
  c.rexmitNxt = c.sndUna;
  c.forceRetransmit = true;
  c.tailProbeAt = NEVER;
  c.cc.onLoss(now, c.flight);
  c.touch();
}

/** The retransmission timer fired (RFC 6298 §5.4 to 5.6): all that is not SACKed is deemed lost. */
export function onRetransmissionTimeout(c: TcpConnection, now: Instant): void {
  if (c.attempts === 0) c.cc.onTimeout(now, c.flight);
  // The second time in a row the guest may have reneged on what it SACKed (RFC 2018 §8).
  else c.sacked.clear();
  c.attempts++;
  c.rtt.backOff();
  c.recovery = 'loss';
  c.recover = c.sndNxt;
  c.lostEdge = c.sndNxt;
  c.rexmitNxt = c.sndUna;
  c.virtualSacked = 0;
  c.dupAcks = 0;
  c.forceRetransmit = true;
  c.timedAt = -1;
}
