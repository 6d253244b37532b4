/**
 * Sending: which segments are due, and how one is built.
 *
 * `output` is a ladder of reasons to send: lost bytes first, then new data, then our FIN, then an
 * ACK that nothing carried; `outputWhole` sends no more than whole segments of new data. It may be called at any time and does nothing that is not due. When the
 * link is full the connection queues on it, once, and goes on when it drains.
 */
import { type Seq, seqAdd, seqDiff, seqLt, seqMax } from '../../base/seq.ts';
import { type Instant, NEVER } from '../../base/time.ts';
import { PROTOCOL_TCP } from '../../wire/ipv4.ts';
import { ACK, emitTcp, FIN, PSH, SYN, TCP_HEADER_LEN, TcpFields } from '../../wire/tcp.ts';
import {
  emitSynOptions,
  emitTimestamps,
  SYN_OPTIONS_MAX,
  TIMESTAMPS_LEN,
} from '../../wire/tcp-options.ts';
import { armTailProbe, armTimer } from './deadlines.ts';
import { RCV_SCALE, type Tcb } from './tcb.ts';

/** Largest IP packet, headers included, that is handed to a link that cuts segments itself. */
/** Of the segment that is being built. */
const FIELDS = new TcpFields();
const MAX_OFFLOAD = 65_535 - 60 - 60;

export function output(c: Tcb, now: Instant): void {
  switch (c.state) {
    case 'closed':
    case 'syn-sent':
    case 'syn-received':
    case 'time-wait':
      return;
    case 'established':
    case 'close-wait':
    case 'fin-wait-1':
    case 'fin-wait-2':
    case 'closing':
    case 'last-ack':
      break;
  }
  if (c.blocked) return;
  let pipe = pipeOf(c);
  if (c.recovery !== 'none') pipe = retransmitLost(c, now, pipe);
  if (!c.blocked) pipe = sendNew(c, now, pipe);
  if (c.recovery === 'fast' && c.sackPermitted && !c.blocked) retransmitRest(c, now, pipe);
  armTailProbe(c, now);
  if (c.ackNow && !c.blocked) sendAck(c, now);
  armTimer(c);
}

/** Bytes believed to be in flight (RFC 6675 §4). */
export function pipeOf(c: Tcb): number {
  const inFlight = c.flight - c.sacked.bytes - c.virtualSacked;
  if (c.recovery === 'none') return inFlight;
  const rexmitNxt = seqMax(c.rexmitNxt, c.sndUna);
  const lost = c.sacked.uncovered(rexmitNxt, c.lostEdge);
  // What went out twice though it is not deemed lost is in flight twice.
  const twice = c.sacked.uncovered(seqMax(c.lostEdge, c.sndUna), rexmitNxt);
  return inFlight - lost + twice;
}

/** Retransmit what is deemed lost, as far as the congestion window allows. */
function retransmitLost(c: Tcb, now: Instant, inFlight: number): number {
  let pipe = inFlight;
  for (;;) {
    const from = c.sacked.nextUncovered(seqMax(c.rexmitNxt, c.sndUna));
    if (!seqLt(from, c.lostEdge)) return pipe;
    // RFC 6675 §5 (4.3): the first segment of a recovery goes out whatever the window says.
    if (pipe + c.sndMss > c.cc.cwnd && !c.forceRetransmit && pipe > 0) return pipe;
    const hole = seqDiff(c.sacked.nextCovered(from, c.lostEdge), from);
    const span = Math.min(hole, seqDiff(c.lostEdge, from), c.sndMss);
    if (!resend(c, now, from, span)) return pipe;
    c.forceRetransmit = false;
    c.rexmitNxt = seqAdd(from, span);
    pipe += span;
  }
}

/**
 * RFC 6675 §4, NextSeg rules 3 and 4: when there is nothing new to send and the window has room, what stands below a
 * SACKed range goes out again though it may not be lost, and once in an episode the tail: a tail that was lost as well
 * is found by that and not by a timeout.
 */
