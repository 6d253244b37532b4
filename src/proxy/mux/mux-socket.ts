/**
 * A multiplexer over a stream socket.
 *
 * Frames are handled in place where they were read to, and everything that one turn of the event loop
 * caused is written at its end, in one write.
 */
import { type Slab, slabOver } from '../../base/slab.ts';
import type { Clock, Instant } from '../../base/time.ts';
import type { Destination, IpEndpoint } from '../../mux/destination.ts';
import { Mux, type MuxDownReason } from '../../mux/mux.ts';
import type { MuxChannel, MuxChannelHandler } from '../../mux/mux-channel.ts';
import type { MuxOptions } from '../../mux/options.ts';
import type { ChannelRequest } from '../../mux/request.ts';
import type { HostStream, HostStreamOwner } from '../../native/stream/host-stream.ts';
import { ImmediateFlush } from '../flush-scheduler.ts';
import { MuxSlabWriter } from './mux-slab-writer.ts';

/** How often the multiplexer's timeouts are checked, ms; they are all coarser. */
const TICK_MS = 250;
/**
 * Shared by all links, because a read and its callback are one step. As large as the kernel's buffer of a Unix socket;
 * a quarter of it costs a tenth of the throughput.
 */
const READ_SLAB: Slab = slabOver(Buffer.allocUnsafeSlow(256 << 10));

/** Callbacks for the multiplexer's opens and its end, one set for each link. */
export interface MuxSocketHandler {
  onReady(now: Instant, extended: boolean): void;
  onRequest(now: Instant, request: ChannelRequest): void;
  onGoAway(now: Instant): void;
  /** The link is closed; last call. The handlers of channels were called before. */
  onClosed(reason: MuxDownReason | 'drained', error: Error | undefined): void;
}

export class MuxSocket implements HostStreamOwner {
  readonly mux: Mux;
  private readonly clock: Clock;
  private readonly handler: MuxSocketHandler;
  private readonly flusher: ImmediateFlush;
  private readonly writer: MuxSlabWriter;
  private stream: HostStream | undefined = undefined;
  private ticker: NodeJS.Timeout | undefined = undefined;
  private reason: MuxDownReason | 'drained' = 'link-down';
  /** To be closed once everything is written. */
  private finishing = false;
  private closed = false;

  constructor(clock: Clock, options: MuxOptions, handler: MuxSocketHandler) {
    this.clock = clock;
    this.handler = handler;
    this.flusher = new ImmediateFlush(() => this.mux.flush(clock.now()));
    this.writer = new MuxSlabWriter(
      { write: (bytes, off, len) => this.stream?.write(bytes, off, len) ?? false },
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

  /**
   * Start on a stream that has not been started.
   *
   * @param early bytes that were read from it already
   */
  attach(stream: HostStream, early?: Uint8Array): void {
    this.stream = stream;
    this.ticker = setInterval(() => this.tick(), TICK_MS);
    this.ticker.unref();
    stream.start(this, false, READ_SLAB.bytes);
    this.mux.start(this.clock.now());
    if (early !== undefined && early.length > 0) this.onBytes(slabOver(early), early.length);
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

  onHostBytes(_bytes: Uint8Array, len: number): boolean {
    this.onBytes(READ_SLAB, len);
    return !this.closed;
  }

  onHostWritten(): void {
    this.writer.onWritten();
    if (this.finishing && this.writer.drained) this.close(undefined);
  }

  onHostEnd(): void {
    this.close(undefined);
  }

  onHostClosed(code: string | undefined): void {
    this.close(code);
  }

  private onBytes(slab: Slab, len: number): void {
    const now = this.clock.now();
    this.mux.onBytes(now, slab, 0, len);
    this.mux.onBatchEnd(now);
  }

  private end(reason: MuxDownReason | 'drained'): void {
    this.reason = reason;
    if (reason === 'drained') {
      this.writer.flush();
      this.finishing = true;
    }
    if (reason !== 'drained' || this.writer.drained) this.close(undefined);
  }

  private tick(): void {
    const now = this.clock.now();
    if (now >= this.mux.nextTimeout()) this.mux.onTimeout(now);
  }

  /** Deferred: the failure may be reported from inside a write of the multiplexer. */
  private close(code: string | undefined): void {
    if (this.closed || this.stream === undefined) return;
    this.closed = true;
    clearInterval(this.ticker);
    this.writer.close();
    this.stream.close();
    process.nextTick(() => {
      const { reason } = this;
      this.mux.onLinkDown(this.clock.now());
      this.handler.onClosed(reason, code === undefined ? undefined : new Error(code));
    });
  }
}
