/** `ws:`: guests that speak Ethernet by WebSocket, as emulators in a browser do (v86, container2wasm), any number of them. */
import { createServer, type IncomingMessage, type Server, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { keepaliveOptions } from '../../native/stream/keepalive-options.ts';
import { MAX_FRAME_LEN, STREAM_FRAMINGS, type StreamFramingName } from '../framing.ts';
import type { LinkContext, OpenLink } from '../link-context.ts';
import { LinkStats } from '../link-stats.ts';
import { type Endpoint, formatStreamAddress } from '../stream-address.ts';
import { closeServer, startServer } from '../stream-server.ts';
import { type WsGuest, WsLink, type WsLinkOptions } from './ws-link.ts';
import { mayAttach } from './ws-origin.ts';
import { WsStreamLink } from './ws-stream-link.ts';

const PROBE_MS = 30_000;
/** For clients to answer that the connection ends. */
const END_LIMIT_MS = 500;
const HEAD_LIMIT_MS = 10_000;
const CONNECTIONS_MAX = 256;
/** Of a message that is a part of a stream. */
const STREAM_MESSAGE_MAX = 1 << 20;

/** Where guests connect, and how. */
export interface WsAddress {
  readonly address: Endpoint;
  /** Undefined: any. */
  readonly path: string | undefined;
  /** Of the bytes of all messages; undefined: a message is a frame. */
  readonly framing: StreamFramingName | undefined;
}

export class WsListener implements OpenLink {
  readonly stats: LinkStats = new LinkStats();
  description: string;
  private readonly context: LinkContext;
  private readonly path: string | undefined;
  private readonly framing: StreamFramingName | undefined;
  private readonly links = new Set<WsGuest>();
  private readonly server: Server;
  private readonly sockets: WebSocketServer;
  private serial = 0;
  private timer: NodeJS.Timeout | undefined = undefined;

  private constructor({ address, path, framing }: WsAddress, context: LinkContext) {
    this.context = context;
    this.path = path;
    this.framing = framing;
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
      maxPayload: this.framing === undefined ? MAX_FRAME_LEN : STREAM_MESSAGE_MAX,
      clientTracking: false,
    });
    this.server.on('upgrade', (request, socket, head) => this.onUpgrade(request, socket, head));
    this.describe(address);
  }

  /** @throws LinkInUseError, LinkError */
  static async open(
    where: WsAddress,
    context: LinkContext,
    probeMs: number = PROBE_MS,
  ): Promise<WsListener> {
    const { address } = where;
    const link = new WsListener(where, context);
    const { server } = link;
    await startServer(server, address, context.socketMode);
    const bound = server.address();
    if (bound !== null && typeof bound === 'object') {
      link.describe({ host: bound.address, port: bound.port });
    }
    link.timer = setInterval(() => {
      for (const one of link.links) one.probe();
    }, probeMs).unref();
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
    const framing = this.framing === undefined ? '' : `?framing=${this.framing}`;
    this.description = `ws:${formatStreamAddress(address)}${this.path ?? ''}${framing}`;
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
        onDown: () => {
          if (link !== undefined) this.links.delete(link);
        },
      };
      const link = this.join(socket, options);
      if (link !== undefined) this.links.add(link);
    });
  }

  private join(socket: WebSocket, options: WsLinkOptions): WsGuest | undefined {
    const { framing, context } = this;
    if (framing !== undefined) {
      const link = new WsStreamLink(socket, STREAM_FRAMINGS[framing], options, context);
      return link.start() ? link : undefined;
    }
    try {
      return new WsLink(socket, options, context);
    } catch (error) {
      this.stats.drops.add('too-many-links');
      context.log.warn({ link: options.name, err: error }, 'guest refused');
      return undefined;
    }
  }
}

function refuse(connection: Duplex, status: 403 | 404): void {
  connection.on('error', () => connection.destroy());
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n`;
  connection.end(`${head}connection: close\r\ncontent-length: 0\r\n\r\n`, () =>
    connection.destroy(),
  );
}
