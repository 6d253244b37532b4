/**
 * TCP between guests and host sockets. A guest's SYN becomes a connection of a host socket, and is
 * answered by its outcome; a client of a published port is joined to a connection dialled
 * to the guest. No connection waits for another: an unresponsive target delays only the guest that dialled it.
 */
import type { Counters } from '../../base/counters.ts';
import { ExpiringSet } from '../../base/expiring-set.ts';
import type { Budget } from '../../base/shares/budget.ts';
import type { Instant } from '../../base/time.ts';
import type { ConnectOptions } from '../../native/stream/connect-stream.ts';
import type { HostStream } from '../../native/stream/host-stream.ts';
import type { Downstream, FlowId, RefuseReason, TcpRequest } from '../../stack/flow.ts';
import type { Guest } from '../../stack/guest.ts';
import type { HostLoopback, Outside } from '../flows/destination.ts';
import type { FlowBook } from '../flows/flow-book.ts';
import type { Via } from '../flows/via.ts';
import { StreamGate } from '../inspect/stream-gate.ts';
import { SOURCE_TRIES, sourcePort } from '../ports/client-source.ts';
import type { PumpContext } from '../stream/stream-pump.ts';
import { GuestDial, type GuestEnd, PATIENCE_MS, type PublishedClient } from './guest-dial.ts';
import { GuestSockets } from './guest-sockets.ts';
import { HostDial, type HostDialOwner } from './host-dial.ts';
import { Splice } from './splice.ts';

const UNANSWERED_MS = 10_000;
const UNANSWERED_MAX = 1024;

export type TcpProxyCount = 'connected' | 'refused' | 'failed' | 'cancelled' | 'no-socket';

/** @param dialled the address that the host's socket was for, where it is another than `id.remote` */
export type OnFailed = (id: FlowId, code: string, dialled: string | undefined) => void;

export class TcpProxy implements HostDialOwner {
  private readonly context: PumpContext;
  private readonly downstream: Downstream;
  private readonly counts: Counters<TcpProxyCount>;
  private readonly options: ConnectOptions;
  private readonly sockets: Budget;
  private readonly book: FlowBook;
  private readonly byGuest = new WeakMap<Guest, GuestSockets>();
  private readonly active = new Set<GuestSockets>();
  private readonly onFailed: OnFailed;
  private readonly patienceMs: number;
  /** Addresses of guests that did not answer in time: tried last for a while. */
  private readonly unanswered = new ExpiringSet(UNANSWERED_MAX, UNANSWERED_MS);

  /**
   * @param sockets descriptors
   * @param options of the sockets dialled
   * @param patienceMs how long a guest may take to answer at an address, when it has another
   * @param onFailed called with the reason when a connection for a guest has failed
   */
  constructor(
    context: PumpContext,
    downstream: Downstream,
    counts: Counters<TcpProxyCount>,
    sockets: Budget,
    book: FlowBook,
    options: ConnectOptions = {},
    onFailed: OnFailed = () => {},
    patienceMs: number = PATIENCE_MS,
  ) {
    this.patienceMs = patienceMs;
    this.context = context;
    this.options = options;
    this.downstream = downstream;
    this.counts = counts;
    this.sockets = sockets;
    this.book = book;
    this.onFailed = onFailed;
  }

  /** Splices joined now. */
  *splices(): Generator<Splice, void> {
    for (const { splices } of this.active) yield* splices;
  }

  /** Connect to `to` and `id.remotePort`, and answer the request by the outcome. */
  open(request: TcpRequest, to: HostLoopback | Outside): void {
    const { via } = to;
    if (via?.waitsForGuest === true) this.accept(request, via);
    else this.dial(request, to);
  }

  /** Accept the request, and leave it to `via` where it leads. */
  accept(request: TcpRequest, via: Pick<Via, 'accept'>): void {
    const { context, book } = this;
    const { owner, id } = request;
    const sockets = this.socketsOf(owner);
    const now = context.clock.now();
    if (!this.take(sockets)) {
      this.refuseForLack(request, now);
      return;
    }
    const splice = via.accept(context, id, (over, why) => this.forget(sockets, over, why));
    const flow = request.accept(now, splice);
    context.flusher.schedule();
    if (flow === undefined) {
      this.give(sockets);
      return;
    }
    sockets.splices.add(splice);
    splice.entry = book.add('tcp', owner, id.remote, splice);
    splice.begin(flow, context.intakes?.of(flow.owner));
  }

  private dial(request: TcpRequest, to: HostLoopback | Outside): void {
    const { owner, id } = request;
    const sockets = this.socketsOf(owner);
    const now = this.context.clock.now();
    if (!this.take(sockets)) {
      this.refuseForLack(request, now);
      return;
    }
    const dial = new HostDial(this, now, request, to, this.options);
    sockets.dials.add(dial);
    dial.entry = this.book.add('tcp', owner, id.remote, dial);
  }

  /**
   * Serve a client of a published port: dial the guest, and join the client to what answers.
   *
   * @returns false when the stack cannot create a flow; nothing was started
   */
  serve(client: PublishedClient): boolean {
    const { unanswered } = this;
    if (unanswered.isEmpty || client.ends.length < 2) return this.dialFrom(client, 0);
    const now = this.context.clock.now();
    const isSilent = ({ guest }: GuestEnd): boolean => unanswered.has(now, `${guest}`);
    const { ends } = client;
    const ordered = [...ends.filter((end) => !isSilent(end)), ...ends.filter(isSilent)];
    return this.dialFrom({ ...client, ends: ordered }, 0);
  }

