/**
 * The TCP layer: from packets to connections, pending requests and TIME-WAIT entries, and the work
 * lists that carry what they made due.
 *
 * Limits: connections, pending requests, TIME-WAIT entries and the bytes of rings are budgets, shared fairly by the
 * guests; see `guest-tcp.ts`. Where nothing gives way a SYN stays unanswered, and the guest tries again.
 */
import { BufferPool } from '../../base/buffer-pool.ts';
import type { Counters } from '../../base/counters.ts';
import {
  KEY_GUEST,
  KEY_REMOTE,
  keyGuest,
  keyGuestPort,
  keyRemote,
  keyRemotePort,
  makeKey,
  setKeyAddress,
  setKeyPorts,
} from '../../base/flow-key.ts';
import { FlowTable } from '../../base/flow-table.ts';
import type { Random } from '../../base/random.ts';
import { type Seq, seq, seqAdd, seqLe } from '../../base/seq.ts';
import type { Instant } from '../../base/time.ts';
import type { TimerWheel } from '../../base/timer-wheel.ts';
import type { TurnLimit } from '../../base/turn.ts';
import type { WorkList } from '../../base/work-list.ts';
import { ACK, checkTcp, FIN, RST, SYN, tcpDstPort, tcpSrcPort } from '../../wire/tcp.ts';
import type { StackDrop } from '../drops.ts';
import type { FlowId, RefuseReason, TcpFlow, TcpFlowHandler, Upstream } from '../flow.ts';
import type { Guest } from '../guest.ts';
import type { IcmpSender } from '../icmp-sender.ts';
import type { IpOutput } from '../ip-output.ts';
import type { Neighbor } from '../neighbor.ts';
import type { Packet } from '../packet.ts';
import type { Path } from '../path.ts';
import type { TcpConfig } from './config.ts';
import type { CongestionControl } from './congestion.ts';
import { TcpConnection } from './connection.ts';
import type { Evictable } from './connection-memory.ts';
import { Cubic } from './cubic.ts';
import { armTimer } from './deadlines.ts';
import { DueWork, SERVED_PER_LOOK } from './due-work.ts';
import type { GuestTcp, TcpEvictor } from './guest-tcp.ts';
import { IsnGenerator } from './isn.ts';
import { NewReno } from './new-reno.ts';
import { onPathMtu, onUnreachable } from './path-errors.ts';
import { acceptSyn, receive } from './receive.ts';
import { PendingRequest, type RequestOwner } from './request.ts';
import { Segment } from './segment.ts';
import { sendSyn } from './send.ts';
import { StrayAnswers } from './stray-answers.ts';
import type { Tcb, TcpContext } from './tcb.ts';
import { TcpGuests } from './tcp-guests.ts';
import { TimeWait } from './time-wait.ts';
import { TimeWaitTable } from './time-wait-table.ts';

type Endpoint = TcpConnection | PendingRequest | TimeWait;

export interface TcpLayerDeps {
  readonly config: TcpConfig;
  readonly wheel: TimerWheel;
  readonly out: IpOutput;
  readonly icmp: IcmpSender;
  readonly drops: Counters<StackDrop>;
  readonly random: Random;
  readonly upstream: Upstream;
  readonly limit: TurnLimit;
}

export class TcpLayer implements TcpContext, RequestOwner, TcpEvictor {
  readonly config: TcpConfig;
  readonly pool: BufferPool;
  readonly wheel: TimerWheel;
  readonly out: IpOutput;
  readonly isn: IsnGenerator;
  readonly drops: Counters<StackDrop>;
  readonly due: DueWork;
  readonly guests: TcpGuests;
  readonly workList: WorkList<Tcb>;
  readonly touchedList: WorkList<Tcb>;
  readonly corkedList: WorkList<Tcb>;
  readonly starved: Tcb[];
  private lastNow: Instant = 0;
  /** Connections ever opened, by side. */
  accepted = 0;
  dialed = 0;
  private readonly endpoints: FlowTable<Endpoint>;
  private readonly timeWaits: TimeWaitTable;
  private readonly segment = new Segment();
  private readonly stray: StrayAnswers;
  private readonly icmp: IcmpSender;
  private readonly upstream: Upstream;
  private readonly limit: TurnLimit;

