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
import { ACK, emitTcp, FIN, PSH, RST, SYN, TCP_HEADER_LEN } from '../../wire/tcp.ts';
import {
  emitSackHead,
  emitSynOptions,
  emitTimestamps,
  SYN_OPTIONS_MAX,
  TIMESTAMPS_LEN,
} from '../../wire/tcp-options.ts';
import { RCV_SCALE, type TcpConnection } from './connection.ts';
import { armTailProbe, armTimer } from './deadlines.ts';

/** Largest IP packet, headers included, that is handed to a link that cuts segments itself. */
const MAX_OFFLOAD = 65_535 - 60 - 60;

export function output(c: TcpConnection, now: Instant): void {
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
  if (!c.blocked) sendNew(c, now, pipe);
  armTailProbe(c, now);
  if (c.ackNow && !c.blocked) sendAck(c, now);
  armTimer(c);
}

export function onLinkWritable(c: TcpConnection, now: Instant): void {
  c.blocked = false;
  output(c, now);
}

/** Bytes believed to be in flight (RFC 6675 §4). */
export function pipeOf(c: TcpConnection): number {
  const inFlight = c.flight - c.sacked.bytes - c.virtualSacked;
  if (c.recovery === 'none') return inFlight;
  return inFlight - c.sacked.uncovered(seqMax(c.rexmitNxt, c.sndUna), c.lostEdge);
}

