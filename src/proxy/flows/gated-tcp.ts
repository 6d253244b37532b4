/** A guest's connections that somebody is asked about: the SYN waits for the answer. */
import { type Duplex, pipeline } from 'node:stream';
import type { Clock, Instant } from '../../base/time.ts';
import { discardStream } from '../../native/stream/program-streams.ts';
import type { TcpRequest } from '../../stack/flow.ts';
import { ByteDuplex, type DuplexContext, namesOf } from '../stream/byte-duplex.ts';
import type { TcpProxy } from '../tcp/tcp-proxy.ts';
import {
  type HostLoopback,
  type Outside,
  type OwnDnsDestination,
  redirected,
} from './destination.ts';
import type { Destinations } from './destinations.ts';
import { bookDuplex } from './duplex-flow.ts';
import type { FlowBook } from './flow-book.ts';
import { type FlowGate, type GateDenial, type TcpAnswer, tcpAttempt } from './flow-gate.ts';
import { tcpFacts } from './stream-facts.ts';

export interface GatedTcpDeps {
  readonly gate: FlowGate;
  readonly book: FlowBook;
  readonly tcp: Pick<TcpProxy, 'open'>;
  readonly destinations: Pick<
    Destinations,
    'refuseByGate' | 'onAllowed' | 'onRedirected' | 'placeOf'
  >;
  readonly context: DuplexContext & { readonly clock: Pick<Clock, 'now'> };
}

export class GatedTcp {
  private readonly deps: GatedTcpDeps;
  /** Guests' ends of connections to Duplexes. */
  private readonly joined = new Set<ByteDuplex>();

  constructor(deps: GatedTcpDeps) {
    this.deps = deps;
  }

  open(request: TcpRequest, to: HostLoopback | Outside): void {
    let isCancelled = false;
    request.onCancelled = (): void => {
      isCancelled = true;
    };
    const { owner, id } = request;
    const place = this.deps.destinations.placeOf('tcp', id.remote, id.remotePort, to);
    const attempt = tcpAttempt(owner, id, to.verdict?.rule, place);
    this.deps.gate.askTcp(attempt, (answer) => {
      request.onCancelled = undefined;
      if (!isCancelled) this.answer(request, to, answer);
      else if (answer.kind === 'duplex') discardStream(answer.duplex);
    });
  }

  close(): void {
    for (const guest of this.joined) guest.destroy();
  }

  /** Of a service of ours. @returns whether it is refused */
  refuses(now: Instant, request: TcpRequest, dns?: OwnDnsDestination): boolean {
    const { gate, destinations } = this.deps;
    const { owner, id } = request;
    const denial = gate.askService(tcpAttempt(owner, id, dns?.verdict.rule, 'gateway'));
    if (denial !== undefined) this.refuse(now, request, denial);
    else if (dns !== undefined) {
      destinations.onRedirected(owner, 'tcp', id.remote, id.remotePort, dns);
    }
    return denial !== undefined;
  }

  private answer(request: TcpRequest, to: HostLoopback | Outside, answer: TcpAnswer): void {
    const { tcp, context, destinations } = this.deps;
    const now = context.clock.now();
    const { owner, id } = request;
    if (answer.kind !== 'deny') {
      destinations.onAllowed(owner, 'tcp', id.remote, id.remotePort, to);
    }
    switch (answer.kind) {
      case 'allow':
        tcp.open(request, to);
        break;
      case 'redirect':
        tcp.open(request, redirected(to, answer));
        break;
      case 'deny':
        this.refuse(now, request, answer);
        break;
      case 'duplex':
        this.join(now, request, to, answer.duplex);
    }
    context.flusher.schedule();
  }

  private refuse(now: Instant, request: TcpRequest, denial: GateDenial): void {
    const { remote, remotePort } = request.id;
    this.deps.destinations.refuseByGate(request.owner, 'tcp', remote, remotePort, denial);
    request.refuse(now, 'prohibited');
  }

  /** The program is at the other end. */
  private join(
    now: Instant,
    request: TcpRequest,
    { verdict }: HostLoopback | Outside,
    duplex: Duplex,
  ): void {
    const { context, book } = this.deps;
    const guest = new ByteDuplex(context, namesOf(request.id));
    const flow = request.accept(now, guest);
    if (flow === undefined) {
      guest.destroy();
      discardStream(duplex);
      return;
    }
    const origin = { openedBy: 'guest', service: 'program', verdict } as const;
    bookDuplex(book, guest, flow.owner, () => tcpFacts(request.id, origin, flow));
    this.joined.add(guest);
    guest.once('close', () => this.joined.delete(guest));
    guest.join(flow);
    // An end or an error of either is passed on; one that comes after both ends is nobody's.
    guest.on('error', ignore);
    duplex.on('error', ignore);
    pipeline(guest, duplex, ignore);
    pipeline(duplex, guest, ignore);
  }
}

const ignore = (): void => {};
