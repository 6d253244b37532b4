/**
 * What the simulated guest serves: files on a port, and the multiplexer's guest end on another. No kernel
 * and no agent process are in it: connections are the guest's own stack's, channels lead to its own file
 * server, whatever they name.
 */
import type { Server } from 'node:http';
import { SILENT } from '../../base/log.ts';
import type { Clock, Instant } from '../../base/time.ts';
import { MuxPeers } from '../../proxy/agent/peers.ts';
import { type FlushScheduler, ImmediateFlush } from '../../proxy/flush-scheduler.ts';
import { acceptStream } from '../../proxy/mux/channel-stream.ts';
import { ByteDuplex, namesOf } from '../../proxy/stream/byte-duplex.ts';
import type { TcpRequest, Upstream } from '../../stack/flow.ts';
import { makeFileServer } from '../file-server.ts';

type Serve = (now: Instant, request: TcpRequest) => void;

export class SimulatedServers implements Upstream {
  readonly clock: Clock;
  readonly flusher: FlushScheduler;
  private readonly files: Server = makeFileServer('guest');
  private readonly peers: MuxPeers;
  private readonly ports = new Map<number, Serve>();

  /** @param flush of the guest's stack */
  constructor(clock: Clock, flush: () => void) {
    this.clock = clock;
    this.flusher = new ImmediateFlush(flush);
    this.peers = new MuxPeers({
      clock,
      log: SILENT,
      onRequest: (_now, request) => {
        const stream = acceptStream(clock, request);
        stream?.on('error', () => {}); // reset, or gone: the server hears of it by 'close'
        if (stream !== undefined) this.files.emit('connection', stream);
      },
    });
  }

  serveFiles(port: number): void {
    this.ports.set(port, (now, request) => {
      const stream = new ByteDuplex(this, namesOf(request.id));
      const flow = request.accept(now, stream);
      if (flow === undefined) return;
      stream.on('error', () => {}); // as above
      this.files.emit('connection', stream);
      stream.join(flow);
    });
  }

  serveMux(port: number): void {
    const link = { name: `tcp:0.0.0.0:${port}`, order: 0 };
    this.ports.set(port, (now, request) => {
      this.peers.addFlow({
        link,
        role: 'listener',
        flusher: this.flusher,
        dial: (handler) => request.accept(now, handler),
        isOpen: false,
        onEnd: () => {},
      });
    });
  }

  close(): void {
    this.peers.close();
    this.files.closeAllConnections();
  }

  // --- Upstream ---

  onTcpRequest(now: Instant, request: TcpRequest): void {
    const serve = this.ports.get(request.id.remotePort);
    if (serve === undefined) request.refuse(now, 'refused');
    else serve(now, request);
  }

  /** Nothing else is served. */
  onDatagram(): void {}

  onEcho(): void {}
}