  constructor(deps: TcpLayerDeps) {
    const { config, wheel, out, drops, random } = deps;
    this.config = config;
    this.pool = new BufferPool(config.memoryBudget);
    this.wheel = wheel;
    this.out = out;
    this.icmp = deps.icmp;
    this.drops = drops;
    this.isn = new IsnGenerator(random);
    this.stray = new StrayAnswers(out, drops);
    this.upstream = deps.upstream;
    this.limit = deps.limit;
    this.guests = new TcpGuests(config, this);
    this.due = new DueWork(this.pool, deps.limit);
    this.workList = this.due.workList;
    this.touchedList = this.due.touchedList;
    this.corkedList = this.due.corkedList;
    this.starved = this.due.starved;
    const entries = config.maxConnections + config.maxRequests + config.maxTimeWait;
    this.endpoints = new FlowTable(entries, random.next32());
    this.timeWaits = new TimeWaitTable(config, wheel, this.endpoints, (guest) =>
      this.guests.of(guest),
    );
  }

  get connectionCount(): number {
    return this.guests.connectionCount;
  }

  get requestCount(): number {
    return this.guests.requestCount;
  }

  get timeWaitCount(): number {
    return this.timeWaits.size;
  }

  /** Every connection, for people. */
  *[Symbol.iterator](): Generator<TcpConnection, void> {
    for (const { connections } of this.guests) yield* connections;
  }

  get guestCount(): number {
    return this.guests.size;
  }

  onPacket(now: Instant, packet: Packet): void {
    const { slab, l4Off, l4Len, key, neighbor } = packet;
    this.lastNow = now;
    const fault = checkTcp(slab.view, l4Off, l4Len, packet.addressSum);
    if (fault !== undefined) {
      this.drops.add(fault);
      return;
    }
    if (packet.group || neighbor === undefined) {
      this.drops.add('tcp-group-destination');
      return;
    }
    setKeyPorts(key, tcpSrcPort(slab.view, l4Off), tcpDstPort(slab.view, l4Off));
    const { segment } = this;
    segment.read(slab, l4Off, l4Len);
    const endpoint = this.endpoints.get(key);
    if (endpoint instanceof TcpConnection) receive(endpoint, now, segment);
    else if (endpoint === undefined) this.onUnknown(now, key, neighbor, undefined);
    else if (endpoint instanceof PendingRequest) this.onPending(endpoint);
    else this.onTimeWait(now, endpoint, neighbor);
  }

  onPathMtu(now: Instant, from: Guest, key: Int32Array, quotedSeq: Seq, mtu: number): void {
    const c = this.connectionOf(from, key);
    if (c !== undefined) onPathMtu(c, now, quotedSeq, mtu);
  }

  onUnreachable(from: Guest, key: Int32Array, quotedSeq: Seq, hard: boolean): void {
    const c = this.connectionOf(from, key);
    if (c !== undefined) onUnreachable(c, quotedSeq, hard);
  }

  /** The connection that an error of `from` is about: nobody speaks for another guest. */
  private connectionOf(from: Guest, key: Int32Array): TcpConnection | undefined {
    const c = this.endpoints.get(key);
    if (!(c instanceof TcpConnection)) return undefined;
    if (c.path.neighbor.guest === from) return c;
    this.drops.add('icmp-of-another');
    return undefined;
  }