function retransmitRest(c: Tcb, now: Instant, inFlight: number): void {
  const window = seqDiff(seqAdd(c.sndUna, c.sndWnd), c.sndNxt);
  if (c.outgoingEnd !== c.sndNxt && !c.finSent && window > 0) return;
  let pipe = inFlight;
  const top = c.sacked.top ?? c.sndUna;
  for (;;) {
    if (pipe + c.sndMss > c.cc.cwnd) return;
    const from = c.sacked.nextUncovered(seqMax(c.rexmitNxt, c.sndUna));
    if (!seqLt(from, top)) break;
    const span = Math.min(seqDiff(c.sacked.nextCovered(from, top), from), c.sndMss);
    if (!resend(c, now, from, span)) return;
    c.rexmitNxt = seqAdd(from, span);
    pipe += span;
  }
  const from = seqMax(seqMax(c.rexmitNxt, top), seqAdd(c.sndNxt, -c.sndMss));
  if (c.rescued || !seqLt(from, c.sndNxt)) return;
  c.rescued = resend(c, now, from, seqDiff(c.sndNxt, from));
}

/** Send the sequence numbers [from, from + span) again. */
export function resend(c: Tcb, now: Instant, from: Seq, span: number): boolean {
  const data = Math.min(span, Math.max(seqDiff(c.outgoingEnd, from), 0));
  const fin = c.finSent && data < span;
  if (!transmit(c, now, from, data, fin)) return false;
  c.retransmits++;
  c.timedAt = -1; // Karn: a segment sent twice is not timed
  return true;
}

/** Of the new data what fills segments as large as the link takes them. */
export function outputWhole(c: Tcb, now: Instant): void {
  const isOpen = c.state === 'established' || c.state === 'close-wait';
  if (!isOpen || c.blocked || c.recovery !== 'none') return;
  const least = maxSegmentOf(c);
  if (seqDiff(c.outgoingEnd, c.sndNxt) >= least) sendNew(c, now, pipeOf(c), least);
}

/**
 * @param least payload bytes of a segment of data
 * @returns bytes believed to be in flight now
 */
function sendNew(c: Tcb, now: Instant, inFlight: number, least = 1): number {
  let pipe = inFlight;
  if (c.flight === 0 && now - c.lastSent > c.rtt.rto) c.cc.onIdle();
  const maxSegment = maxSegmentOf(c);
  for (;;) {
    const queued = seqDiff(c.outgoingEnd, c.sndNxt);
    const finDue = c.finQueued && !c.finSent;
    if (queued < 0 || (queued === 0 && !finDue)) return pipe;
    const window = seqDiff(seqAdd(c.sndUna, c.sndWnd), c.sndNxt);
    const room = Math.min(window, Math.floor(c.cc.cwnd) - pipe);
    let len = Math.min(queued, room, maxSegment);
    if (queued === 0) {
      if (window < 1) return pipe; // the FIN waits for the window like data: the persist timer asks
      len = 0;
    } else if (len < least) {
      return pipe;
    } else if (len < queued && len < c.sndMss) {
      // Silly window avoidance (RFC 9293 §3.8.6.2.1): wait for room for a full segment.
      if (!c.sendAnyway && (pipe > 0 || len < c.maxSndWnd >> 1)) return pipe;
    } else if (len < queued && len > c.sndMss) {
      len -= len % c.sndMss;
    }
    const fin = finDue && len === queued;
    if (!transmit(c, now, c.sndNxt, len, fin)) return pipe;
    if (fin) {
      c.finSent = true;
      c.transition('close');
    }
    c.sendAnyway = false;
    const span = len + (fin ? 1 : 0);
    c.sndNxt = seqAdd(c.sndNxt, span);
    pipe += span;
    if (c.timedAt < 0) {
      c.timedAt = now;
      c.timedSeq = c.sndNxt;
    }
  }
}

function maxSegmentOf(c: Tcb): number {
  const port = c.path.neighbor.port;
  if (port === undefined || !port.writer.offload) return c.sndMss;
  return Math.max(Math.floor(MAX_OFFLOAD / c.sndMss), 1) * c.sndMss;
}

