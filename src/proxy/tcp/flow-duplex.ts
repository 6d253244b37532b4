/**
 * A guest connection as a Node stream, for servers of the gateway's own that are written for sockets.
 *
 * Bytes are copied out of the flow's ring only as far as the reader asks, and into it only as far as
 * there is room: what waits is bounded by the ring and the stream's high-water marks. The guest's FIN ends
 * the readable side, a reset destroys with `ECONNRESET`. Destroyed after its end was written, the stream
 * lets the ring drain for a while; destroyed before, it resets the guest.
 */
import { Duplex } from 'node:stream';
import type { CloseReason, FlowId, TcpFlow, TcpFlowHandler } from '../../stack/flow.ts';
import type { SpliceContext } from './splice.ts';

const HIGH_WATER = 16 * 1024;
const SPACE_WANTED = 4 * 1024;
/** How long a guest may take to fetch the rest of an answer, and to close, after we have. */
const LINGER_MS = 5_000;

type Done = (error?: Error | null) => void;

export class FlowDuplex extends Duplex implements TcpFlowHandler {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  private readonly context: SpliceContext;
  private flow: TcpFlow | undefined = undefined;
  private wanted = false;
  private guestEnded = false;
  private endPushed = false;
  private over = false;
  private chunk: Uint8Array | undefined = undefined;
  private chunkOff = 0;
  private done: Done = () => {};
  private lingerTimer: NodeJS.Timeout | undefined = undefined;

  constructor(context: SpliceContext, id: FlowId) {
    super({
      allowHalfOpen: true,
      readableHighWaterMark: HIGH_WATER,
      writableHighWaterMark: HIGH_WATER,
    });
    this.context = context;
    this.remoteAddress = id.guest.toString();
    this.remotePort = id.guestPort;
    this.localAddress = id.remote.toString();
    this.localPort = id.remotePort;
  }

  /** Use the flow that was accepted with this stream as its handler. */
  join(flow: TcpFlow): void {
    this.flow = flow;
    this.pump();
  }

  /** Destroy once everything written is on its way. As `net.Socket` has it. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  // --- from the flow ---

  onOpen(): void {}

  onReadable(): void {
    this.pump();
  }

  onWritable(): void {
    this.fill();
  }

  onGuestEnd(): void {
    this.guestEnded = true;
    this.pump();
  }

  onClosed(_now: number, _flow: TcpFlow, reason: CloseReason): void {
    this.over = true;
    clearTimeout(this.lingerTimer);
    if (reason === 'finished' || this.destroyed) return;
    const error = Object.assign(new Error(`the guest's connection ended: ${reason}`), {
      code: reason === 'timed-out' ? 'ETIMEDOUT' : 'ECONNRESET',
    });
    this.destroy(error);
  }

  // --- from the stream ---

  override _read(): void {
    this.wanted = true;
    this.pump();
  }

  override _write(chunk: Uint8Array, _encoding: string, done: Done): void {
    this.chunk = chunk;
    this.chunkOff = 0;
    this.done = done;
    this.fill();
  }

  override _final(done: Done): void {
    this.flow?.shutdown(this.context.clock.now());
    this.context.flusher.schedule();
    done();
  }

  override _destroy(error: Error | null, done: Done): void {
    this.chunk = undefined;
    const { flow } = this;
    if (flow !== undefined && !this.over) {
      if (error === null && this.writableFinished) this.linger(flow);
      else this.reset(flow);
    }
    done(error);
  }

  private linger(flow: TcpFlow): void {
    this.pump();
    this.lingerTimer = setTimeout(() => this.reset(flow), LINGER_MS);
    this.lingerTimer.unref();
  }

  private reset(flow: TcpFlow): void {
    if (this.over) return;
    this.over = true;
    flow.abort(this.context.clock.now());
    this.context.flusher.schedule();
  }

  private pump(): void {
    const { flow } = this;
    if (flow === undefined || this.over) return;
    const now = this.context.clock.now();
    let took = false;
    while (flow.receivedLen > 0 && (this.wanted || this.destroyed)) {
      const run = flow.readable();
      const len = Math.min(run.length, HIGH_WATER);
      if (!this.destroyed) this.wanted = this.push(Buffer.from(run.subarray(0, len)));
      flow.release(now, len);
      took = true;
    }
    if (took) this.context.flusher.schedule();
    if (!this.guestEnded || this.endPushed || flow.receivedLen > 0) return;
    this.endPushed = true;
    if (!this.destroyed) this.push(null);
  }

  private fill(): void {
    const { flow, chunk } = this;
    if (flow === undefined || chunk === undefined) return;
    const len = Math.min(flow.sendSpace, chunk.length - this.chunkOff);
    if (len > 0) {
      flow.send(this.context.clock.now(), chunk, this.chunkOff, len);
      this.chunkOff += len;
      this.context.flusher.schedule();
    }
    const rest = chunk.length - this.chunkOff;
    if (rest > 0) {
      flow.wantSpace(Math.min(rest, SPACE_WANTED));
      return;
    }
    this.chunk = undefined;
    this.done();
  }
}
