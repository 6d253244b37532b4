/** `ws:`: guests that speak Ethernet by WebSocket, as emulators in a browser do (v86, container2wasm), any number of them. */
import { createServer, type IncomingMessage, type Server, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { keepaliveOptions } from '../../native/stream/keepalive-options.ts';
import { MAX_FRAME_LEN } from '../framing.ts';
import type { LinkContext, OpenLink } from '../link-context.ts';
import { LinkStats } from '../link-stats.ts';
import { type Endpoint, formatStreamAddress } from '../stream-address.ts';
import { closeServer, startServer } from '../stream-server.ts';
import { WsLink } from './ws-link.ts';
import { mayAttach } from './ws-origin.ts';

const PROBE_MS = 30_000;
/** For clients to answer that the connection ends. */
const END_LIMIT_MS = 500;
const HEAD_LIMIT_MS = 10_000;
const CONNECTIONS_MAX = 256;

export class WsListener implements OpenLink {
  readonly stats: LinkStats = new LinkStats();
  description: string;
  private readonly context: LinkContext;
  private readonly path: string | undefined;
  private readonly links = new Set<WsLink>();
  private readonly server: Server;
  private readonly sockets: WebSocketServer;
  private serial = 0;
  private timer: NodeJS.Timeout | undefined = undefined;

  private constructor(address: Endpoint, path: string | undefined, context: LinkContext) {
    this.context = context;
    this.path = path;
    this.description = '';
    this.server = createServer(
      {
        noDelay: true,
        headersTimeout: HEAD_LIMIT_MS,
        requestTimeout: HEAD_LIMIT_MS,
        ...keepaliveOptions(context.keepaliveS),
      },
      (_request, response) => {
        response.writeHead(426, { connection: 'close', 'content-type': 'text/plain' });
        response.end('guests attach here by WebSocket, a binary message a frame\n');
      },
    );
    this.server.maxConnections = CONNECTIONS_MAX;
    this.sockets = new WebSocketServer({
      noServer: true,
      perMessageDeflate: false,
      maxPayload: MAX_FRAME_LEN,
      clientTracking: false,
    });
    this.server.on('upgrade', (request, socket, head) => this.onUpgrade(request, socket, head));
    this.describe(address);
  }

  /** @throws LinkInUseError, LinkError */
  static async open(
    address: Endpoint,
    path: string | undefined,
    context: LinkContext,
  ): Promise<WsListener> {
    const link = new WsListener(address, path, context);
    const { server } = link;
    await startServer(server, address, context.socketMode);
    const bound = server.address();
    if (bound !== null && typeof bound === 'object') {
      link.describe({ host: bound.address, port: bound.port });
    }
    link.timer = setInterval(() => {
      for (const one of link.links) one.probe();
    }, PROBE_MS).unref();
    return link;
  }

  async close(): Promise<void> {
    const { server, links } = this;
    clearInterval(this.timer);
    const closed = closeServer(server);
    const left = [...links];
    const timer = setTimeout(() => {
      for (const link of left) link.terminate();
      server.closeAllConnections();
    }, END_LIMIT_MS);
    await Promise.all(left.map((link) => link.close()));
    await closed;
    clearTimeout(timer);
  }

  private describe(address: Endpoint): void {
    this.description = `ws:${formatStreamAddress(address)}${this.path ?? ''}`;
  }

  private onUpgrade(request: IncomingMessage, connection: Duplex, head: Buffer): void {
    const { headers, url = '' } = request;
    const [path] = url.split('?', 1);
    if (this.path !== undefined && path !== this.path) {
      refuse(connection, 404);
      return;
    }
    const { host, origin } = headers;
    if (!mayAttach({ host, origin }, this.context.wsOrigins)) {
      this.stats.drops.add('handshake-refused');
      this.context.log.warn({ link: this.description, origin }, 'guest refused: --ws-origin');
      refuse(connection, 403);
      return;
    }
    this.sockets.handleUpgrade(request, connection, head, (socket) => {
      const options = {
        name: `${this.description}#${++this.serial}`,
        listener: this.description,
        stats: this.stats,
        connection,
        onDown: () => this.links.delete(link),
      };
      let link: WsLink;
      try {
        link = new WsLink(socket, options, this.context);
      } catch (error) {
        this.stats.drops.add('too-many-links');
        this.context.log.warn({ link: options.name, err: error }, 'guest refused');
        return;
      }
      this.links.add(link);
    });
  }
}

function refuse(connection: Duplex, status: 403 | 404): void {
  connection.on('error', () => connection.destroy());
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n`;
  connection.end(`${head}connection: close\r\ncontent-length: 0\r\n\r\n`, () =>
    connection.destroy(),
  );
}