/**
 * Build and queue one segment of data, or a bare FIN.
 *
 * @returns false when the link took nothing: full (the connection then waits for it) or away
 */
function transmit(c: Tcb, now: Instant, at: Seq, len: number, fin: boolean): boolean {
  const { out } = c.context;
  const headerLen = TCP_HEADER_LEN + (c.timestamps ? TIMESTAMPS_LEN : 0);
  const l4 = out.open(c.path, PROTOCOL_TCP, headerLen + len);
  if (c.rtoAt === NEVER) c.rtoAt = now + c.rtt.rto; // also when the link is away: it will ask again
  if (l4 < 0) {
    noteUnsent(c);
    return false;
  }
  const { slab } = out;
  if (c.timestamps) emitTimestamps(slab.view, l4 + TCP_HEADER_LEN, c.tsVal(now), c.tsRecent);
  if (len > 0) c.outgoing.copyOut(seqDiff(at, c.outgoingSeq), len, slab.bytes, l4 + headerLen);
  const last = seqDiff(c.outgoingEnd, at) === len;
  const flags = ACK | (fin ? FIN : 0) | (last && len > 0 ? PSH : 0);
  finishSegment(c, now, l4, at, headerLen, flags, len);
  return true;
}

/** Write the fixed header of a segment whose options and payload are in place, and queue it. */
function finishSegment(
  c: Tcb,
  now: Instant,
  l4: number,
  at: Seq,
  headerLen: number,
  flags: number,
  len: number,
): void {
  const { out } = c.context;
  const offload = len > 0 && c.path.neighbor.port?.writer.offload === true;
  const ack = (flags & ACK) !== 0 ? c.rcvNxt : (0 as Seq);
  FIELDS.srcPort = c.id.remotePort;
  FIELDS.dstPort = c.id.guestPort;
  FIELDS.sequence = at;
  FIELDS.acknowledgment = ack;
  FIELDS.headerLen = headerLen;
  FIELDS.flags = flags;
  FIELDS.window = windowField(c, (flags & SYN) !== 0);
  FIELDS.len = headerLen + len;
  FIELDS.addressSum = c.addressSum;
  FIELDS.partial = offload;
  emitTcp(out.slab.view, l4, FIELDS);
  const end = l4 + headerLen + len;
  if (offload) out.commitOffload(l4, headerLen, end, len > c.sndMss ? c.sndMss : 0);
  else out.commit(end);
  c.ackNow = false;
  c.ackPending = 0;
  c.ackAt = NEVER;
  c.sackBlocks.forgetDuplicate();
  c.lastAckSent = ack;
  c.lastSent = now;
}

/** The window to advertise; the right edge never moves back (RFC 9293 §3.8.6.2.2). */
function windowField(c: Tcb, syn: boolean): number {
  const scale = syn ? 0 : c.rcvScale; // RFC 7323 §2.2: a SYN's window is never scaled
  const free = Math.max(c.freeWindow, c.rcvWnd);
  // Rounded up, as rounding down moves the edge back by a few bytes; but never beyond the ring: a
  // guest that sends byte by byte would push the edge ahead of itself.
  const up = (free + (1 << scale) - 1) >> scale;
  const room = c.windowLimit - c.received.length;
  const field = Math.min(up << scale <= room ? up : free >> scale, 0xffff);
  const edge = seqAdd(c.rcvNxt, field << scale);
  c.rcvAdv = syn ? edge : seqMax(edge, c.rcvAdv);
  return field;
}

function noteUnsent(c: Tcb): void {
  const { out, drops } = c.context;
  const port = c.path.neighbor.port;
  if (out.drop === 'out-link-full' && port !== undefined) {
    c.blocked = true;
    port.waitForSpace(c);
  } else {
    drops.add(out.drop);
    c.path.neighbor.waiters.add(c); // what is due goes out as soon as the guest is back
  }
}

