/**
 * DNS on the gateway's address: the guests' datagrams and connections to port 53, and the forwarder
 * that answers them.
 */
import { keyGuest, keyRemote } from '../../base/flow-key.ts';
import type { Clock, Instant } from '../../base/time.ts';
import type {
  CloseReason,
  Datagram,
  Downstream,
  TcpFlow,
  TcpFlowHandler,
  TcpRequest,
} from '../../stack/flow.ts';
import type { FlushScheduler } from '../flush-scheduler.ts';
import type { DnsForwarder } from './forwarder.ts';
import { DnsTcpSession } from './tcp-session.ts';

export const DNS_PORT = 53;

export class GatewayDns {
  private readonly forwarder: DnsForwarder;
  private readonly downstream: Downstream;
  private readonly clock: Clock;
  private readonly flusher: FlushScheduler;

  constructor(
    forwarder: DnsForwarder,
    downstream: Downstream,
    clock: Clock,
    flusher: FlushScheduler,
  ) {
    this.forwarder = forwarder;
    this.downstream = downstream;
    this.clock = clock;
    this.flusher = flusher;
  }

  readonly onDatagram = (_now: Instant, datagram: Datagram): void => {
    const { key, guestPort, remotePort, slab, off, len } = datagram;
    const id = { guest: keyGuest(key), guestPort, remote: keyRemote(key), remotePort };
    this.forwarder.query(new Uint8Array(slab.bytes.subarray(off, off + len)), 'udp', (reply) => {
      this.downstream.sendDatagram(this.clock.now(), id, reply, 0, reply.length);
      this.flusher.schedule();
    });
  };

  onRequest(now: Instant, request: TcpRequest): void {
    request.accept(now, new DnsFlow(this.forwarder, this.clock, this.flusher));
  }
}

/** One guest connection: queries in, framed answers out; ended when the guest has ended it. */
class DnsFlow implements TcpFlowHandler {
  private readonly session: DnsTcpSession;
  private readonly clock: Clock;
  private readonly flusher: FlushScheduler;
  private flow: TcpFlow | undefined = undefined;
  private guestEnded = false;

  constructor(forwarder: DnsForwarder, clock: Clock, flusher: FlushScheduler) {
    this.clock = clock;
    this.flusher = flusher;
    this.session = new DnsTcpSession(forwarder, (framed) => this.write(framed));
  }

  onOpen(_now: Instant, flow: TcpFlow): void {
    this.flow = flow;
  }

  onReadable(now: Instant, flow: TcpFlow): void {
    this.flow = flow;
    while (flow.receivedLen > 0) {
      const run = flow.readable();
      const problem = this.session.push(run);
      flow.release(now, run.length);
      if (problem === undefined) continue;
      this.session.close();
      flow.abort(now);
      return;
    }
  }

  onWritable(_now: Instant, _flow: TcpFlow): void {}

  onPeerEnd(now: Instant, flow: TcpFlow): void {
    this.guestEnded = true;
    if (this.session.idle) flow.shutdown(now);
  }

  onClosed(_now: Instant, _flow: TcpFlow, _reason: CloseReason): void {
    this.session.close();
    this.flow = undefined;
  }

  private write(framed: Uint8Array): void {
    const { flow } = this;
    if (flow === undefined) return;
    const now = this.clock.now();
    if (flow.sendSpace < framed.length) {
      // A guest that sends queries without reading: its answers are not buffered.
      this.session.close();
      flow.abort(now);
    } else {
      flow.send(now, framed, 0, framed.length);
      if (this.guestEnded && this.session.idle) flow.shutdown(now);
    }
    this.flusher.schedule();
  }
}
