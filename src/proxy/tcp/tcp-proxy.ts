/**
 * TCP between guests and host sockets. A guest's SYN becomes a connection of a host socket, and is
 * answered by its outcome; a client of a published port is joined to a connection dialled
 * to the guest. No connection waits for another: an unresponsive target delays only the guest that dialled it.
 */
import { Chain } from '../../base/chain.ts';
import type { Counters } from '../../base/counters.ts';
import { type ConnectOptions, connectStream } from '../../native/stream/connect-stream.ts';
import type { Connecting, ConnectOwner, HostStream } from '../../native/stream/host-stream.ts';
import type { Downstream, FlowId, RefuseReason, TcpRequest } from '../../stack/flow.ts';
import type { PumpContext } from '../stream/stream-pump.ts';
import { Splice } from './splice.ts';

export type TcpProxyCount = 'connected' | 'refused' | 'failed' | 'cancelled';

export class TcpProxy {
  private readonly context: PumpContext;
  private readonly downstream: Downstream;
  private readonly counts: Counters<TcpProxyCount>;
  private readonly options: ConnectOptions;
  private readonly active = new Chain<Splice>();
  private readonly onFailed: (id: FlowId, code: string) => void;

  /**
   * @param options of the sockets dialled
   * @param onFailed called with the reason when a connection for a guest has failed
   */
  constructor(
    context: PumpContext,
    downstream: Downstream,
    counts: Counters<TcpProxyCount>,
    options: ConnectOptions = {},
    onFailed: (id: FlowId, code: string) => void = () => {},
  ) {
    this.context = context;
    this.options = options;
    this.downstream = downstream;
    this.counts = counts;
    this.onFailed = onFailed;
  }

  /** Splices joined now. */
  get splices(): Iterable<Splice> {
    return this.active;
  }

  /** Connect to `address` and `id.remotePort`, and answer the request by the outcome. */
  open(request: TcpRequest, address: string): void {
    const dial = new HostDial(this, request, address, this.options);
    request.onCancelled = (): void => dial.cancel();
  }

  /**
   * Serve a client of a published port: dial the guest, and buffer what the client sends until it answers. The
   * client is read from the start, within the flow's send space, so that its end is noticed.
   *
   * @param preface sent to the guest before anything of the client's
   * @param onEnd called once, when the client has ended
   * @returns false when the stack cannot create the flow; nothing was started
   */
  serve(
    accepted: HostStream,
    id: FlowId,
    preface: Uint8Array | undefined,
    onEnd: () => void,
  ): boolean {
    const splice = new Splice(this.context, id, 'host', (over) => {
      this.active.delete(over);
      onEnd();
    });
    const now = this.context.clock.now();
    const flow = this.downstream.dial(now, id, splice);
    if (flow === undefined) return false;
    if (preface !== undefined) flow.send(now, preface, 0, preface.length);
    this.active.add(splice);
    splice.join(accepted, flow);
    this.context.flusher.schedule();
    return true;
  }

  close(): void {
    for (const splice of [...this.active]) splice.abort();
  }

  /** @internal for dials: the host answers. */
  connected(request: TcpRequest, stream: HostStream): void {
    const { context } = this;
    const splice = new Splice(context, request.id, 'guest', this.forget);
    const flow = request.accept(context.clock.now(), splice);
    context.flusher.schedule();
    if (flow === undefined) {
      stream.reset(); // the guest gave up, or there is no room for its connection
      return;
    }
    this.counts.add('connected');
    this.active.add(splice);
    splice.join(stream, flow);
  }

  /** @internal for dials */
  failed(request: TcpRequest, code: string): void {
    const reason = refusalOf(code);
    this.counts.add(reason === 'refused' ? 'refused' : 'failed');
    this.onFailed(request.id, code);
    request.refuse(this.context.clock.now(), reason);
    this.context.flusher.schedule();
  }

  /** @internal for dials: the guest has given up. */
  cancelled(): void {
    this.counts.add('cancelled');
  }

  private readonly forget = (splice: Splice): void => {
    this.active.delete(splice);
  };
}

/** One connect for a guest's SYN. */
class HostDial implements ConnectOwner {
  private readonly proxy: TcpProxy;
  private readonly request: TcpRequest;
  private readonly connecting: Connecting;

  constructor(proxy: TcpProxy, request: TcpRequest, host: string, options: ConnectOptions) {
    this.proxy = proxy;
    this.request = request;
    this.connecting = connectStream({ host, port: request.id.remotePort }, this, options);
  }

  onConnected(stream: HostStream): void {
    this.request.onCancelled = undefined;
    this.proxy.connected(this.request, stream);
  }

  onConnectFailed(code: string): void {
    this.request.onCancelled = undefined;
    this.proxy.failed(this.request, code);
  }

  cancel(): void {
    this.proxy.cancelled();
    this.connecting.cancel();
  }
}

/** The guest's refusal for a connect that failed with `code`. */
export function refusalOf(code: string): RefuseReason {
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
