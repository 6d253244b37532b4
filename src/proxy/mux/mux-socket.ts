/**
 * A multiplexer over a socket.
 *
 * One large static buffer is read to, frames are handled in place, and everything that one turn of
 * the event loop caused is written at its end, in one write. The socket has to be made with
 * {@link MuxSocket.reader} as its `onread` (for accepted ones, `adoptAccepted`).
 */
import { slabOver } from '../../base/slab.ts';
import type { Clock, Instant } from '../../base/time.ts';
import type { MuxChannel, MuxChannelHandler } from '../../mux/channel.ts';
import type { Destination, IpEndpoint } from '../../mux/destination.ts';
import { Mux, type MuxDownReason } from '../../mux/mux.ts';
import type { MuxOptions } from '../../mux/options.ts';
import type { ChannelRequest } from '../../mux/request.ts';
import type { LinkSocket } from '../../native/socket-over-handle.ts';
import { ImmediateFlush } from '../flush-scheduler.ts';
import { MuxSlabWriter } from './mux-slab-writer.ts';

/** Bytes per read; larger ones gain nothing (the kernel's socket buffers are about as large). */
const READ_LEN = 256 << 10;
/** How often the multiplexer's timeouts are looked at, ms; they are all coarser. */
const TICK_MS = 250;

/** Where the multiplexer's opens and its end are told; one set of callbacks for each link. */
export interface MuxSocketHandler {
  onReady(now: Instant, extended: boolean): void;
  onRequest(now: Instant, request: ChannelRequest): void;
  onGoAway(now: Instant): void;
  /** The link is closed, or could not be made; last call. Channels have been told before. */
  onClosed(reason: MuxDownReason | 'drained', error: Error | undefined): void;
}

export class MuxSocket {
  readonly mux: Mux;
  /** The `onread` option of the socket to attach. */
  readonly reader: { buffer: Uint8Array; callback: (n: number, buffer: Uint8Array) => boolean };
  private readonly clock: Clock;
  private readonly handler: MuxSocketHandler;
  private readonly flusher: ImmediateFlush;
  private readonly writer: MuxSlabWriter;
  private socket: LinkSocket | undefined = undefined;
  private ticker: NodeJS.Timeout | undefined = undefined;
  private reason: MuxDownReason | 'drained' = 'link-down';
  private error: Error | undefined = undefined;

  constructor(clock: Clock, options: MuxOptions, handler: MuxSocketHandler) {
    this.clock = clock;
    this.handler = handler;
    const slab = slabOver(Buffer.allocUnsafeSlow(READ_LEN));
    this.reader = {
      buffer: slab.bytes,
      callback: (n) => {
        const now = clock.now();
        this.mux.onBytes(now, slab, 0, n);
        this.mux.onBatchEnd(now);
        return true;
      },
    };
    this.flusher = new ImmediateFlush(() => this.mux.flush(clock.now()));
    this.writer = new MuxSlabWriter(
      { write: (bytes, done) => this.socket?.write(bytes, done) },
      () => this.mux.onWritable(clock.now()),
    );
    this.mux = new Mux(options, this.writer, {
      onReady: (now, extended) => handler.onReady(now, extended),
      onRequest: (now, request) => handler.onRequest(now, request),
      onGoAway: (now) => handler.onGoAway(now),
      onDrained: () => this.end('drained'),
      onDown: (_now, reason) => this.end(reason),
      onWork: () => this.flusher.schedule(),
    });
  }

  /** Start on a connected socket whose `onread` is {@link reader}. */
  attach(socket: LinkSocket): void {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('error', (error) => {
      this.error = error;
    });
    socket.on('end', () => socket.destroy());
    socket.on('close', () => this.onSocketClosed());
    this.ticker = setInterval(() => this.tick(), TICK_MS);
    this.ticker.unref();
    this.mux.start(this.clock.now());
    socket.resume();
  }

  /** Open a channel; see `Mux.open`. */
  open(
    destination: Destination,
    handler: MuxChannelHandler,
    client?: IpEndpoint,
  ): MuxChannel | undefined {
    return this.mux.open(this.clock.now(), destination, handler, client);
  }

  /** Let the channels finish, then close. */
  drain(): void {
    this.mux.drain();
  }

  /** Close at once; every channel ends with `link-down`. */
  destroy(): void {
    this.mux.onLinkDown(this.clock.now());
  }

  private end(reason: MuxDownReason | 'drained'): void {
    this.reason = reason;
    const { socket } = this;
    if (socket === undefined) return;
    if (reason === 'drained') {
      this.writer.flush();
      socket.destroySoon();
    } else socket.destroy();
  }

  private tick(): void {
    const now = this.clock.now();
    if (now >= this.mux.nextTimeout()) this.mux.onTimeout(now);
  }

  private onSocketClosed(): void {
    clearInterval(this.ticker);
    this.writer.close();
    const { reason } = this;
    this.mux.onLinkDown(this.clock.now());
    this.handler.onClosed(reason, this.error);
  }
}
