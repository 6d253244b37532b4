/**
 * DNS on the gateway's address: the guests' datagrams and connections to port 53, and the forwarder
 * that answers them; of other addresses too, where it is to answer in the place of another resolver.
 *
 * A connection without a whole query or an answer for ten seconds is ended (RFC 7766 §6.2.3 asks for a few seconds),
 * and reset when the guest does not end it too. Connections are bounded for each guest and in total.
 */
import type { Chained } from '../../base/chain.ts';
import { keyGuest, keyRemote } from '../../base/flow-key.ts';
import type { Budget } from '../../base/shares/budget.ts';
import type { Owner } from '../../base/shares/owner.ts';
import type { Clock, Instant } from '../../base/time.ts';
import { FRAME_HEADER_LEN } from '../../services/dns/tcp-framing.ts';
import type {
  CloseReason,
  Datagram,
  Downstream,
  FlowId,
  TcpFlow,
  TcpFlowHandler,
  TcpRequest,
} from '../../stack/flow.ts';
import type { Flow, FlowFacts, FlowSource, FlowVerdict } from '../flows/flow.ts';
import type { FlowBook } from '../flows/flow-book.ts';
import type { DnsInPlace } from '../flows/own-dns.ts';
import { tcpFacts } from '../flows/stream-facts.ts';
import type { FlushScheduler } from '../flush-scheduler.ts';
import { type ServiceClient, ServiceClients, type ServiceLimits } from '../service-clients.ts';
import type { DnsForwarder } from './forwarder.ts';
import { RedirectedQuery } from './redirected-query.ts';
import { DnsTcpSession } from './tcp-session.ts';

export const DNS_PORT = 53;

export const DNS_TCP_LIMITS: ServiceLimits = { total: 1024, ofGuest: 128, idleMs: 10_000 };

export class GatewayDns implements DnsInPlace {
  private readonly forwarder: DnsForwarder;
  private readonly downstream: Downstream;
  private readonly clock: Clock;
  private readonly flusher: FlushScheduler;
  private readonly book: FlowBook;
  private readonly clients: ServiceClients<DnsFlow>;

  constructor(
    forwarder: DnsForwarder,
    downstream: Downstream,
    clock: Clock,
    flusher: FlushScheduler,
    book: FlowBook,
    limits: ServiceLimits = DNS_TCP_LIMITS,
  ) {
    this.forwarder = forwarder;
    this.downstream = downstream;
    this.clock = clock;
    this.flusher = flusher;
    this.book = book;
    this.clients = new ServiceClients('dns-connections', limits);
  }

  /** Connections of guests. */
  get connections(): Budget {
    return this.clients.budget;
  }

  get connectionCount(): number {
    return this.clients.size;
  }

  nextTimeout(): Instant {
    return this.clients.nextTimeout();
  }

  onTimeout(now: Instant): void {
    this.clients.onTimeout(now);
  }

  readonly onDatagram = (_now: Instant, datagram: Datagram): void => {
    this.answer(datagram, idOf(datagram), undefined);
  };

  onRequest(now: Instant, request: TcpRequest): void {
    this.accept(now, request, undefined);
  }

  takeDatagram(now: Instant, datagram: Datagram, verdict: FlowVerdict): void {
    const { book } = this;
    const id = idOf(datagram);
    const query = new RedirectedQuery(now, id, verdict, datagram.len);
    const flow = book.add('udp', datagram.owner, id.remote, query);
    const isDue = this.answer(datagram, id, (at, len) => {
      query.onAnswered(at, len);
      book.end(flow, 'finished');
      return !query.isEnded;
    });
    if (!isDue) book.end(flow, 'refused');
  }

  takeRequest(now: Instant, request: TcpRequest, verdict: FlowVerdict): void {
    this.accept(now, request, verdict);
  }

  /**
   * @param onAnswer called with the length of the answer; false: it is not to be sent
   * @returns false where there will be none
   */
  private answer(
    { owner, slab, off, len }: Datagram,
    id: FlowId,
    onAnswer: ((at: Instant, len: number) => boolean) | undefined,
  ): boolean {
    const message = new Uint8Array(slab.bytes.subarray(off, off + len));
    return this.forwarder.query(message, 'udp', owner, (reply) => {
      const at = this.clock.now();
      if (onAnswer?.(at, reply.length) === false) return;
      this.book.names.learn(at, owner, reply);
      this.downstream.sendDatagram(at, id, reply, 0, reply.length);
      this.flusher.schedule();
    });
  }