  dial(now: Instant, id: FlowId, neighbor: Neighbor, handler: TcpFlowHandler): TcpFlow | undefined {
    const key = makeKey();
    setKeyAddress(key, KEY_GUEST, id.guest);
    setKeyAddress(key, KEY_REMOTE, id.remote);
    setKeyPorts(key, id.guestPort, id.remotePort);
    const holder = this.endpoints.get(key);
    let issFrom: Seq | undefined;
    if (holder instanceof TimeWait) {
      issFrom = holder.sndNxt;
      this.timeWaits.end(holder);
    } else if (holder !== undefined) return undefined;
    const tcp = this.guests.of(neighbor.guest);
    if (!tcp.connectionShare.take()) {
      this.drops.add('tcp-connection-table-full');
      return undefined;
    }
    const path = this.pathOf(neighbor, id);
    const c = this.open(now, id, key, path, tcp, issFrom, handler);
    if (c === undefined) return undefined;
    this.dialed++;
    c.state = 'syn-sent';
    c.rcvScale = 0;
    this.startHandshake(now, c);
    if (neighbor.port === undefined) neighbor.waiters.add(c);
    return c;
  }

  acceptRequest(
    now: Instant,
    request: PendingRequest,
    handler: TcpFlowHandler,
  ): TcpFlow | undefined {
    const { id, key, path, issFrom } = request;
    const tcp = this.guests.takeRequest(request);
    this.leave(request);
    const c = this.open(now, id, key, path, tcp, issFrom, handler);
    if (c === undefined) return undefined;
    this.accepted++;
    request.replay(this.segment);
    acceptSyn(c, now, this.segment);
    c.state = 'syn-received';
    this.startHandshake(now, c);
    return c;
  }

  refuseRequest(request: PendingRequest, reason: RefuseReason): void {
    this.settle(request);
    switch (reason) {
      case 'refused':
        this.stray.reset(request.path, request.key, seq(0), request.end, RST | ACK);
        return;
      case 'timed-out':
        return; // no answer: the guest times out, as it would on the real path
      case 'host-unreachable':
      case 'net-unreachable':
      case 'prohibited':
        this.icmp.sendTcpError(request.path, request.key, request.irs, reason);
    }
  }

  /** Deliver what the batch brought, then send what it made due, as far as there is time. */
  endBatch(now: Instant): void {
    this.lastNow = now;
    this.due.endBatch(now);
  }

  // --- TcpEvictor ---

  evict(c: Evictable): void {
    this.drops.add('tcp-connection-evicted');
    c.evict(this.lastNow);
  }

  evictRequest(request: PendingRequest): void {
    this.drops.add('tcp-request-evicted');
    this.cancel(request);
  }

  evictTimeWait(entry: TimeWait): void {
    this.drops.add('tcp-time-wait-evicted');
    this.timeWaits.end(entry);
  }

  // --- TcpContext ---

  makeCongestionControl(mss: number): CongestionControl {
    return this.config.congestion === 'cubic' ? new Cubic(mss) : new NewReno(mss);
  }

  /**
   * The guest is gone for good: end all that it has, and all that waits for it.
   *
   * @returns false when some is left, for lack of time
   */
  endGuest(neighbor: Neighbor): boolean {
    if (neighbor.users === 0) return true;
    let ended = 0;
    const isOver = (): boolean => ++ended % SERVED_PER_LOOK === 0 && !this.limit.hasTime();
    for (const { connections, requests } of [...this.guests]) {
      for (const c of connections) {
        if (c.path.neighbor !== neighbor) continue;
        c.close('link-down');
        if (isOver()) return false;
      }
      for (const request of requests) {
        if (request.path.neighbor !== neighbor) continue;
        this.cancel(request);
        if (isOver()) return false;
      }
    }
    return true;
  }

  enterTimeWait(now: Instant, c: Tcb): void {
    c.close('finished');
    this.timeWaits.add(now, c);
  }

  forget(c: Tcb): void {
    if (c instanceof TcpConnection) this.guests.deleteConnection(c);
    this.endpoints.delete(c.key);
    this.wheel.cancel(c);
    c.path.neighbor.users--;
    c.path.neighbor.waiters.delete(c);
  }

  // --- segments that belong to no connection ---

