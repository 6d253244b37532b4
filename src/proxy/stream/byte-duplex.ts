/**
 * A {@link ByteStream} as a Node stream: a guest's connection, a channel of a multiplexer or a vsock
 * stream, for code written for sockets.
 *
 * Bytes are copied out of the stream's ring only as far as the reader asks, and into it only as far as
 * there is room: buffering is bounded by the ring and the Node stream's high-water marks. The peer's end
 * ends the readable side, a failure destroys with a {@link StreamError}. It is half-open: each side ends by
 * itself. Where a listener or a callback of its user throws, it is destroyed, and the exception rethrown from a microtask: it is
 * no fault of the stream's carrier, whose work it would interrupt.
 *
 * Destroyed after both sides have ended, it leaves the stream to deliver what is queued. Destroyed after
 * its own end only, it reads and discards what still arrives, and resets a peer that neither reads what is queued
 * nor ends. Destroyed before, it resets the stream.
 */
import { Duplex } from 'node:stream';
import type { ByteStream, ByteStreamHandler } from '../../base/byte-stream.ts';
import type { Clock, Instant } from '../../base/time.ts';
import type { FlowId } from '../../stack/flow.ts';
import type { FlushScheduler } from '../flush-scheduler.ts';
import { StreamError } from './stream-error.ts';

const HIGH_WATER = 64 * 1024;
const SPACE_WANTED = 4 * 1024;
/** How long a peer may be silent, after we have ended and are destroyed, before it is reset. */
const LINGER_MS = 5_000;

type Done = (error?: Error | null) => void;

const NOTHING_WRITTEN: Done = () => {};

export interface DuplexContext {
  readonly clock: Pick<Clock, 'now'>;
  /** The carrier of the stream has something to send. */
  readonly flusher: FlushScheduler;
}

/** Like those of `net.Socket`. */
export interface DuplexNames {
  readonly remoteAddress?: string;
  readonly remotePort?: number;
  readonly localAddress?: string;
  readonly localPort?: number;
}

/** Of a flow: the guest is the remote end. */
export const namesOf = ({ guest, guestPort, remote, remotePort }: FlowId): DuplexNames => ({
  remoteAddress: guest.toString(),
  remotePort: guestPort,
  localAddress: remote.toString(),
  localPort: remotePort,
});

/** Emits `connect` when the peer has granted a stream that we opened. */
export class ByteDuplex extends Duplex implements ByteStreamHandler<ByteStream, string> {
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
  private readonly context: DuplexContext;
  /** Both sides have ended: what is here yet is for its reader. */
  onOver: (() => void) | undefined = undefined;
  private stream: ByteStream | undefined = undefined;
  private wanted = false;
  private peerEnded = false;
  private endPushed = false;
  private shutDown = false;
  /** The stream may not be used any more, except to read what it received before it finished. */
  private over = false;
  private chunk: Uint8Array | undefined = undefined;
  private chunkOff = 0;
  private done: Done = NOTHING_WRITTEN;
  private lingerTimer: NodeJS.Timeout | undefined = undefined;

  /** Pass it as the handler to what opens or accepts the stream, and the stream to {@link join}. */
  constructor(context: DuplexContext, names: DuplexNames = {}) {
    super({
      allowHalfOpen: true,
      readableHighWaterMark: HIGH_WATER,
      writableHighWaterMark: HIGH_WATER,
    });
    this.context = context;
    this.remoteAddress = names.remoteAddress;
    this.remotePort = names.remotePort;
    this.localAddress = names.localAddress;
    this.localPort = names.localPort;
  }

  /** Use the stream that was made with this as its handler. */
  join(stream: ByteStream): this {
    this.stream = stream;
    if (this.destroyed) {
      this.reset(stream);
      return this;
    }
    this.fill();
    if (this.shutDown) this.endStream();
    this.pump();
    return this;
  }

