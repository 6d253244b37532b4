/** A vsock stream as a Node stream, for people; each chunk is a copy. */
import { Duplex } from 'node:stream';
import type { Clock, Instant } from '../../base/time.ts';
import type { CloseReason } from '../../stack/flow.ts';
import type { VsockStream, VsockStreamHandler } from './stream.ts';

/** The stream ended otherwise than by an end each way. `code` is that of the like socket error. */
export class VsockError extends Error {
  readonly code: string;
  readonly reason: CloseReason;

  constructor(reason: CloseReason, guestPort: number) {
    super(`vsock stream with guest port ${guestPort}: ${reason}`);
    this.name = 'VsockError';
    this.reason = reason;
    this.code =
      reason === 'refused' ? 'ECONNREFUSED' : reason === 'timed-out' ? 'ETIMEDOUT' : 'ECONNRESET';
  }
}

const ignore = (): void => undefined;

/**
 * Emits `connect` once the guest has answered. Half-open: each side ends by itself. `destroy` resets
 * the stream unless both sides have ended.
 */
export class VsockDuplex extends Duplex implements VsockStreamHandler {
  private readonly clock: Pick<Clock, 'now'>;
  private stream: VsockStream | undefined = undefined;
  private wanted = false;
  private guestEnded = false;
  private endPushed = false;
  private shutDown = false;
  private pending: Uint8Array | undefined = undefined;
  private pendingOff = 0;
  private onWritten: (error?: Error | null) => void = ignore;

  /** Pass it as the handler of `connect` or `accept`, and what they return to {@link join}. */
  constructor(clock: Pick<Clock, 'now'>) {
    super({ allowHalfOpen: true });
    this.clock = clock;
  }

  join(stream: VsockStream): this {
    this.stream = stream;
    return this;
  }

  // --- the stream's events ---

  onOpen(): void {
    this.emit('connect');
  }

  onReadable(): void {
    this.pushReceived();
  }

  onWritable(): void {
    this.sendPending();
  }

  onGuestEnd(): void {
    this.guestEnded = true;
    this.pushReceived();
  }

  onClosed(_now: Instant, stream: VsockStream, reason: CloseReason): void {
    this.stream = undefined;
    if (reason !== 'finished') this.destroy(new VsockError(reason, stream.guestPort));
  }

  // --- Node's side ---

  override _read(): void {
    this.wanted = true;
    this.pushReceived();
  }

  override _write(
    chunk: Uint8Array,
    _encoding: string,
    done: (error?: Error | null) => void,
  ): void {
    this.pending = chunk;
    this.pendingOff = 0;
    this.onWritten = done;
    this.sendPending();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.shutDown = true;
    this.stream?.shutdown(this.clock.now());
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const { stream } = this;
    this.stream = undefined;
    // With an end each way, what is queued still goes out.
    const graceful = error === null && this.shutDown && this.endPushed;
    if (!graceful) stream?.abort(this.clock.now());
    done(error);
  }

  private pushReceived(): void {
    const { stream } = this;
    if (stream === undefined) return;
    while (this.wanted && stream.receivedLen > 0) {
      const chunk = Buffer.from(stream.readable());
      stream.release(this.clock.now(), chunk.length);
      this.wanted = this.push(chunk);
    }
    if (!this.guestEnded || this.endPushed || stream.receivedLen > 0) return;
    this.endPushed = true;
    this.push(null);
  }

  private sendPending(): void {
    const { stream, pending } = this;
    if (stream === undefined || pending === undefined) return;
    const len = Math.min(stream.sendSpace, pending.length - this.pendingOff);
    stream.send(this.clock.now(), pending, this.pendingOff, len);
    this.pendingOff += len;
    if (this.pendingOff < pending.length) {
      stream.wantSpace(1);
      return;
    }
    this.pending = undefined;
    this.onWritten();
  }
}
