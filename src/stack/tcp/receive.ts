/**
 * Arriving segments, looked at in the order of RFC 9293 §3.10.7.4 (with RFC 5961's changes): timestamp,
 * sequence number, RST, SYN, ACK, payload, FIN. Whatever is due in return (ACKs, data, callbacks) is
 * noted on the connection and done at the end of the batch, except duplicate ACKs, of which the
 * guest's fast retransmit wants one for each segment (RFC 5681 §4.2).
 */
import { seqAdd, seqDiff, seqLe, seqLt } from '../../base/seq.ts';
import type { Instant } from '../../base/time.ts';
import { ACK, FIN, RST, SYN } from '../../wire/tcp.ts';
import { takeAck } from './ack.ts';
import { armTimer, delayAck } from './deadlines.ts';
import type { Segment } from './segment.ts';
import { sendAck, sendReset, sendSyn } from './send.ts';
import { EVENT_GUEST_END, EVENT_OPEN, EVENT_READABLE, RCV_SCALE, type Tcb } from './tcb.ts';

/** Below this the copy costs less than a call for each segment. */
const OFFERED_MIN = 16 * 1024;

/** 24 days: older than this, a timestamp says nothing (RFC 7323 §5.5). */
const TIMESTAMP_LIFETIME_MS = 24 * 86_400_000;

export function receive(c: Tcb, now: Instant, s: Segment): void {
  if (c.state === 'syn-sent') {
    receiveInSynSent(c, now, s);
    return;
  }
  c.lastHeard = now;
  c.probes = 0;
  if (isCrossedSynAck(c, s)) {
    const known = Math.min(seqDiff(c.rcvNxt, seqAdd(c.irs, 1)), s.len);
    s.flags &= ~SYN;
    s.seq = c.rcvNxt;
    s.off += known;
    s.len -= known;
    c.ackNow = true;
  }
  if (!acceptable(c, now, s)) return;
  if ((s.flags & RST) !== 0) {
    takeReset(c, now, s);
    return;
  }
  if ((s.flags & SYN) !== 0) {
    if (c.state === 'syn-received' && s.seq === c.irs) {
      sendSyn(c, now); // our SYN-ACK was lost
      return;
    }
    challenge(c, now); // RFC 5961 §4
    return;
  }
  if ((s.flags & ACK) === 0 || !ackAcceptable(c, now, s)) return;
  if (c.timestamps && s.options.hasTimestamps && seqLe(s.seq, c.lastAckSent)) {
    c.tsRecent = s.options.tsVal; // RFC 7323 §4.3; that it is not older was checked
    c.tsRecentAt = now;
  }
  if (c.state === 'syn-received') establish(c, now, s);
  takeAck(c, now, s);
  if (s.len > 0) takePayload(c, now, s);
  if ((s.flags & FIN) !== 0) {
    c.finSeen = true;
    c.finSeq = seqAdd(s.seq, s.len);
    if (s.len === 0 && seqLt(c.rcvNxt, c.finSeq)) sendAck(c, now); // RFC 5681 §4.2: out of order
  }
  closeSides(c, now);
}

/** Simultaneous open: the SYN-ACK of a guest whose SYN has been taken (RFC 9293 §3.5, figure 8). */
function isCrossedSynAck(c: Tcb, s: Segment): boolean {
  return (
    c.state === 'syn-received' &&
    (s.flags & (SYN | ACK | RST)) === (SYN | ACK) &&
    s.seq === c.irs &&
    s.ack === c.sndNxt
  );
}

/** First step: may this segment be looked at? If not, answer it with an ACK. */
function acceptable(c: Tcb, now: Instant, s: Segment): boolean {
  const { drops } = c.context;
  // One without timestamps is taken all the same, as Linux does.
  if (c.timestamps && s.options.hasTimestamps && (s.flags & (RST | SYN)) === 0) {
    const old = ((s.options.tsVal - c.tsRecent) | 0) < 0;
    if (old && now - c.tsRecentAt < TIMESTAMP_LIFETIME_MS) {
      drops.add('tcp-old-timestamp'); // PAWS, RFC 7323 §5.3
      sayWhereWeAre(c, now, s);
      return false;
    }
  }
  if (inWindow(c, s)) return true;
  drops.add('tcp-out-of-window');
  if ((s.flags & RST) !== 0) return false;
  if (c.state === 'syn-received' && (s.flags & SYN) !== 0) {
    sendSyn(c, now);
    return false;
  }
  sayWhereWeAre(c, now, s);
  return false;
}

/** Answer a segment that is not taken, and name what of it had come before (RFC 2883 §4). */
function sayWhereWeAre(c: Tcb, now: Instant, s: Segment): void {
  noteDuplicate(c, s);
  sendAck(c, now);
}

function noteDuplicate(c: Tcb, s: Segment): void {
  const old = Math.min(seqDiff(c.rcvNxt, s.seq), s.len);
  if (old > 0) c.sackBlocks.noteDuplicate(s.seq, seqAdd(s.seq, old));
}

