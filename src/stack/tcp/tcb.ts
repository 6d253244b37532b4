/**
 * The transmission control block (RFC 9293 §3.3.1): the variables of one connection to a guest.
 *
 * Theory of operation
 * -------------------
 * The variables are the RFC's (`sndUna`, `rcvNxt`, ...). What happens to them is elsewhere, one
 * idea a file: `receive.ts` takes arriving segments, `ack.ts` acknowledgements, `recovery.ts` repairs
 * losses, `send.ts` decides what to send and builds it, `timers.ts` serves the deadlines, `state.ts`
 * is the diagram. Each works on this class; `connection.ts` adds the calls of the connection's owner.
 *
 * Rings own the bytes. `received` holds what arrived in order and is not yet taken by the host
 * socket; the rest of its limit is the window. What arrived in the window, but out of order, is in `outOfOrder`.
 * `outgoing` holds what the guest has not acknowledged and what is not yet sent. None grows beyond its limit:
 * that is the back-pressure in both directions.
 *
 * Handlers are never called from inside segment processing: events are noted in `events` and
 * delivered from the layer's work list at the end of the batch.
 */

import type { BufferPool } from '../../base/buffer-pool.ts';
import { ByteRing } from '../../base/byte-ring.ts';
import type { Counters } from '../../base/counters.ts';
import { NO_BYTES } from '../../base/no-bytes.ts';
import { type Seq, seq, seqAdd, seqDiff } from '../../base/seq.ts';
import { type Instant, NEVER } from '../../base/time.ts';
import { Timer, type TimerWheel } from '../../base/timer-wheel.ts';
import type { WorkList } from '../../base/work-list.ts';
import { PROTOCOL_TCP } from '../../wire/ipv4.ts';
import { TCP_HEADER_LEN } from '../../wire/tcp.ts';
import { TIMESTAMPS_LEN } from '../../wire/tcp-options.ts';
import type { StackDrop } from '../drops.ts';
import type { CloseReason, FlowId } from '../flow.ts';
import type { IpOutput } from '../ip-output.ts';
import { type Path, pathSum } from '../path.ts';
import type { TcpConfig } from './config.ts';
import type { CongestionControl } from './congestion.ts';
import { ConnectionMemory, type Evictable, type TcpShares } from './connection-memory.ts';
import { Intervals } from './intervals.ts';
import type { IsnGenerator } from './isn.ts';
import { OutOfOrder } from './out-of-order.ts';
import { RttEstimator } from './rtt.ts';
import { SackBlocks } from './sack-blocks.ts';
import { nextState, type TcpEvent, type TcpState } from './state.ts';

/** Events waiting to be delivered, as bits. */
export const EVENT_OPEN = 1;
export const EVENT_READABLE = 2;
export const EVENT_WRITABLE = 4;
export const EVENT_GUEST_END = 8;
export const EVENT_CLOSED = 16;

/** Our window scale: windows of up to 8 MiB. */
export const RCV_SCALE = 7;
const MIN_SEND_LIMIT = 128 * 1024;
/** Both directions, once the memory budget is three quarters spent. */
const TIGHT_LIMIT = 64 * 1024;
/** Of sequence numbers, in either direction. */
const MAX_RANGES = 128;

/** The environment that the connections of one TCP layer share. */
export interface TcpContext {
  readonly config: TcpConfig;
  readonly pool: BufferPool;
  readonly wheel: TimerWheel;
  readonly out: IpOutput;
  readonly isn: IsnGenerator;
  readonly drops: Counters<StackDrop>;
  /** Connections with events for their handlers. */
  readonly workList: WorkList<Tcb>;
  /** Connections to call `output` for at the end of the batch. */
  readonly touchedList: WorkList<Tcb>;
  /** Connections with data that waits for the flush; see `send`. */
  readonly corkedList: WorkList<Tcb>;
  /** Connections whose host side waits for memory. */
  readonly starved: Tcb[];
  /** Guests that have connections. */
  readonly guestCount: number;
  makeCongestionControl(mss: number): CongestionControl;
  /** The connection has reached TIME-WAIT: replace it by a small entry. */
  enterTimeWait(now: Instant, c: Tcb): void;
  /** The connection is closed: drop it from the tables. */
  forget(c: Tcb): void;
}