  private dialFrom(client: PublishedClient, first: number): boolean {
    for (let i = first; i < client.ends.length; i++) {
      const end = client.ends[i];
      if (end !== undefined && this.dialAt(client, end, i)) return true;
    }
    return false;
  }

  private dialAt(client: PublishedClient, { guest, remote }: GuestEnd, index: number): boolean {
    const { downstream, context } = this;
    const { guestPort, clientPort, publication } = client;
    const owner = downstream.ownerOf(guest);
    const sockets = this.socketsOf(owner);
    if (!this.take(sockets)) return false;
    const now = context.clock.now();
    for (let attempt = 0; attempt < SOURCE_TRIES; attempt++) {
      const id = { guest, guestPort, remote, remotePort: sourcePort(clientPort, attempt) };
      const dial = new GuestDial(context, id, { openedBy: 'host', publication }, (over, why) => {
        this.forget(sockets, over, why);
        this.dialled(client, dial, index);
      });
      const flow = downstream.dial(now, id, dial);
      if (flow === undefined) continue;
      sockets.splices.add(dial);
      dial.entry = this.book.add('tcp', owner, undefined, dial);
      const intake = context.intakes?.of(flow.owner);
      if (index + 1 < client.ends.length) dial.wait(client, flow, intake, this.patienceMs);
      else dial.start(now, client, flow, intake);
      context.flusher.schedule();
      return true;
    }
    this.give(sockets);
    return false;
  }

  /** A dial for a client is over: it was served, or the guest may answer at another address. */
  private dialled(client: PublishedClient, dial: GuestDial, index: number): void {
    if (dial.isUnanswered) this.unanswered.add(this.context.clock.now(), `${dial.id.guest}`);
    if (dial.hasFailed && this.dialFrom(client, index + 1)) return;
    if (dial.isWaiting) client.stream.reset();
    client.onEnd();
  }

  close(): void {
    for (const splice of [...this.splices()]) splice.abort();
  }

  /** @internal for dials: the host answers. */
  connected(dial: HostDial, stream: HostStream): void {
    const { context } = this;
    const { request } = dial;
    const sockets = this.socketsOf(request.owner);
    sockets.dials.delete(dial);
    const splice = new Splice(context, request.id, dial.origin, (over, why) => {
      this.forget(sockets, over, why);
    });
    const flow = request.accept(context.clock.now(), splice);
    context.flusher.schedule();
    if (flow === undefined) {
      stream.reset(); // the guest gave up, or there is no room for its connection
      this.give(sockets);
      this.book.end(dial.entry, 'cancelled');
      return;
    }
    this.counts.add('connected');
    if (dial.check !== undefined) splice.gate = new StreamGate(splice, dial.check);
    sockets.splices.add(splice);
    splice.entry = dial.entry;
    if (dial.entry !== undefined) dial.entry.source = splice;
    const { early } = dial;
    if (early !== undefined) flow.send(context.clock.now(), early, 0, early.length);
    splice.join(stream, flow, this.context.intakes?.of(flow.owner));
  }

  /** @internal for dials */
  failed(dial: HostDial, code: string): void {
    const { request } = dial;
    const reason = refusalOf(code, dial.host);
    this.end(dial, code);
    this.counts.add(reason === 'refused' ? 'refused' : 'failed');
    this.onFailed(request.id, code, dial.origin.dialled);
    request.refuse(this.context.clock.now(), reason);
    this.context.flusher.schedule();
  }

  /** @internal for dials */
  cancelled(dial: HostDial): void {
    this.end(dial, 'cancelled');
    this.counts.add('cancelled');
  }

  private end(dial: HostDial, why: string): void {
    const sockets = this.socketsOf(dial.request.owner);
    sockets.dials.delete(dial);
    this.give(sockets);
    this.book.end(dial.entry, why);
  }

  private forget(sockets: GuestSockets, splice: Splice, why: string): void {
    sockets.splices.delete(splice);
    this.give(sockets);
    this.book.end(splice.entry, why);
  }

  /**
   * No descriptor is left for the guest, and nobody holds more: as where the system has none (EMFILE), it is told at once. A
   * reset would say that nobody listens there.
   */
  private refuseForLack(request: TcpRequest, now: Instant): void {
    request.refuse(now, 'host-unreachable');
    this.context.flusher.schedule();
  }

  private take(sockets: GuestSockets): boolean {
    if (!sockets.share.take()) {
      this.counts.add('no-socket');
      return false;
    }
    this.active.add(sockets);
    return true;
  }

  private give(sockets: GuestSockets): void {
    sockets.share.give();
    if (sockets.share.held === 0) this.active.delete(sockets);
  }

  private socketsOf(guest: Guest): GuestSockets {
    const known = this.byGuest.get(guest);
    if (known !== undefined) return known;
    const sockets = new GuestSockets(guest, this.sockets);
    this.byGuest.set(guest, sockets);
    return sockets;
  }
}

/** The guest's refusal for a connect to `address` that failed with `code`. */
export function refusalOf(code: string, address: string): RefuseReason {
  switch (code) {
    case 'ENETUNREACH':
    case 'ENETDOWN':
    case 'EAFNOSUPPORT':
      return 'net-unreachable';
    case 'EADDRNOTAVAIL': // of IPv4: no port is left
      return address.includes(':') ? 'net-unreachable' : 'host-unreachable';
    case 'EHOSTUNREACH':
    case 'EHOSTDOWN':
    case 'EMFILE':
    case 'ENFILE':
      return 'host-unreachable';
    case 'EACCES':
    case 'EPERM':
      return 'prohibited';
    case 'ETIMEDOUT':
      return 'timed-out';
    default:
      return 'refused';
  }
}