  private accept(now: Instant, request: TcpRequest, verdict: FlowVerdict | undefined): void {
    const { forwarder, clock, flusher, clients, book } = this;
    const handler = new DnsFlow({ forwarder, clock, flusher, clients, book, verdict }, request);
    const flow = request.accept(now, handler);
    if (flow !== undefined) handler.join(now, flow);
  }
}

interface DnsFlowContext {
  readonly forwarder: DnsForwarder;
  readonly clock: Clock;
  readonly flusher: FlushScheduler;
  readonly clients: ServiceClients<DnsFlow>;
  readonly book: FlowBook;
  /** Of a connection to another resolver. */
  readonly verdict: FlowVerdict | undefined;
}

const idOf = ({ key, guestPort, remotePort }: Datagram): FlowId => ({
  ...{ guest: keyGuest(key), guestPort, remote: keyRemote(key), remotePort },
});

/** One guest connection: queries in, framed answers out; ended when the guest has ended it. */
class DnsFlow implements TcpFlowHandler, ServiceClient<DnsFlow>, Chained<DnsFlow>, FlowSource {
  chainNext: DnsFlow | undefined = undefined;
  chainPrev: DnsFlow | undefined = undefined;
  usedAt: Instant = 0;
  readonly owner: Owner;
  private readonly id: FlowId;
  private readonly session: DnsTcpSession;
  private readonly context: DnsFlowContext;
  private flow: TcpFlow | undefined = undefined;
  private entry: Flow | undefined = undefined;
  private guestEnded = false;
  private ended = false;

  constructor(context: DnsFlowContext, { id, owner }: TcpRequest) {
    this.context = context;
    this.id = id;
    this.owner = owner.owner;
    this.session = new DnsTcpSession(context.forwarder, owner, (framed) => this.write(framed));
  }

  join(now: Instant, flow: TcpFlow): void {
    this.flow = flow;
    const { book, clients, verdict } = this.context;
    const { remote } = this.id;
    this.entry = book.add('tcp', flow.owner, verdict && remote, this);
    clients.add(now, this);
  }

  onOpen(_now: Instant, _flow: TcpFlow): void {}

  onReadable(now: Instant, flow: TcpFlow): void {
    while (flow.receivedLen > 0) {
      const run = flow.readable();
      const { queries } = this.session;
      const problem = this.session.push(run);
      flow.release(now, run.length);
      if (problem !== undefined) {
        this.reset(now, problem);
        return;
      }
      if (this.session.queries !== queries) this.context.clients.use(now, this);
    }
  }

  onWritable(_now: Instant, _flow: TcpFlow): void {}

  onPeerEnd(now: Instant, flow: TcpFlow): void {
    this.guestEnded = true;
    if (this.session.idle) flow.shutdown(now);
  }

  onClosed(_now: Instant, _flow: TcpFlow, reason: CloseReason): void {
    this.context.book.end(this.entry, reason);
    this.session.close();
    this.flow = undefined;
    this.context.clients.remove(this);
  }

  expire(now: Instant): boolean {
    const { forwarder, flusher } = this.context;
    flusher.schedule();
    if (!this.ended) {
      this.ended = true;
      forwarder.counts.add('tcp-idle');
      this.session.close();
      this.flow?.shutdown(now);
      return true;
    }
    this.reset(now, 'expired');
    return false;
  }

  evict(now: Instant): void {
    this.context.forwarder.counts.add('tcp-evicted');
    this.reset(now, 'evicted');
  }

  describeFlow(): FlowFacts {
    const origin = { openedBy: 'guest', service: 'dns', verdict: this.context.verdict } as const;
    return tcpFacts(this.id, origin, this.flow, this.usedAt);
  }

  endFlow(): void {
    this.reset(this.context.clock.now(), 'ended-by-request');
    this.context.flusher.schedule();
  }

  private reset(now: Instant, why: string): void {
    this.context.book.end(this.entry, why);
    this.session.close();
    this.flow?.abort(now);
    this.flow = undefined;
    this.context.clients.remove(this);
  }

  private write(framed: Uint8Array): void {
    const { flow } = this;
    if (flow === undefined) return;
    const now = this.context.clock.now();
    if (flow.sendSpace < framed.length) {
      // A guest that sends queries without reading: its answers are not buffered.
      this.context.forwarder.counts.add('tcp-unread');
      this.reset(now, 'unread');
    } else {
      this.context.book.names.learn(now, flow.owner, framed.subarray(FRAME_HEADER_LEN));
      flow.send(now, framed, 0, framed.length);
      if (this.guestEnded && this.session.idle) flow.shutdown(now);
      else this.context.clients.use(now, this);
    }
    this.context.flusher.schedule();
  }
}
