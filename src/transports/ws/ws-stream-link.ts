/**
 * One guest whose frames are a stream of bytes in the binary messages of a WebSocket, as those of container2wasm: a message
 * may hold several, or a part of one.
 */
import { createWebSocketStream, type WebSocket } from 'ws';
import { SocketStream } from '../../native/stream/socket-stream.ts';
import type { Framing } from '../framing.ts';
import type { LinkContext } from '../link-context.ts';
import { SocketLink } from '../socket-link.ts';
import type { WsGuest, WsLinkOptions } from './ws-link.ts';
import { WsProbe } from './ws-probe.ts';

export class WsStreamLink implements WsGuest {
  private readonly socket: WebSocket;
  private readonly link: SocketLink;
  private readonly probes: WsProbe;

  constructor(socket: WebSocket, framing: Framing, options: WsLinkOptions, context: LinkContext) {
    this.socket = socket;
    this.probes = new WsProbe(socket);
    const stream = new SocketStream(createWebSocketStream(socket), false);
    const { name, stats, onDown, listener } = options;
    this.link = new SocketLink(name, framing, stream, context, stats, onDown, listener);
  }

  /** @returns false when there was no room for the guest, whose WebSocket is closed */
  start(): boolean {
    return this.link.start();
  }

  probe(): void {
    this.probes.probe();
  }

  async close(): Promise<void> {
    await this.link.end();
  }

  terminate(): void {
    this.socket.terminate();
  }
}