  /** @param issFrom what the connection before this one did not use, when it was in TIME-WAIT */
  private onUnknown(
    now: Instant,
    key: Int32Array,
    neighbor: Neighbor,
    issFrom: Seq | undefined,
  ): void {
    const s = this.segment;
    if ((s.flags & (SYN | ACK | RST)) !== SYN) {
      this.drops.add('tcp-no-connection');
      if ((s.flags & RST) === 0) this.stray.refuse(key, neighbor, s);
      return;
    }
    const tcp = this.guests.of(neighbor.guest);
    if (!tcp.connectionShare.take()) {
      this.drops.add('tcp-connection-table-full');
      return;
    }
    if (!tcp.requestShare.take()) {
      tcp.connectionShare.give();
      this.drops.add('tcp-request-table-full');
      return;
    }
    const id = flowIdOf(key);
    const path = this.pathOf(neighbor, id);
    const request = new PendingRequest(
      this,
      now,
      id,
      key.slice(),
      path,
      neighbor.guest,
      s,
      issFrom,
    );
    this.guests.addRequest(tcp, request);
    neighbor.users++;
    this.endpoints.set(key, request);
    this.upstream.onTcpRequest(now, request);
  }

  private onPending(request: PendingRequest): void {
    const s = this.segment;
    if ((s.flags & RST) !== 0) {
      const isOurs = seqLe(request.irs, s.seq) && seqLe(s.seq, request.end);
      if (isOurs) this.cancel(request);
      return;
    }
    // The guest's SYN again: the answer will echo the newest timestamp (RFC 7323 §4.3).
    if ((s.flags & SYN) !== 0 && s.seq === request.irs && s.options.hasTimestamps) {
      request.tsVal = s.options.tsVal;
    }
  }

  private onTimeWait(now: Instant, entry: TimeWait, neighbor: Neighbor): void {
    const s = this.segment;
    switch (entry.answerTo(s)) {
      case 'nothing':
        return;
      case 'acknowledge':
        // RFC 9293 §3.10.7.4: a FIN again means that our last ACK was lost; its wait restarts.
        if ((s.flags & FIN) !== 0) this.timeWaits.restart(now, entry);
        if (entry.owner.challenges.take(now)) this.stray.acknowledge(now, entry);
        return;
      case 'reopen': {
        this.timeWaits.end(entry);
        this.onUnknown(now, entry.key, neighbor, entry.sndNxt);
      }
    }
  }

  // --- tables ---

  /** Its share of the guest's connections was taken. */
  private open(
    now: Instant,
    id: FlowId,
    key: Int32Array,
    path: Path,
    tcp: GuestTcp,
    issFrom: Seq | undefined,
    handler: TcpFlowHandler,
  ): TcpConnection | undefined {
    const iss = this.isn.isn(now, key, issFrom);
    const c = new TcpConnection(this, now, id, key, path, tcp, iss, handler);
    if (!this.endpoints.set(key, c)) {
      this.guests.giveConnection(tcp);
      return undefined;
    }
    this.guests.addConnection(tcp, c);
    path.neighbor.users++;
    return c;
  }

  private pathOf(neighbor: Neighbor, { remote, guestPort, remotePort }: FlowId): Path {
    return this.out.flowPath(neighbor, remote, guestPort, remotePort);
  }

  private startHandshake(now: Instant, c: TcpConnection): void {
    c.sndNxt = seqAdd(c.iss, 1);
    c.timedAt = now;
    c.timedSeq = c.sndNxt;
    c.rtoAt = now + c.rtt.rto;
    sendSyn(c, now);
    armTimer(c);
  }

  private settle(request: PendingRequest): void {
    this.guests.deleteRequest(request);
    this.leave(request);
  }

  private leave(request: PendingRequest): void {
    request.settled = true;
    request.path.neighbor.users--;
    this.endpoints.delete(request.key);
  }

  private cancel(request: PendingRequest): void {
    this.settle(request);
    request.onCancelled?.();
  }
}

const flowIdOf = (key: Int32Array): FlowId => ({
  guest: keyGuest(key),
  guestPort: keyGuestPort(key),
  remote: keyRemote(key),
  remotePort: keyRemotePort(key),
});
