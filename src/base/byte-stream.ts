/**
 * The one contract of every byte stream between a guest and us: a TCP flow of the stack, a channel of a
 * multiplexer, a stream of a vsock. A stream is full duplex, each direction ends by itself, and both are
 * held back by their reader.
 *
 * Received bytes wait in the stream's own ring until they are released, which is what lets the peer send
 * more. Bytes to send are copied in, as far as `sendSpace` goes.
 */
import type { Run } from './run.ts';
import type { Instant } from './time.ts';

export interface ByteStream {
  /** Bytes received in order and not yet released. */
  readonly receivedLen: number;
  /**
   * The longest contiguous run of received bytes, at most `receivedLen`. It stays put until it is
   * released: it may be lent to `socket.write` meanwhile. Only one run may be lent at a time.
   */
  readable(): Uint8Array;
  /** As {@link readable}, without a view of it. */
  lend(): Run;
  /** Free the oldest `n` received bytes; this opens the peer's window. */
  release(now: Instant, n: number): void;
  /** Bytes that {@link send} takes now; 0 when the buffer towards the peer is full. */
  readonly sendSpace: number;
  /** Bytes given to {@link send} that are held here still. */
  readonly queuedLen: number;
  /** Queue bytes; they are copied. `len` is at most `sendSpace`. */
  send(now: Instant, bytes: Uint8Array, off: number, len: number): void;
  /**
   * Call `onWritable` once, when `send` takes at least `n` bytes. Also called when the peer takes nothing any
   * more: who sends then learns of the reset.
   */
  wantSpace(n: number): void;
  /**
   * Lend send space to be written in place; {@link fill} ends that, and `send` may not be called before it. It
   * is gone when the stream is. A stream that lends nothing has neither.
   *
   * @returns at least `min` bytes; undefined when so many cannot be lent: `send` takes them then
   */
  reserve?(min: number): Uint8Array | undefined;
  /** Queue the first `n` bytes of what was lent. */
  fill?(now: Instant, n: number): void;
  /** End our direction after everything queued. */
  shutdown(now: Instant): void;
  /** Reset the stream and forget what is queued. `onClosed` is not called. */
  abort(now: Instant): void;
}

/**
 * Callbacks come at the end of a batch and may call any method of any stream.
 *
 * @typeParam R why a stream may be over
 */
export interface ByteStreamHandler<S extends ByteStream, R extends string> {
  /** The peer granted the stream. A channel or a vsock stream that we accepted is open without a call. */
  onOpen(now: Instant, stream: S): void;
  /** There are more received bytes than at the last call. */
  onReadable(now: Instant, stream: S): void;
  /** Answers {@link ByteStream.wantSpace}. */
  onWritable(now: Instant, stream: S): void;
  /** The peer ended its direction; everything before it is readable. */
  onPeerEnd(now: Instant, stream: S): void;
  /**
   * Last call, not made after `abort`. On return, received bytes not released are gone, lent ones too; of a
   * stream that `finished`, what was received can still be read.
   *
   * @param reason `finished` when both directions had ended
   * @param text the peer's own words, where it can have any
   */
  onClosed(now: Instant, stream: S, reason: R, text?: string): void;
}
