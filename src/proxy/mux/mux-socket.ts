/**
 * A multiplexer over a stream socket.
 *
 * Frames are handled in place where they were read to; what one turn of the event loop caused leaves in
 * one write. What a read leaves for a later turn is copied, and the socket is not read meanwhile.
 */
import { copyBytes } from '../../base/copy-bytes.ts';
import { makeSlab, type Slab, slabOver } from '../../base/slab.ts';
import type { Clock } from '../../base/time.ts';
import type { Destination, IpEndpoint } from '../../mux/destination.ts';
import type { Mux } from '../../mux/mux.ts';
import type { MuxChannel, MuxChannelHandler } from '../../mux/mux-channel.ts';
import type { MuxOptions } from '../../mux/options.ts';
import type { HostStream, HostStreamOwner } from '../../native/stream/host-stream.ts';
import type { TurnShare, Turns, TurnWork } from '../turns.ts';
import { LiveMux, type MuxEnd, type MuxEvents } from './live-mux.ts';
import { feedMux } from './mux-reader.ts';
import { MuxSlabWriter } from './mux-slab-writer.ts';

/**
 * Shared by all links, because a read and its callback are one step. As large as the kernel's buffer of a Unix socket;
 * a quarter of it costs a tenth of the throughput.
 */
const READ_SLAB: Slab = slabOver(Buffer.allocUnsafeSlow(256 << 10));
const NOTHING: Slab = makeSlab(0);

/** Callbacks for the multiplexer's opens and its end, one set for each link. */
export interface MuxSocketHandler extends MuxEvents {
  /** The link is closed; last call. The handlers of channels were called before. */
  onClosed(reason: MuxEnd, error: Error | undefined): void;
}

export class MuxSocket implements HostStreamOwner, TurnWork {
  readonly mux: Mux;
  private readonly clock: Clock;
  private readonly handler: MuxSocketHandler;
  private readonly live: LiveMux;
  private readonly writer: MuxSlabWriter;
  private stream: HostStream | undefined = undefined;
  private reason: MuxEnd = 'link-down';
  /** To be closed once everything is written. */
  private finishing = false;
  private closed = false;
  private readonly share: TurnShare | undefined;
  /** Read and not processed. */
  private rest: Slab = NOTHING;

  /** @param turns absent where nobody else shares the event loop */
  constructor(clock: Clock, options: MuxOptions, handler: MuxSocketHandler, turns?: Turns) {
    this.clock = clock;
    this.handler = handler;
    this.writer = new MuxSlabWriter(
      { write: (bytes, off, len) => this.stream?.write(bytes, off, len) ?? false },
      () => this.mux.onWritable(clock.now()),
    );
    const paced = { ...options, pacedRequests: turns !== undefined };
    this.live = new LiveMux(clock, paced, handler, {
      writer: this.writer,
      onEnd: (_now, reason) => this.end(reason),
    });
    this.mux = this.live.mux;
    this.share = turns?.join(this);
  }

  /**
   * Start on a stream that has not been started.
   *
   * @param early bytes that were read from it already
   */
  attach(stream: HostStream, early?: Uint8Array): void {
    this.stream = stream;
    const hasEarly = early !== undefined && early.length > 0;
    stream.start(this, hasEarly, READ_SLAB.bytes);
    this.live.start(this.clock.now());
    if (hasEarly && this.take(slabOver(early), early.length)) stream.resume();
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
    return this.take(READ_SLAB, len);
  }

  onTurn(): void {
    const { rest } = this;
    this.rest = NOTHING;
    if (this.take(rest, rest.bytes.length)) this.stream?.resume();
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

  /** @returns whether more is to be read */
  private take(slab: Slab, len: number): boolean {
    const { clock, mux, share } = this;
    if (this.closed) return false;
    const now = clock.now();
    let done = 0;
    if (share?.begin(now) !== false) {
      done = feedMux(now, mux, slab, 0, len, share);
      share?.end(!this.closed && (done < len || mux.requestsWaiting > 0));
    }
    if (this.closed) return false;
    if (done < len) this.rest = copyOf(slab, done, len);
    return done === len && mux.requestsWaiting === 0;
  }

  private end(reason: MuxEnd): void {
    this.reason = reason;
    if (reason === 'drained') {
      this.writer.flush();
      this.finishing = true;
    }
    if (reason !== 'drained' || this.writer.drained) this.close(undefined);
  }

  /** Deferred: the failure may be reported from inside a write of the multiplexer. */
  private close(code: string | undefined): void {
    if (this.closed || this.stream === undefined) return;
    this.closed = true;
    this.live.stop();
    this.writer.close();
    this.stream.close();
    process.nextTick(() => {
      const { reason } = this;
      this.mux.onLinkDown(this.clock.now());
      const error = code === undefined ? undefined : new Error(code);
      this.live.whenSettled(() => this.handler.onClosed(reason, error));
    });
  }
}

function copyOf({ bytes }: Slab, from: number, to: number): Slab {
  const copy = makeSlab(to - from);
  copyBytes(bytes, from, copy.bytes, 0, to - from);
  return copy;
}