  /** Destroy once everything written was sent. Like that of `net.Socket`. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  // --- from the stream ---

  onOpen(): void {
    this.emit('connect');
  }

  onReadable(): void {
    this.pump();
  }

  onWritable(): void {
    this.fill();
  }

  onPeerEnd(): void {
    this.peerEnded = true;
    this.pump();
  }

  onClosed(_now: Instant, _stream: ByteStream, reason: string, text = ''): void {
    this.over = true;
    this.stopLingering();
    if (reason === 'finished') {
      this.pump();
      if (!this.destroyed) this.onOver?.();
      return;
    }
    this.stream = undefined;
    if (!this.destroyed) this.destroy(new StreamError(reason, text));
  }

  // --- from Node ---

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
    this.shutDown = true;
    this.endStream();
    done();
    this.closeUnread();
  }

  override _destroy(error: Error | null, done: Done): void {
    this.chunk = undefined;
    const { stream } = this;
    if (stream !== undefined && !this.over) {
      const isEnded = error === null && this.shutDown;
      if (!isEnded) this.reset(stream);
      else if (!this.endPushed) this.linger(stream);
    }
    done(error);
  }

  private endStream(): void {
    this.stream?.shutdown(this.context.clock.now());
    this.context.flusher.schedule();
  }

  /** Let the peer receive what is queued, and end. */
  private linger(stream: ByteStream): void {
    this.pump(); // the peer's window must not hold its end back
    if (this.endPushed) return;
    const before = stream.queuedLen;
    this.lingerTimer = setTimeout(() => {
      if (stream.queuedLen < before) this.linger(stream);
      else this.reset(stream);
    }, LINGER_MS);
    this.lingerTimer.unref();
  }

  private stopLingering(): void {
    if (this.lingerTimer !== undefined) clearTimeout(this.lingerTimer);
  }

  private reset(stream: ByteStream): void {
    this.over = true;
    this.stream = undefined;
    stream.abort(this.context.clock.now());
    this.context.flusher.schedule();
  }

  private pump(): void {
    const { stream } = this;
    if (stream === undefined) return;
    if (stream.receivedLen > 0 && (this.wanted || this.destroyed)) this.pushReceived(stream);
    if (!this.peerEnded || this.endPushed || stream.receivedLen > 0) return;
    this.endPushed = true;
    this.stopLingering();
    if (this.destroyed) return;
    this.pushOn(null);
    this.closeUnread();
  }

  /** Nobody reads what its user has ended and its peer as well: the end of nothing is read, or it would never close. */
  private closeUnread(): void {
    if (this.shutDown && this.endPushed && this.readableLength === 0) this.read(0);
  }

  private pushReceived(stream: ByteStream): void {
    const now = this.context.clock.now();
    while (stream.receivedLen > 0 && (this.wanted || this.destroyed)) {
      const run = stream.readable();
      const len = Math.min(run.length, HIGH_WATER);
      const part = this.destroyed ? undefined : Buffer.from(run.subarray(0, len));
      // Before it is pushed: a listener may read on, or destroy this, and either takes what is there.
      stream.release(now, len);
      if (part !== undefined) this.wanted = this.pushOn(part);
    }
    this.context.flusher.schedule();
  }

  /** `push`, which may call listeners before it returns. */
  private pushOn(bytes: Buffer | null): boolean {
    try {
      return this.push(bytes);
    } catch (error) {
      this.endBy(error);
      return false;
    }
  }

  private endBy(error: unknown): void {
    queueMicrotask(() => {
      throw error;
    });
    this.destroy();
  }

  private fill(): void {
    const { stream, chunk } = this;
    if (stream === undefined || chunk === undefined || this.over) return;
    const len = Math.min(stream.sendSpace, chunk.length - this.chunkOff);
    if (len > 0) {
      stream.send(this.context.clock.now(), chunk, this.chunkOff, len);
      this.chunkOff += len;
      this.context.flusher.schedule();
    }
    const rest = chunk.length - this.chunkOff;
    if (rest > 0) {
      stream.wantSpace(Math.min(rest, SPACE_WANTED));
      return;
    }
    this.chunk = undefined;
    try {
      this.done();
    } catch (error) {
      this.endBy(error);
    }
  }
}
