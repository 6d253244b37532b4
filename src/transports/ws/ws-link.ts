/**
 * One guest on a WebSocket: a binary message a frame. Both queues are bounded: what the guest sends waits in its socket
 * while much of it is unprocessed, and the stack waits while much of what it sends is unread.
 */
import type { Duplex } from 'node:stream';
import type { RawData, WebSocket } from 'ws';
import { FrameLink, type PlainFrameWriter } from '../frame-link.ts';
import { MAX_FRAME_LEN } from '../framing.ts';
import type { LinkContext } from '../link-context.ts';
import type { LinkStats } from '../link-stats.ts';
import { WsProbe } from './ws-probe.ts';

/** Unsent bytes from which the stack waits, and down to which. */
const UNSENT_MAX = 1 << 20;
const UNSENT_LOW = UNSENT_MAX >> 1;
/** What one read of the socket may hold, and a message that was nearly complete before it. */
const ROOM_MIN = (64 << 10) + MAX_FRAME_LEN;

const UNSUPPORTED_DATA = 1003;
const GOING_AWAY = 1001;
const TRY_AGAIN_LATER = 1013;
const BINARY = { binary: true, compress: false } as const;

export interface WsLinkOptions {
  readonly name: string;
  readonly listener: string;
  readonly stats: LinkStats;
  /** The connection below the WebSocket. */
  readonly connection: Duplex;
  onDown(): void;
}

/** The link of one client. */
export interface WsGuest {
  /** Ask whether the client is there: see {@link WsProbe}. */
  probe(): void;
  close(): Promise<void>;
  /** Close at once, whatever is under way. */
  terminate(): void;
}

export class WsLink implements PlainFrameWriter, WsGuest {
  private readonly socket: WebSocket;
  private readonly connection: Duplex;
  private readonly link: FrameLink;
  private isStalled = false;
  private isCorked = false;
  private readonly probes: WsProbe;

  /** @throws LinkError when there are too many links: the client is told to try again */
  constructor(socket: WebSocket, options: WsLinkOptions, context: LinkContext) {
    this.socket = socket;
    this.connection = options.connection;
    this.probes = new WsProbe(socket);
    const { name, listener, stats } = options;
    try {
      this.link = new FrameLink(this, name, context, { listener, stats });
    } catch (error) {
      socket.close(TRY_AGAIN_LATER, 'too many links');
      throw error;
    }
    socket.on('message', (data, isBinary) => this.onMessage(data, isBinary));
    socket.on('close', () => void this.link.close());
    socket.on('error', (error) => {
      context.log.debug({ link: name, err: error }, 'guest link failed');
    });
    void this.link.closed.then(() => {
      socket.close(GOING_AWAY);
      options.onDown();
    });
  }

  probe(): void {
    this.probes.probe();
  }

  async close(): Promise<void> {
    await this.link.close();
  }

  terminate(): void {
    this.socket.terminate();
  }

  // --- from the link ---

  write(frame: Uint8Array): boolean {
    const { socket } = this;
    if (!this.isCorked) {
      this.isCorked = true;
      this.connection.cork();
    }
    socket.send(Uint8Array.from(frame), BINARY, this.onSent);
    this.isStalled = socket.bufferedAmount >= UNSENT_MAX;
    return !this.isStalled;
  }

  flush(): void {
    if (!this.isCorked) return;
    this.isCorked = false;
    this.connection.uncork();
  }

  onTaken(): void {
    this.socket.resume();
  }

  private readonly onSent = (): void => {
    if (!this.isStalled || this.socket.bufferedAmount > UNSENT_LOW) return;
    this.isStalled = false;
    this.link.onWritable();
  };

  private onMessage(data: RawData, isBinary: boolean): void {
    if (!isBinary || !(data instanceof Uint8Array)) {
      this.socket.close(UNSUPPORTED_DATA, 'a frame is a binary message');
      return;
    }
    this.link.onFrame(data);
    if (this.link.room < ROOM_MIN) this.socket.pause();
  }
}
