/**
 * Recovery from loss.
 *
 * Theory of operation
 * -------------------
 * With SACK: what the guest holds is in `sacked`; everything not SACKed below three segments' worth
 * of SACKed bytes is deemed lost (RFC 6675 §4, IsLost), and `lostEdge` is the end of that region.
 * Without SACK, each duplicate ACK stands for one segment that left the network (`virtualSacked`),
 * and only the segment at `sndUna` is deemed lost (NewReno, RFC 6582). After a retransmission
 * timeout everything not SACKed is. In all three cases `send.ts` retransmits from `rexmitNxt` to
 * `lostEdge` as far as the congestion window allows: one mechanism, three rules for its edge.
 * An episode ends when `recover`, the highest byte sent when it began, is acknowledged.
 */
import { type Seq, seqAdd, seqLe, seqLt, seqMax } from '../../base/seq.ts';
import { type Instant, NEVER } from '../../base/time.ts';
import type { Tcb } from './tcb.ts';

const DUP_THRESH = 3; // RFC 5681 §3.2

/** The end of the segment at `sndUna`. */
const firstLost = (c: Tcb): Seq => seqAdd(c.sndUna, Math.min(c.sndMss, c.flight));

/** Start or restart an episode: what is in flight and not SACKed below `lostEdge` is sent again. */
function enterRecovery(c: Tcb, kind: 'fast' | 'loss', lostEdge: Seq): void {
  c.recovery = kind;
  c.recover = c.sndNxt;
  c.lostEdge = lostEdge;
  c.rexmitNxt = c.sndUna;
  c.forceRetransmit = true;
  c.rescued = false;
  c.tailProbeAt = NEVER;
}

function onDuplicates(c: Tcb, now: Instant, lostEdge: Seq): void {
  enterRecovery(c, 'fast', lostEdge);
  c.cc.onLoss(now, c.flight);
  c.touch();
}

/** The retransmission timer fired (RFC 6298 §5.4 to 5.6): all that is not SACKed is deemed lost. */
export function onRetransmissionTimeout(c: Tcb, now: Instant): void {
  if (c.attempts === 0) c.cc.onTimeout(now, c.flight);
  // The second time in a row the guest may have reneged on what it SACKed (RFC 2018 §8).
  else c.sacked.clear();
  c.attempts++;
  c.rtt.backOff();
  enterRecovery(c, 'loss', c.sndNxt);
  c.virtualSacked = 0;
  c.dupAcks = 0;
  c.timedAt = -1;
}

/**
 * A router said that segments are to be no longer than `mss`. Those in flight did not fit: not a sign of congestion,
 * and they go out again at once (RFC 1191 §6.4).
 *
 * @returns whether there is something to send
 */
export function lowerMss(c: Tcb, mss: number): boolean {
  if (mss >= c.sndMss) return false;
  c.sndMss = mss;
  c.cc.setMss(mss);
  if (c.flight === 0) return false;
  enterRecovery(c, 'loss', c.sndNxt);
  return true;
}

/** Start an episode when an acknowledgement shows a loss; in one, see how far it reaches. */
export function detectLoss(c: Tcb, now: Instant): void {
  if (c.flight === 0) return;
  if (c.sackPermitted) {
    // RFC 6675 §4: lost when more than two segments' worth is SACKed above it.
    const edge = c.sacked.edgeBelow((DUP_THRESH - 1) * c.sndMss + 1, c.sndUna);
    if (c.recovery !== 'none') {
      c.lostEdge = seqMax(c.lostEdge, edge);
    } else if (seqLt(c.sndUna, edge) || (c.dupAcks >= DUP_THRESH && c.sacked.count > 0)) {
      onDuplicates(c, now, seqMax(edge, firstLost(c)));
    }
    return;
  }
  if (c.recovery !== 'none' || c.dupAcks < DUP_THRESH) return;
  // RFC 6582 §3.2 (2): duplicates of an old episode do not start a new one.
  if (seqLt(c.sndUna, c.recover)) return;
  onDuplicates(c, now, firstLost(c));
}

/** `acked` new bytes were acknowledged. */
export function advanceRecovery(c: Tcb, acked: number): void {
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
    c.lostEdge = firstLost(c);
    c.rexmitNxt = c.sndUna;
    c.forceRetransmit = true;
  }
}

/** An acknowledgement said nothing but that a segment has left the network. */
export function countDuplicate(c: Tcb, flight: number): void {
  c.dupAcks++;
  if (c.sackPermitted) return;
  // What stands for segments that left; at most all but the one that is missing.
  c.virtualSacked = Math.min(c.virtualSacked + c.sndMss, Math.max(flight - c.sndMss, 0));
}