export abstract class Tcb extends Timer implements Evictable {
  readonly context: TcpContext;
  readonly id: FlowId;
  readonly key: Int32Array;
  readonly path: Path;
  /** Of whom it is. */
  readonly shares: TcpShares;
  /** Of the pseudo-header of what we send. */
  readonly addressSum: number;
  state: TcpState = 'closed';

  // Send sequence space (RFC 9293 §3.3.1).
  iss: Seq;
  sndUna: Seq;
  sndNxt: Seq;
  sndWnd = 0;
  sndWl1: Seq = seq(0);
  sndWl2: Seq = seq(0);
  sndScale = 0;
  /** Largest window the guest ever offered (RFC 5961 §5, RFC 9293 §3.8.6.2.1). */
  maxSndWnd = 0;
  /** Payload bytes of a full segment, options taken off. */
  sndMss = 536;
  /** Sequence number of the oldest byte in `outgoing`. */
  outgoingSeq: Seq;
  finQueued = false;
  finSent = false;
  finAcked = false;

  // Receive sequence space.
  irs: Seq = seq(0);
  rcvNxt: Seq = seq(0);
  /** Right edge of the window as last advertised. */
  rcvAdv: Seq = seq(0);
  rcvScale = 0;
  /** Window when nothing waits: what the ring may hold. Grows while the host keeps up. */
  rcvLimit: number;
  /** Bytes received since the window last grew. */
  rcvSinceGrowth = 0;
  /** Of the connection: the guest's segments are no longer, whatever its card puts together. */
  rcvMss = 536;
  /** Where the guest's FIN stands, when it came before all of its data. */
  finSeq: Seq = seq(0);
  finSeen = false;
  finReceived = false;

  // Options (RFC 7323, RFC 2018).
  timestamps = false;
  tsOffset: number;
  tsRecent = 0;
  tsRecentAt: Instant = 0;
  lastAckSent: Seq = seq(0);
  sackPermitted = false;

  // Acknowledging.
  /** An ACK must go out at the end of the batch. */
  ackNow = false;
  /** Bytes received and not acknowledged. */
  ackPending = 0;
  readonly sackBlocks: SackBlocks = new SackBlocks();

  // Loss recovery (RFC 6675, 6582); see `recovery.ts`.
  readonly sacked: Intervals = new Intervals(MAX_RANGES);
  recovery: 'none' | 'fast' | 'loss' = 'none';
  recover: Seq;
  /** Below this, what is not SACKed is deemed lost. */
  lostEdge: Seq;
  /** Retransmission of this episode has come up to here. */
  rexmitNxt: Seq;
  /** The next retransmission goes out whatever the congestion window says. */
  forceRetransmit = false;
  dupAcks = 0;
  /** The tail was sent again in this episode (RFC 6675 §4, NextSeg rule 4). */
  rescued = false;
  /** What duplicate ACKs of a guest without SACK stand for, in bytes. */
  virtualSacked = 0;
  cc: CongestionControl;
  readonly rtt: RttEstimator = new RttEstimator();
  /** Segment timed now (RFC 6298 §3): its end, and when it was sent; `timedAt` < 0 when none. */
  timedSeq: Seq;
  timedAt: Instant = -1;
  retransmits = 0;
  /** Retransmissions of the segment at `sndUna` without an answer. */
  attempts = 0;
  /** Keepalive and window probes without an answer. */
  probes = 0;
  persistBackoff = 0;
  /** When the window last changed, or was probed. */
  persistFrom: Instant = 0;
  /** The persist timer overrides silly window avoidance once. */
  sendAnyway = false;
  /** One tail loss probe for each advance of `sndUna`. */
  tailProbed = false;