/** Retransmit what is deemed lost, as far as the congestion window allows. */
function retransmitLost(c: TcpConnection, now: Instant, inFlight: number): number {
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

/** Send the sequence numbers [from, from + span) again. */
export function resend(c: TcpConnection, now: Instant, from: Seq, span: number): boolean {
  const data = Math.min(span, Math.max(seqDiff(c.outgoingEnd, from), 0));
  const fin = c.finSent && data < span;
  if (!transmit(c, now, from, data, fin)) return false;
  c.retransmits++;
  c.timedAt = -1; // Karn: a segment sent twice is not timed
  return true;
}

/** Of the new data what fills segments as large as the link takes them. */
export function outputWhole(c: TcpConnection, now: Instant): void {
  const isOpen = c.state === 'established' || c.state === 'close-wait';
  if (!isOpen || c.blocked || c.recovery !== 'none') return;
  const least = maxSegmentOf(c);
  if (seqDiff(c.outgoingEnd, c.sndNxt) >= least) sendNew(c, now, pipeOf(c), least);
}

/** @param least payload bytes of a segment of data */
function sendNew(c: TcpConnection, now: Instant, inFlight: number, least = 1): void {
  let pipe = inFlight;
  if (c.flight === 0 && now - c.lastSent > c.rtt.rto) c.cc.onIdle();
  const maxSegment = maxSegmentOf(c);
  for (;;) {
    const queued = seqDiff(c.outgoingEnd, c.sndNxt);
    const finDue = c.finQueued && !c.finSent;
    if (queued < 0 || (queued === 0 && !finDue)) return;
    const window = seqDiff(seqAdd(c.sndUna, c.sndWnd), c.sndNxt);
    const room = Math.min(window, Math.floor(c.cc.cwnd) - pipe);
    let len = Math.min(queued, room, maxSegment);
    if (queued === 0) {
      if (window < 1) return; // the FIN waits for the window like data: the persist timer asks
      len = 0;
    } else if (len < least) {
      return;
    } else if (len < queued && len < c.sndMss) {
      // Silly window avoidance (RFC 9293 §3.8.6.2.1): wait for room for a full segment.
      if (!c.sendAnyway && (pipe > 0 || len < c.maxSndWnd >> 1)) return;
    } else if (len < queued && len > c.sndMss) {
      len -= len % c.sndMss;
    }
    const fin = finDue && len === queued;
    if (!transmit(c, now, c.sndNxt, len, fin)) return;
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

function maxSegmentOf(c: TcpConnection): number {
  const port = c.path.neighbor.port;
  if (port === undefined || !port.writer.offload) return c.sndMss;
  return Math.max(Math.floor(MAX_OFFLOAD / c.sndMss), 1) * c.sndMss;
}

/**
 * Build and queue one segment of data, or a bare FIN.
 *
 * @returns false when the link took nothing: full (the connection then waits for it) or away
 */
function transmit(c: TcpConnection, now: Instant, at: Seq, len: number, fin: boolean): boolean {
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
  c: TcpConnection,
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
  emitTcp(
    out.slab.view,
    l4,
    c.id.remotePort,
    c.id.guestPort,
    at,
    ack,
    headerLen,
    flags,
    windowField(c, (flags & SYN) !== 0),
    headerLen + len,
    c.addressSum,
    offload,
  );
  const end = l4 + headerLen + len;
  if (offload) out.commitOffload(l4, headerLen, end, len > c.sndMss ? c.sndMss : 0);
  else out.commit(end);
  c.ackNow = false;
  c.ackPending = 0;
  c.ackAt = NEVER;
  c.lastAckSent = ack;
  c.lastSent = now;
}

/** The window to advertise; the right edge never moves back (RFC 9293 §3.8.6.2.2). */
function windowField(c: TcpConnection, syn: boolean): number {
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

function noteUnsent(c: TcpConnection): void {
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

/** An ACK that carries no data, with SACK blocks when there are holes (RFC 2018 §4). */
export function sendAck(c: TcpConnection, now: Instant): void {
  const { out } = c.context;
  const blocks = c.sackPermitted ? Math.min(c.holes.count, c.timestamps ? 3 : 4) : 0;
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
  if (blocks > 0) emitSackBlocks(c, view, at, blocks);
  finishSegment(c, now, l4, c.sndNxt, headerLen, ACK, 0);
}

/** First the block that the last segment fell into, then the others (RFC 2018 §4). */
function emitSackBlocks(c: TcpConnection, view: DataView, start: number, blocks: number): void {
  let at = start + emitSackHead(view, start, blocks);
  let first = 0;
  while (first < c.holes.count - 1 && !seqLt(c.lastHole, c.holes.end(first))) first++;
  for (let i = 0; i < blocks; i++) {
    const index = (first + i) % c.holes.count;
    view.setInt32(at, c.holes.start(index));
    view.setInt32(at + 4, c.holes.end(index));
    at += 8;
  }
}

/** A SYN, or a SYN-ACK: options are offered in the first and answered in the second. */
export function sendSyn(c: TcpConnection, now: Instant): void {
  const { out } = c.context;
  const l4 = out.open(c.path, PROTOCOL_TCP, TCP_HEADER_LEN + SYN_OPTIONS_MAX);
  if (l4 < 0) {
    c.context.drops.add(out.drop);
    return;
  }
  const answer = c.state === 'syn-received';
  const optionsLen = emitSynOptions(
    out.slab.view,
    l4 + TCP_HEADER_LEN,
    out.mtu - c.path.headerLen - TCP_HEADER_LEN,
    !answer || c.rcvScale > 0 ? RCV_SCALE : -1,
    !answer || c.sackPermitted,
    !answer || c.timestamps,
    c.tsVal(now),
    c.tsRecent,
  );
  const headerLen = TCP_HEADER_LEN + optionsLen;
  out.shorten(c.path, l4, headerLen); // the reservation was for the longest options
  finishSegment(c, now, l4, c.iss, headerLen, answer ? SYN | ACK : SYN, 0);
}

/** Ask a guest that has gone quiet for an ACK: a sequence number it has seen (RFC 9293 §3.8.4). */
export function sendProbe(c: TcpConnection, now: Instant): void {
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

/** @param at its sequence number: the one that the guest expects, or named */
export function sendReset(c: TcpConnection, at: Seq): void {
  const { out } = c.context;
  const l4 = out.open(c.path, PROTOCOL_TCP, TCP_HEADER_LEN);
  if (l4 < 0) {
    c.context.drops.add(out.drop);
    return;
  }
  const flags = c.state === 'syn-sent' ? RST : RST | ACK;
  const { view } = out.slab;
  const { remotePort, guestPort } = c.id;
  emitTcp(
    view,
    l4,
    remotePort,
    guestPort,
    at,
    c.rcvNxt,
    TCP_HEADER_LEN,
    flags,
    0,
    TCP_HEADER_LEN,
    c.addressSum,
    false,
  );
  out.commit(l4 + TCP_HEADER_LEN);
}
