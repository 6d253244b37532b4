/** A client of a relay whose proxy is a server of the test: what it is sent, and says, is text. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { HostLookup } from '../../../src/proxy/host-lookup.ts';
import { HttpRelay } from '../../../src/proxy/upstream-proxy/http-relay.ts';
import type { ProxiedCount, RouteStep } from '../../../src/proxy/upstream-proxy/route-step.ts';

export const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

export class RelayLab {
  /** Of the proxy, and of the relay. */
  readonly sockets: Socket[] = [];
  /** What each connection to the proxy has brought. */
  readonly got: string[] = [];
  readonly counts: ProxiedCount[] = [];
  /** @param text what the connection has brought so far */
  onBytes: (socket: Socket, text: string) => void = (socket) => socket.write(OK);
  /** What the client has been answered. */
  said = '';
  readonly client: Socket;
  /** Be the relay of another connection. */
  readonly serve: (guest: Duplex) => void;
  private readonly upstream: Server;
  private readonly front: Server;

  private constructor(upstream: Server, front: Server) {
    this.upstream = upstream;
    this.front = front;
    upstream.on('connection', (socket: Socket) => {
      const index = this.got.push('') - 1;
      this.sockets.push(socket);
      socket.on('error', () => {});
      socket.on('data', (bytes: Buffer) => {
        this.got[index] += bytes.toString('latin1');
        this.onBytes(socket, this.got[index] ?? '');
      });
    });
    const relay = new HttpRelay(
      { names: new HostLookup(), options: {}, patienceMs: 200 },
      (what) => this.counts.push(what),
      { endedMs: 100, answerMs: 200 },
    );
    this.serve = (guest) => relay.serve(guest, { isExplicit: false, stepOf });
    front.on('connection', (socket: Socket) => {
      this.sockets.push(socket);
      this.serve(socket);
    });
    const { port } = upstream.address() as AddressInfo;
    const server = { scheme: 'http', host: '127.0.0.1', port, credentials: undefined } as const;
    const stepOf = (host: string | undefined): RouteStep => {
      if (host === 'denied.test') return { kind: 'denied', why: 'not \x1b[1m here' };
      if (host === 'free.test') return { kind: 'direct', address: '127.0.0.1', port };
      return { kind: 'proxy', server, target: { host: host ?? '192.0.2.1', port: 80 } };
    };
    this.client = this.connect();
    this.client.on('data', (bytes: Buffer) => {
      this.said += bytes.toString('latin1');
    });
  }

  static async open(): Promise<RelayLab> {
    const servers = [createServer(), createServer({ allowHalfOpen: true })] as const;
    for (const server of servers) await once(server.listen(0, '127.0.0.1'), 'listening');
    return new RelayLab(...servers);
  }

  /** Another client. */
  connect(): Socket {
    const { port } = this.front.address() as AddressInfo;
    return connect(port, '127.0.0.1').on('error', () => {});
  }

  get answers(): number {
    return this.said.match(/HTTP\/1\.1 /g)?.length ?? 0;
  }

  close(): void {
    this.client.destroy();
    for (const socket of this.sockets) socket.destroy();
    this.upstream.close();
    this.front.close();
  }
}