/** RFC 9293 §3.10.7.4, table 6. A closed window still takes ACKs and RSTs. */
function inWindow(c: Tcb, s: Segment): boolean {
  const { span } = s;
  const window = c.rcvWnd;
  const start = seqDiff(s.seq, c.rcvNxt);
  if ((s.flags & RST) !== 0 && start === window) return start === 0;
  // At the right edge as well: a guest that has filled the window still acknowledges from there.
  if (span === 0) return start >= 0 && start <= window;
  if (window === 0) return start === 0 && (s.flags & (ACK | RST)) !== 0;
  const end = start + span - 1;
  return (start >= 0 && start < window) || (end >= 0 && end < window);
}

/** RFC 5961 §3.2: only a RST at exactly the next sequence number is believed. */
function takeReset(c: Tcb, now: Instant, s: Segment): void {
  if (s.seq === c.rcvNxt) c.close(c.state === 'syn-received' ? 'refused' : 'reset-by-guest');
  else challenge(c, now);
}

function challenge(c: Tcb, now: Instant): void {
  const { drops } = c.context;
  if (!c.shares.guest.challenges.take(now)) {
    drops.add('tcp-challenge-rate-limited');
    return;
  }
  drops.add('tcp-challenged');
  sendAck(c, now);
}

function ackAcceptable(c: Tcb, now: Instant, s: Segment): boolean {
  const ahead = seqDiff(s.ack, c.sndNxt);
  const behind = seqDiff(c.sndUna, s.ack);
  if (c.state === 'syn-received') {
    if (ahead <= 0 && behind < 0) return true;
    c.context.drops.add('tcp-bad-ack');
    sendReset(c, now, s.ack, RST); // §3.10.7.4: the handshake goes on, the segment was not of this connection
    return false;
  }
  if (ahead <= 0 && behind <= c.maxSndWnd) return true;
  challenge(c, now); // RFC 5961 §5
  return false;
}

function establish(c: Tcb, now: Instant, s: Segment): void {
  c.transition('ack');
  c.sndWnd = s.window << c.sndScale;
  c.maxSndWnd = c.sndWnd;
  c.sndWl1 = s.seq;
  c.sndWl2 = s.ack;
  c.keepaliveAt = now + c.context.config.keepaliveIdleMs;
  c.notify(EVENT_OPEN);
  if (c.received.length > 0) c.notify(EVENT_READABLE); // the payload of a SYN that crossed ours
  c.touch();
}

/** The answer to our own SYN (RFC 9293 §3.10.7.3). */
function receiveInSynSent(c: Tcb, now: Instant, s: Segment): void {
  const acked = (s.flags & ACK) !== 0;
  if (acked && s.ack !== c.sndNxt) {
    c.context.drops.add('tcp-bad-ack');
    // §3.10.7.3: the guest holds half of an older connection; this ends it, our next SYN gets through.
    if ((s.flags & RST) === 0) sendReset(c, now, s.ack, RST);
    return;
  }
  if ((s.flags & RST) !== 0) {
    if (acked) c.close('refused');
    return;
  }
  if ((s.flags & SYN) === 0) return;
  acceptSyn(c, now, s);
  c.lastHeard = now;
  if (!acked) {
    c.transition('syn'); // simultaneous open
    if (s.len > 0) takePayload(c, now, s);
    sendSyn(c, now);
    return;
  }
  c.transition('syn+ack');
  c.sndUna = s.ack;
  c.sndWnd = s.window; // a SYN's window is not scaled
  c.maxSndWnd = c.sndWnd;
  c.sndWl1 = s.seq;
  c.sndWl2 = s.ack;
  c.attempts = 0;
  c.rtoAt = Number.POSITIVE_INFINITY;
  if (c.timedAt >= 0) c.rtt.sample(now - c.timedAt);
  c.timedAt = -1;
  c.keepaliveAt = now + c.context.config.keepaliveIdleMs;
  c.ackNow = true;
  c.notify(EVENT_OPEN);
  if (s.len > 0) takePayload(c, now, s);
  c.touch();
}

/** Take over the sequence number and options of the guest's SYN (RFC 9293 §3.10.7.2, RFC 7323). */
export function acceptSyn(c: Tcb, now: Instant, s: Segment): void {
  const { options } = s;
  const offered = c.rcvWnd; // by our own SYN, when there was one
  c.irs = s.seq;
  c.rcvNxt = seqAdd(s.seq, 1);
  c.rcvAdv = seqAdd(c.rcvNxt, offered);
  c.lastAckSent = c.rcvNxt;
  // A payload of the SYN follows it: `takePayload` compares with the number after the SYN.
  s.seq = c.rcvNxt;
  if (options.windowScale >= 0) {
    c.sndScale = options.windowScale;
    c.rcvScale = RCV_SCALE;
  } else c.rcvLimit = Math.min(c.rcvLimit, 0xffff);
  c.sackPermitted = options.sackPermitted;
  c.timestamps = options.hasTimestamps;
  if (c.timestamps) {
    c.tsRecent = options.tsVal;
    c.tsRecentAt = now;
  }
  c.setPeerMss(options.mss, c.timestamps);
}