  // Deadlines; `timers.ts`.
  rtoAt: Instant = NEVER;
  tailProbeAt: Instant = NEVER;
  persistAt: Instant = NEVER;
  ackAt: Instant = NEVER;
  keepaliveAt: Instant = NEVER;
  lastHeard: Instant;
  lastSent: Instant;

  // Buffers.
  private readonly memory: ConnectionMemory;
  readonly received: ByteRing;
  readonly outOfOrder: OutOfOrder;
  readonly outgoing: ByteRing;
  bytesToHost: number = NO_BYTES;
  bytesToGuest: number = NO_BYTES;
  protected spaceWanted = 0;

  // Work lists.
  events = 0;
  queued = false;
  touched = false;
  blocked = false;
  /** When the data was sent that waits for the flush; `NEVER` when none does. */
  corkedAt: Instant = NEVER;
  closeReason: CloseReason = 'finished';
  /** An ICMP error said of our SYN that the guest cannot be reached now. */
  unreachable = false;

  constructor(
    context: TcpContext,
    now: Instant,
    id: FlowId,
    key: Int32Array,
    path: Path,
    shares: TcpShares,
    iss: Seq,
  ) {
    super();
    this.context = context;
    this.id = id;
    this.key = key;
    this.path = path;
    this.shares = shares;
    this.addressSum = pathSum(path, PROTOCOL_TCP);
    this.iss = iss;
    this.sndUna = this.iss;
    this.sndNxt = this.iss;
    this.outgoingSeq = seqAdd(this.iss, 1);
    this.recover = this.iss;
    this.lostEdge = this.iss;
    this.rexmitNxt = this.iss;
    this.timedSeq = this.iss;
    this.tsOffset = context.isn.timestampOffset(key);
    this.rcvLimit = context.config.initialWindow;
    this.cc = context.makeCongestionControl(this.sndMss);
    this.lastHeard = now;
    this.lastSent = now;
    this.memory = new ConnectionMemory(context.pool, shares, this);
    this.received = new ByteRing(this.memory);
    this.outOfOrder = new OutOfOrder(this.memory, MAX_RANGES);
    this.outgoing = new ByteRing(this.memory);
  }

  /** Twice what may be in flight, so that a full window is ready when the guest acknowledges. */
  private get sendLimit(): number {
    const { config } = this.context;
    if (this.isTight) return this.context.pool.spent ? this.outgoing.capacity : TIGHT_LIMIT;
    const window = 2 * Math.min(Math.floor(this.cc.cwnd), this.sndWnd); // CUBIC grows by parts of a byte
    return Math.min(Math.max(window, MIN_SEND_LIMIT), config.maxWindow);
  }

  /** Memory runs short, and its guest holds more of it than most. */
  get isTight(): boolean {
    const { pool, guestCount } = this.context;
    return pool.tight && this.shares.memoryShare.held * 2 * guestCount > pool.budget;
  }

  get sendSpace(): number {
    if (this.finQueued || this.state === 'closed') return 0;
    return Math.max(this.sendLimit - this.outgoing.length, 0);
  }

  /** Data bytes and FIN in flight, SACKed ones included. */
  get flight(): number {
    return seqDiff(this.sndNxt, this.sndUna);
  }

  /** Sequence number after the last queued data byte: where the FIN goes. */
  get outgoingEnd(): Seq {
    return seqAdd(this.outgoingSeq, this.outgoing.length);
  }

  get rcvWnd(): number {
    return seqDiff(this.rcvAdv, this.rcvNxt);
  }

  /** What the ring may hold now. */
  get windowLimit(): number {
    return this.isTight ? Math.min(this.rcvLimit, TIGHT_LIMIT) : this.rcvLimit;
  }

  /** The window the ring has room for now. */
  get freeWindow(): number {
    // 128 less, so that rounding up to the scale does not make the ring double.
    return Math.max(this.windowLimit - (1 << RCV_SCALE) - this.received.length, 0);
  }

