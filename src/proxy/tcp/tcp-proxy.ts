/**
 * TCP between guests and host sockets. A guest's SYN becomes a connection of a host socket, and is
 * answered by what becomes of that; a client of a published port is joined to a connection dialled
 * to the guest. Nothing here waits for another connection: a black hole costs the one who dialled it.
 */
import { connect, type Socket } from 'node:net';
import type { Counters } from '../../base/counters.ts';
import { adoptAccepted } from '../../native/socket-over-handle.ts';
import type { Downstream, FlowId, RefuseReason, TcpRequest } from '../../stack/flow.ts';
import { Splice, type SpliceContext } from './splice.ts';

export type TcpProxyCount = 'connected' | 'refused' | 'failed' | 'cancelled';

export class TcpProxy {
  private readonly context: SpliceContext;
  private readonly downstream: Downstream;
  private readonly counts: Counters<TcpProxyCount>;
  private readonly active = new Set<Splice>();

  constructor(context: SpliceContext, downstream: Downstream, counts: Counters<TcpProxyCount>) {
    this.context = context;
    this.downstream = downstream;
    this.counts = counts;
  }

  /** Splices joined now. */
  get splices(): Iterable<Splice> {
    return this.active;
  }

  /** Connect to `address` and `id.remotePort`, and answer the request by the outcome. */
  open(request: TcpRequest, address: string): void {
    const splice = new Splice(this.context, request.id, 'guest', this.forget);
    let joined = false;
    const socket = connect({
      host: address,
      port: request.id.remotePort,
      allowHalfOpen: true,
      noDelay: true, // the guest's own stack has decided what goes together
      keepAlive: true,
      onread: splice.reader,
    });
    socket.on('connect', () => {
      request.onCancelled = undefined;
      const now = this.context.clock.now();
      const flow = request.accept(now, splice);
      this.context.flusher.schedule();
      if (flow === undefined) {
        socket.resetAndDestroy(); // the guest gave up, or there is no room for its connection
        return;
      }
      joined = true;
      this.counts.add('connected');
      this.active.add(splice);
      splice.join(socket, flow);
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (joined) {
        splice.onHostError();
        return;
      }
      const reason = refusalOf(error.code);
      this.counts.add(reason === 'refused' ? 'refused' : 'failed');
      request.onCancelled = undefined;
      request.refuse(this.context.clock.now(), reason);
      this.context.flusher.schedule();
    });
    request.onCancelled = (): void => {
      this.counts.add('cancelled');
      socket.destroy();
    };
  }

  /**
   * Serve a client of a published port: dial the guest, and hold what the client sends meanwhile. It
   * is read from the start, within the flow's send space, so that one that goes away is noticed.
   *
   * @param accepted paused
   * @param preface sent to the guest before anything of the client's
   * @param onEnd called once, when the client is done with
   * @returns false when the stack takes no such flow; nothing was begun
   */
  serve(accepted: Socket, id: FlowId, preface: Uint8Array | undefined, onEnd: () => void): boolean {
    const splice = new Splice(this.context, id, 'host', (over) => {
      this.forget(over);
      onEnd();
    });
    const now = this.context.clock.now();
    const flow = this.downstream.dial(now, id, splice);
    if (flow === undefined) return false;
    if (preface !== undefined) flow.send(now, preface, 0, preface.length);
    const socket = adoptAccepted(accepted, splice.reader, { allowHalfOpen: true });
    socket.on('error', () => splice.onHostError());
    this.active.add(splice);
    splice.join(socket, flow);
    this.context.flusher.schedule();
    return true;
  }

  close(): void {
    for (const splice of [...this.active]) splice.abort();
  }

  private readonly forget = (splice: Splice): void => {
    this.active.delete(splice);
  };
}

/** What the guest is told of a connect that failed with `code`. */
export function refusalOf(code: string | undefined): RefuseReason {
  switch (code) {
    case 'ENETUNREACH':
    case 'ENETDOWN':
    case 'EAFNOSUPPORT':
      return 'net-unreachable';
    case 'EHOSTUNREACH':
    case 'EHOSTDOWN':
    case 'EADDRNOTAVAIL':
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