/** An ACK that carries no data, with SACK blocks when something arrived out of order (RFC 2018 §4). */
export function sendAck(c: Tcb, now: Instant): void {
  const { out } = c.context;
  const blocks = c.sackPermitted ? c.sackBlocks.count(c.outOfOrder, c.timestamps ? 3 : 4) : 0;
  const headerLen =
    TCP_HEADER_LEN + (c.timestamps ? TIMESTAMPS_LEN : 0) + (blocks > 0 ? 4 + 8 * blocks : 0);
  const l4 = out.open(c.path, PROTOCOL_TCP, headerLen);
  if (l4 < 0) {
    if (!c.blocked) noteUnsent(c);
    return;
  }
  const { view } = out.slab;
  let at = l4 + TCP_HEADER_LEN;
  if (c.timestamps) at += emitTimestamps(view, at, c.tsVal(now), c.tsRecent);
  if (blocks > 0) c.sackBlocks.emit(view, at, c.outOfOrder, blocks);
  finishSegment(c, now, l4, c.sndNxt, headerLen, ACK, 0);
}

/** A SYN, or a SYN-ACK: options are offered in the first and answered in the second. */
export function sendSyn(c: Tcb, now: Instant): void {
  const { out } = c.context;
  const l4 = out.open(c.path, PROTOCOL_TCP, TCP_HEADER_LEN + SYN_OPTIONS_MAX);
  if (l4 < 0) {
    c.context.drops.add(out.drop);
    return;
  }
  const answer = c.state === 'syn-received';
  const optionsLen = emitSynOptions(out.slab.view, l4 + TCP_HEADER_LEN, {
    mss: out.mtu - c.path.headerLen - TCP_HEADER_LEN,
    windowScale: !answer || c.rcvScale > 0 ? RCV_SCALE : -1,
    sackPermitted: !answer || c.sackPermitted,
    timestamps: !answer || c.timestamps,
    tsVal: c.tsVal(now),
    tsEcr: c.tsRecent,
  });
  const headerLen = TCP_HEADER_LEN + optionsLen;
  out.shorten(c.path, PROTOCOL_TCP, l4, headerLen); // the reservation was for the longest options
  finishSegment(c, now, l4, c.iss, headerLen, answer ? SYN | ACK : SYN, 0);
}

/** Ask a guest that has gone quiet for an ACK: a sequence number it has seen (RFC 9293 §3.8.4). */
export function sendProbe(c: Tcb, now: Instant): void {
  const { out } = c.context;
  const headerLen = TCP_HEADER_LEN + (c.timestamps ? TIMESTAMPS_LEN : 0);
  const l4 = out.open(c.path, PROTOCOL_TCP, headerLen);
  if (l4 < 0) {
    c.context.drops.add(out.drop);
    return;
  }
  if (c.timestamps) {
    emitTimestamps(out.slab.view, l4 + TCP_HEADER_LEN, c.tsVal(now), c.tsRecent);
  }
  finishSegment(c, now, l4, seqAdd(c.sndUna, -1), headerLen, ACK, 0);
}

/**
 * With the connection's timestamps (RFC 7323 §3.2).
 *
 * @param at its sequence number: the one that the guest expects, or named
 */
export function sendReset(c: Tcb, now: Instant, at: Seq, flags: number): void {
  const { out } = c.context;
  const headerLen = TCP_HEADER_LEN + (c.timestamps ? TIMESTAMPS_LEN : 0);
  const l4 = out.open(c.path, PROTOCOL_TCP, headerLen);
  if (l4 < 0) {
    c.context.drops.add(out.drop);
    return;
  }
  const { view } = out.slab;
  if (c.timestamps) emitTimestamps(view, l4 + TCP_HEADER_LEN, c.tsVal(now), c.tsRecent);
  FIELDS.srcPort = c.id.remotePort;
  FIELDS.dstPort = c.id.guestPort;
  FIELDS.sequence = at;
  FIELDS.acknowledgment = (flags & ACK) !== 0 ? c.rcvNxt : (0 as Seq);
  FIELDS.headerLen = headerLen;
  FIELDS.flags = flags;
  FIELDS.window = 0;
  FIELDS.len = headerLen;
  FIELDS.addressSum = c.addressSum;
  FIELDS.partial = false;
  emitTcp(view, l4, FIELDS);
  out.commit(l4 + headerLen);
}