  /** Whether enough of the window was freed to announce it to the guest (RFC 9293 §3.8.6.2.2). */
  get windowUpdateDue(): boolean {
    if (this.finReceived) return false;
    // An ACK is due anyway, and the guest has window left until then.
    if (this.ackPending > 0 && this.rcvWnd >= this.windowLimit >> 3) return false;
    const gain = seqDiff(seqAdd(this.rcvNxt, this.freeWindow), this.rcvAdv);
    const quarter = this.windowLimit >> 2;
    if (gain >= quarter) return true;
    const mss = Math.min(this.rcvMss, quarter);
    return this.rcvWnd < 2 * mss && gain >= 2 * mss;
  }

  /** TSval of a segment sent at `now`. */
  tsVal(now: Instant): number {
    return (Math.floor(now) + this.tsOffset) | 0;
  }

  /** Take the guest's MSS and the link's MTU into account. */
  setPeerMss(peerMss: number, timestamps: boolean): void {
    const { headerLen, ip } = this.path;
    const ours = this.context.out.mtu - headerLen - TCP_HEADER_LEN;
    const mss = Math.min(Math.max(peerMss === 0 ? ip.defaultMss : peerMss, 64), ours);
    this.sndMss = mss - (timestamps ? TIMESTAMPS_LEN : 0);
    this.rcvMss = this.sndMss;
    this.cc = this.context.makeCongestionControl(this.sndMss);
  }

  transition(event: TcpEvent): void {
    this.state = nextState(this.state, event);
  }

  /** Call the handler for every event noted. */
  abstract deliver(now: Instant): void;
  /** Offer bytes to the handler. @returns how many it has taken */
  abstract offer(now: Instant, bytes: Uint8Array, off: number, len: number): number;
  /** A handler of the connection has thrown: it is reset in both directions. */
  abstract onFault(now: Instant, fault: unknown): void;
  abstract onLinkWritable(now: Instant): void;
  abstract evict(now: Instant): void;

  /** Note an event for the handler, to be delivered at the end of the batch. */
  notify(event: number): void {
    this.events |= event;
    if (this.queued) return;
    this.queued = true;
    this.context.workList.push(this);
  }

  /** Have `output` called at the end of the batch. */
  touch(): void {
    if (this.touched) return;
    this.touched = true;
    this.context.touchedList.push(this);
  }

  notifySpace(): void {
    if (this.spaceWanted > 0 && this.sendSpace >= this.spaceWanted) {
      this.spaceWanted = 0;
      this.notify(EVENT_WRITABLE);
    }
  }

  /** Grow the window while the host takes the bytes as they come. */
  growWindow(len: number): void {
    const { config } = this.context;
    // Without scaling the largest window is 64 KiB.
    if (this.rcvLimit >= config.maxWindow || this.rcvScale === 0) return;
    this.rcvSinceGrowth += len;
    if (this.rcvSinceGrowth < 2 * this.rcvLimit || this.isTight) return;
    this.rcvSinceGrowth = 0;
    // A ring half full means that the host is the slower side: more window would only queue more.
    if (this.received.length * 2 < this.rcvLimit) {
      this.rcvLimit = Math.min(this.rcvLimit * 2, config.maxWindow);
    }
  }

  /** The connection is over. Nothing is sent to the guest; the handler is called at the end of the batch. */
  close(reason: CloseReason): void {
    if (this.state === 'closed') return;
    this.end(reason);
    this.notify(EVENT_CLOSED);
  }

  protected end(reason: CloseReason): void {
    this.state = 'closed';
    this.closeReason = reason;
    this.outgoing.clear();
    this.outOfOrder.clear();
    this.context.forget(this);
  }

  onNeighborUp(now: Instant): void {
    if (this.rtoAt === NEVER) {
      this.touch();
      return;
    }
    // Segments were sent, or due, while the guest was away: do not wait for the back-off.
    this.rtoAt = now;
    this.context.wheel.set(this, now);
  }

  /** Nobody is at the address that was dialled; an established connection waits for its guest. */
  onNeighborUnanswered(): void {
    if (this.state === 'syn-sent') this.close('unreachable');
  }
}
