/**
 * The one contract of every byte stream between a guest and us: a TCP flow of the stack, a channel of a
 * multiplexer, a stream of a vsock. A stream is full duplex, each direction ends by itself, and each has
 * back-pressure from its reader.
 *
 * Received bytes wait in the stream's own ring until they are released, which opens the peer's window.
 * Bytes to send are copied in, up to `sendSpace`.
 */
import type { Run } from './run.ts';
import type { Instant } from './time.ts';

export interface ByteStream {
  /** Bytes received in order and not yet released. */
  readonly receivedLen: number;
  /**
   * The longest contiguous run of received bytes, at most `receivedLen`. It stays in place until it is
   * released: until then it may be lent to `socket.write`. Only one run may be lent at a time.
   */
  readable(): Uint8Array;
  /** Like {@link readable}, without creating a view. */
  lend(): Run;
  /** Free the oldest `n` received bytes; this opens the peer's window. */
  release(now: Instant, n: number): void;
  /** Bytes that {@link send} accepts now; 0 when the buffer towards the peer is full. */
  readonly sendSpace: number;
  /** Bytes given to {@link send} that are still buffered here. */
  readonly queuedLen: number;
  /** Queue bytes; they are copied. `len` is at most `sendSpace`. */
  send(now: Instant, bytes: Uint8Array, off: number, len: number): void;
  /**
   * Call `onWritable` once, when `send` accepts at least `n` bytes. Also called when the peer receives no
   * more: a send then reports the reset.
   */
  wantSpace(n: number): void;
  /**
   * Lend send space to be written in place; {@link fill} ends the loan, and `send` may not be called before it. The
   * space is invalid once the stream is over. A stream that does not lend space has neither method.
   *
   * @returns at least `min` bytes; undefined when so many cannot be lent: use `send` then
   */
  reserve?(min: number): Uint8Array | undefined;
  /** Queue the first `n` bytes of what was lent. */
  fill?(now: Instant, n: number): void;
  /** End our direction after everything queued. */
  shutdown(now: Instant): void;
  /** Reset the stream and discard what is queued. `onClosed` is not called. */
  abort(now: Instant): void;
}

/**
 * Callbacks come at the end of a batch and may call any method of any stream.
 *
 * @typeParam R reasons for the end of a stream
 */
export interface ByteStreamHandler<S extends ByteStream, R extends string> {
  /** The peer granted the stream. A channel or a vsock stream that we accepted is open without a call. */
  onOpen(now: Instant, stream: S): void;
  /**
   * Bytes that have arrived, in order, while none waits to be read: what is taken of them is never copied. Only of long
   * runs; called in the middle of a batch, in which no method of a stream may be called. A handler that takes none at
   * once has no such method.
   *
   * @param bytes borrowed for the call
   * @returns how many it has taken
   */
  offer?(now: Instant, bytes: Uint8Array, off: number, len: number): number;
  /** There are more received bytes than at the last call. */
  onReadable(now: Instant, stream: S): void;
  /** Answers {@link ByteStream.wantSpace}. */
  onWritable(now: Instant, stream: S): void;
  /** The peer ended its direction; everything before it is readable. */
  onPeerEnd(now: Instant, stream: S): void;
  /**
   * The last call, not made after `abort`. After it, received bytes not released are gone, lent ones too; bytes
   * received on a stream that `finished` can still be read.
   *
   * @param reason `finished` when both directions had ended
   * @param text the peer's explanation, where the protocol carries one
   */
  onClosed(now: Instant, stream: S, reason: R, text?: string): void;
}
