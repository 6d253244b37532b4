/**
 * One connection joined to one host socket: bytes, ends, resets and back-pressure both ways. The
 * connection is a guest's TCP flow or a channel of the multiplexer; `flow` is it here.
 *
 * Theory of operation
 * -------------------
 * Flow to host: the flow's received ring is lent to `socket.write`, one run at a time; the write's
 * callback releases it, which opens the peer's window. A host that does not read leaves the ring
 * full and the window closed. Host to flow: every host socket reads into one shared buffer (a read
 * and its callback are one step, so no two use it at once), from where the flow copies into its
 * ring; when less than a bufferful fits, the socket is not read until there is room again, and the
 * host's peer is stopped by its own window.
 *
 * An end is passed on after everything before it, a reset at once. A flow that goes takes its ring
 * with it, so that the socket that may still be writing from it is reset in the same step.
 */
import type { Socket } from 'node:net';
import type { Clock, Instant } from '../../base/time.ts';
import type { FlushScheduler } from '../flush-scheduler.ts';
import { resetSocket } from './reset-socket.ts';

/** What every host socket reads into. */
const READ_BUFFER = new Uint8Array(64 * 1024);

/** What pumps share. */
export interface PumpContext {
  readonly clock: Clock;
  readonly flusher: FlushScheduler;
}

/** What a pump uses of a connection; see `TcpFlow`. */
export interface PumpedFlow {
  readable(): Uint8Array;
  release(now: Instant, n: number): void;
  readonly sendSpace: number;
  send(now: Instant, bytes: Uint8Array, off: number, len: number): void;
  wantSpace(n: number): void;
  shutdown(now: Instant): void;
  abort(now: Instant): void;
}

export abstract class SocketPump<F extends PumpedFlow> {
  readonly startedAt: Instant;
  lastActive: Instant;
  flow: F | undefined = undefined;
  protected readonly context: PumpContext;
  private socket: Socket | undefined = undefined;
  /** Bytes lent to `socket.write`; 0 when none are. */
  private lent = 0;
  private paused = false;
  private peerEnded = false;
  private ended = false;
  private over = false;

  constructor(context: PumpContext) {
    this.context = context;
    this.startedAt = context.clock.now();
    this.lastActive = this.startedAt;
  }

  /** Both sides are done; called once. */
  protected abstract onOver(): void;

  /** The `onread` option for a socket of this pump. */
  get reader(): { buffer: Uint8Array; callback: (n: number, buffer: Uint8Array) => boolean } {
    return { buffer: READ_BUFFER, callback: (n, buffer) => this.onHostBytes(n, buffer) };
  }

  /** Whether the flow takes what one read may give. */
  static mayRead(flow: PumpedFlow): boolean {
    return flow.sendSpace >= READ_BUFFER.length;
  }

  /** Join a connected socket, whose `onread` is {@link reader}, to a flow that may be opening. */
  join(socket: Socket, flow: F): void {
    this.socket = socket;
    this.flow = flow;
    socket.on('end', () => this.onHostEnd());
    socket.on('close', () => this.onHostClosed());
  }

  /** The socket failed. Its `error` listener is the owner's, who also hears of failed connects. */
  onHostError(): void {
    const { flow } = this;
    if (flow === undefined || this.over) return;
    flow.abort(this.context.clock.now());
    this.context.flusher.schedule();
    this.finish();
  }

  // --- flow to host: what the flow's handler is told ---

  onReadable(now: Instant): void {
    this.lastActive = now;
    if (this.lent === 0) this.writeToHost();
  }

  onPeerEnd(): void {
    this.peerEnded = true;
    if (this.lent === 0) this.writeToHost();
  }

  onWritable(): void {
    if (!this.paused || this.over) return;
    this.paused = false;
    this.socket?.resume();
  }

  /** The flow is over. @param finished both directions had ended */
  protected onFlowClosed(finished: boolean): void {
    // After both ends the host socket finishes what it was given and closes by itself.
    if (finished || this.over) return;
    if (this.socket !== undefined) resetSocket(this.socket);
    this.finish();
  }

  private writeToHost(): void {
    const { flow, socket } = this;
    if (flow === undefined || socket === undefined || this.over) return;
    const run = flow.readable();
    if (run.length > 0) {
      this.lent = run.length;
      socket.write(run, this.onWritten);
    } else if (this.peerEnded && !this.ended) {
      this.ended = true;
      socket.end();
    }
  }

  private readonly onWritten = (error?: Error | null): void => {
    const { flow, lent } = this;
    this.lent = 0;
    if (flow === undefined || error || this.over) return; // the socket's `error` event does the rest
    flow.release(this.context.clock.now(), lent);
    this.context.flusher.schedule();
    this.writeToHost();
  };

  // --- host to flow ---

  private onHostBytes(n: number, bytes: Uint8Array): boolean {
    const { flow } = this;
    if (flow === undefined || this.over) return false;
    const now = this.context.clock.now();
    this.lastActive = now;
    flow.send(now, bytes, 0, n);
    this.context.flusher.schedule();
    if (SocketPump.mayRead(flow)) return true;
    this.pause(flow);
    return false;
  }

  /** The socket is not to be read before the flow takes a bufferful. */
  protected pause(flow: F): void {
    this.paused = true;
    flow.wantSpace(READ_BUFFER.length);
  }

  private onHostEnd(): void {
    if (this.over) return;
    this.flow?.shutdown(this.context.clock.now());
    this.context.flusher.schedule();
  }

  // --- the end ---

  private onHostClosed(): void {
    if (this.over) return;
    // Closed with an end each way: what the peer still has to acknowledge is the flow's matter.
    if (!this.ended) this.flow?.abort(this.context.clock.now());
    this.context.flusher.schedule();
    this.finish();
  }

  /** End both sides at once. */
  abort(): void {
    if (this.over) return;
    this.flow?.abort(this.context.clock.now());
    if (this.socket !== undefined) resetSocket(this.socket);
    this.context.flusher.schedule();
    this.finish();
  }

  private finish(): void {
    this.over = true;
    this.onOver();
  }
}