function takePayload(c: Tcb, now: Instant, s: Segment): void {
  if (c.finReceived) return; // §3.10.7.4, seventh step: nothing follows a FIN
  const gap = seqDiff(s.seq, c.rcvNxt);
  if (gap > 0) {
    takeOutOfOrder(c, now, s, gap);
    return;
  }
  const skip = -gap;
  const len = Math.min(s.len - skip, c.rcvWnd);
  if (len <= 0) {
    c.ackNow = true; // nothing new, or the window is closed: acknowledge the current edge
    c.touch();
    return;
  }
  if (skip > 0) noteDuplicate(c, s);
  const off = s.off + skip;
  const isOffered = len >= OFFERED_MIN && c.received.length === 0 && c.state !== 'syn-received';
  const taken = isOffered ? c.offer(now, s.slab.bytes, off, len) : 0;
  if (taken > 0) advanceReceived(c, taken);
  if (taken < len) {
    if (!appendReceived(c, s, off + taken, len - taken)) {
      c.context.drops.add('tcp-no-memory'); // not acknowledged: the guest sends it again
      if (taken > 0) acknowledge(c, now);
      return;
    }
    advanceReceived(c, len - taken);
  }
  if (c.outOfOrder.count > 0) fillGap(c);
  const isOpen = c.state !== 'syn-received'; // RFC 9293 §3.10.7.3: not before it is
  if (isOpen && c.received.length > 0) c.notify(EVENT_READABLE);
  acknowledge(c, now);
}

function acknowledge(c: Tcb, now: Instant): void {
  // RFC 5681 §4.2: no later than the second full segment; a batch is acknowledged once.
  if (c.ackPending > c.rcvMss) c.ackNow = true;
  if (c.ackNow) c.touch();
  else delayAck(c, now);
}

/** What is in order goes before what is not: without memory the furthest ranges give way. */
function appendReceived(c: Tcb, s: Segment, off: number, len: number): boolean {
  while (!c.received.append(s.slab.bytes, off, len)) if (!renege(c)) return false;
  return true;
}

/** Give up the furthest range, which RFC 2018 §8 permits even if it was reported. @returns false when there is none */
function renege(c: Tcb): boolean {
  if (c.outOfOrder.count === 0) return false;
  c.context.drops.add('tcp-reneged');
  c.outOfOrder.dropLast();
  return true;
}

function advanceReceived(c: Tcb, len: number): void {
  c.rcvNxt = seqAdd(c.rcvNxt, len);
  c.bytesToHost += len;
  c.ackPending += len;
  c.growWindow(len);
}

/** The in-order edge may have reached ranges that were waiting. */
function fillGap(c: Tcb): void {
  const { outOfOrder } = c;
  for (;;) {
    const moved = outOfOrder.moveTo(c.received, c.rcvNxt);
    if (moved > 0) advanceReceived(c, moved);
    const isStuck = outOfOrder.count > 0 && seqLe(outOfOrder.start(0), c.rcvNxt);
    if (!isStuck || !renege(c)) break;
  }
  c.ackNow = true; // RFC 5681 §4.2: at once when a gap is filled
}

function takeOutOfOrder(c: Tcb, now: Instant, s: Segment, gap: number): void {
  const { outOfOrder, context } = c;
  const len = Math.min(s.len, c.rcvWnd - gap);
  if (len > 0) {
    const end = seqAdd(s.seq, len);
    const isFull = outOfOrder.isFull;
    if (outOfOrder.covers(s.seq, end)) c.sackBlocks.noteDuplicate(s.seq, end);
    const index = outOfOrder.add(s.seq, s.slab.bytes, s.off, len);
    if (index >= 0) c.sackBlocks.noteArrival(s.seq, outOfOrder, index);
    else context.drops.add(isFull ? 'tcp-too-many-holes' : 'tcp-no-memory');
  }
  sendAck(c, now);
}

/** Our FIN may be acknowledged now, and theirs may have become due; what follows from it. */
function closeSides(c: Tcb, now: Instant): void {
  const finDue = c.finSeen && !c.finReceived && c.finSeq === c.rcvNxt;
  if (finDue) {
    c.rcvNxt = seqAdd(c.rcvNxt, 1);
    if (seqLt(c.rcvAdv, c.rcvNxt)) c.rcvAdv = c.rcvNxt; // a FIN may stand just behind the window
    c.finReceived = true;
    // The host is notified first: its own FIN, which usually follows at once, carries the ACK.
    if (c.state === 'established') delayAck(c, now);
    else c.ackNow = true;
    c.notify(EVENT_GUEST_END);
    c.touch();
  }
  if (c.finAcked && c.state === 'last-ack') {
    c.close('finished');
    return;
  }
  if (finDue && c.finAcked && c.state === 'fin-wait-1') c.transition('fin+ack-of-fin');
  else {
    if (c.finAcked) c.transition('ack-of-fin');
    if (finDue) c.transition('fin');
  }
  if (c.state === 'time-wait') {
    if (finDue) sendAck(c, now);
    c.context.enterTimeWait(now, c);
  } else armTimer(c);
}
