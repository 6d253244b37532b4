/**
 * A multiplexer over a byte stream of our own: a connection through the virtual network, or a stream
 * of a guest's vsock. The counterpart of `MuxSocket`.
 *
 * Frames are built in one slab and copied from there to the flow as far as it accepts them. While the slab
 * is full the multiplexer waits, so the queue is the slab and the flow's own ring.
 */
import { assert } from '../../base/assert.ts';
import type { ByteStream, ByteStreamHandler } from '../../base/byte-stream.ts';
import { makeSlab, type Slab, slabOver } from '../../base/slab.ts';
import type { Clock, Instant } from '../../base/time.ts';
import type { Mux } from '../../mux/mux.ts';
import type { MuxOptions } from '../../mux/options.ts';
import type { MuxWriter } from '../../mux/writer.ts';
import type { FlushScheduler } from '../flush-scheduler.ts';
import { LiveMux, type MuxEnd } from '../mux/live-mux.ts';
import { feedMux } from '../mux/mux-reader.ts';
import type { MuxSocketHandler } from '../mux/mux-socket.ts';
import type { TurnShare, Turns, TurnWork } from '../turns.ts';

const SLAB_LEN = 128 << 10;
/** The longest reservation. */
const RESERVE_LEN = 65_600;
const SPACE_WANTED = 16 << 10;
/** What is processed within the batch of the flow's own link; the rest waits for a turn. */
const BATCH_LEN = 16 << 10;
const NOTHING = new Uint8Array(0);

export class MuxFlow implements MuxWriter, ByteStreamHandler<ByteStream, string>, TurnWork {
  readonly mux: Mux;
  readonly slab: Slab = makeSlab(SLAB_LEN);
  room = 0;
  private readonly clock: Pick<Clock, 'now'>;
  private readonly handler: MuxSocketHandler;
  private readonly flusher: FlushScheduler;
  private readonly live: LiveMux;
  private flow: ByteStream | undefined = undefined;
  private sent = 0;
  private filled = 0;
  private waiting = false;
  private over = false;
  private readonly share: TurnShare | undefined;

  /**
   * @param flusher of the stack that the flow belongs to
   * @param turns absent where nobody else shares the event loop
   */
  constructor(
    clock: Pick<Clock, 'now'>,
    options: MuxOptions,
    handler: MuxSocketHandler,
    flusher: FlushScheduler,
    turns?: Turns,
  ) {
    this.clock = clock;
    this.handler = handler;
    this.flusher = flusher;
    const paced = { ...options, pacedRequests: turns !== undefined };
    this.live = new LiveMux(clock, paced, handler, {
      writer: this,
      onEnd: (now, reason) => this.end(now, reason),
    });
    this.mux = this.live.mux;
    this.share = turns?.join(this);
  }

  /** Use the flow, which may be opening, that was made with this as its handler. */
  join(flow: ByteStream): void {
    this.flow = flow;
  }

  /** Close at once; every channel ends with `link-down`. */
  destroy(): void {
    const now = this.clock.now();
    this.end(now, 'link-down');
    this.mux.onLinkDown(now);
  }

  // --- from the flow ---

  onOpen(now: Instant): void {
    this.start(now);
  }

  /** Start the handshake, on a flow that is open already. */
  start(now: Instant): void {
    this.live.start(now);
  }

  onReadable(now: Instant): void {
    const { share } = this;
    if (share?.isWaiting === true) return;
    let room = share === undefined ? Number.POSITIVE_INFINITY : BATCH_LEN;
    while (room > 0 && this.hasBytes) room -= this.read(now, room, undefined);
    this.flusher.schedule();
    if (this.hasWork) share?.wait();
  }

  onTurn(now: Instant): void {
    const { share } = this;
    if (share?.begin(now) !== true) return;
    while (this.hasWork) {
      this.read(now, SLAB_LEN, share);
      if (!share.moreNow()) break;
    }
    this.flusher.schedule();
    share.end(this.hasWork);
  }

  private get hasWork(): boolean {
    return this.hasBytes || this.mux.requestsWaiting > 0;
  }

  private get hasBytes(): boolean {
    return !this.over && this.flow !== undefined && this.flow.receivedLen > 0;
  }

  /** @returns bytes that were processed */
  private read(now: Instant, maxLen: number, share: TurnShare | undefined): number {
    const { flow } = this;
    const run = flow?.readable() ?? NOTHING;
    if (flow === undefined) return 0;
    const done = feedMux(now, this.mux, slabOver(run), 0, Math.min(run.length, maxLen), share);
    if (!this.over) flow.release(now, done);
    return done;
  }

  onWritable(now: Instant): void {
    this.pump(now);
    if (!this.waiting || !this.makeRoom(RESERVE_LEN)) return;
    this.waiting = false;
    this.mux.onWritable(now);
  }

  onPeerEnd(now: Instant): void {
    this.end(now, 'link-down');
    this.mux.onLinkDown(now);
  }

  onClosed(now: Instant, _flow: ByteStream, reason: string): void {
    if (this.over) return;
    this.flow = undefined;
    this.end(now, 'link-down', new Error(reason));
    this.mux.onLinkDown(now);
  }

  // --- MuxWriter ---

  reserve(minLen: number): number {
    assert(minLen <= RESERVE_LEN, 'reservation too long');
    if (!this.makeRoom(minLen)) {
      this.pump(this.clock.now());
      if (!this.makeRoom(minLen)) {
        this.waiting = true; // the flow was asked for space, and will call back
        return -1;
      }
    }
    this.room = SLAB_LEN - this.filled;
    return this.filled;
  }

  commit(len: number): void {
    this.filled += len;
    this.room = 0;
  }

  flush(): void {
    this.pump(this.clock.now());
  }

  private makeRoom(len: number): boolean {
    if (this.over) return false;
    if (this.filled + len <= SLAB_LEN) return true;
    if (this.sent === 0 || this.filled - this.sent + len > SLAB_LEN) return false;
    this.slab.bytes.copyWithin(0, this.sent, this.filled);
    this.filled -= this.sent;
    this.sent = 0;
    return true;
  }

  private pump(now: Instant): void {
    const { flow } = this;
    if (flow === undefined || this.over) return;
    const rest = this.filled - this.sent;
    if (rest === 0) return;
    const n = Math.min(flow.sendSpace, rest);
    if (n > 0) {
      flow.send(now, this.slab.bytes, this.sent, n);
      this.sent += n;
      this.flusher.schedule();
    }
    if (this.sent < this.filled) {
      flow.wantSpace(Math.min(this.filled - this.sent, SPACE_WANTED));
      return;
    }
    this.sent = 0;
    this.filled = 0;
  }

  private end(now: Instant, reason: MuxEnd, error?: Error): void {
    if (this.over) return;
    this.pump(now); // the frame that carries the reason
    this.over = true;
    this.live.stop();
    if (reason === 'drained') this.flow?.shutdown(now);
    else this.flow?.abort(now);
    this.flusher.schedule();
    setImmediate(() => this.live.whenSettled(() => this.handler.onClosed(reason, error)));
  }
}
