/**
 * A stream socket of the host, TCP or Unix, as the data path uses it: callbacks with borrowed bytes,
 * one write at a time, no queue of its own.
 */

import { allocate } from '../../base/arena.ts';

/** Callbacks of a stream's owner. None is called after `onHostClosed`, `reset` or `close`. */
export interface HostStreamOwner {
  /**
   * `len` bytes are at the start of `bytes`, borrowed for the call.
   *
   * @returns false to read no more until `resume`
   */
  onHostBytes(bytes: Uint8Array, len: number): boolean;
  /**
   * The last read filled its buffer, so more bytes are likely to be available. The next read goes to the buffer
   * returned; it belongs to the stream until it is passed to `onHostBytes`, with 0 bytes if nothing was read. Not all
   * streams call this.
   */
  onHostMore?(): Uint8Array | undefined;
  /**
   * The peer's FIN, or a failure, was read.
   *
   * @returns false to hear of it within the next `resume`. Not all streams ask.
   */
  mayHostEnd?(): boolean;
  /** The peer's FIN: nothing more will be received. */
  onHostEnd(): void;
  /** A `write` that returned false has completed. */
  onHostWritten(): void;
  /**
   * The socket is closed: after an end in each direction, or because it failed.
   *
   * @param code of the failure: `ECONNRESET`, `EPIPE`
   */
  onHostClosed(code: string | undefined): void;
}

export interface HostStream {
  /** Undefined for a Unix socket, and once the peer has gone. */
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
  /** The user at the other end of a Unix socket; undefined for another, and before native calls are loaded. */
  readonly peerUid: number | undefined;
  /** The peer of a Unix socket has closed it: seen also while nothing is read, and not before native calls are loaded. */
  readonly isPeerGone: boolean;
  /**
   * Call `owner` from now on, and read unless `paused`. When the stream has failed before, by a write, `onHostClosed`
   * follows. Called again, while the stream is paused, it passes the stream to another owner.
   *
   * @param buffer the destination of reads, no shorter than that of the owner before; {@link READ_BUFFER} by default
   */
  start(owner: HostStreamOwner, paused?: boolean, buffer?: Uint8Array): void;
  /**
   * Write `len` bytes at `off` of `bytes`, by default all of them. They are lent until they are written; not to be
   * called before the last write is complete.
   *
   * @returns true when the kernel accepted them all; else `onHostWritten` or `onHostClosed` follows
   */
  write(bytes: Uint8Array, off?: number, len?: number): boolean;
  /**
   * Write what the kernel accepts at once. A stream that cannot say how much that was has no such method.
   *
   * @returns bytes written: 0 also while a write is pending, and when it fails, which the next {@link write} reports
   */
  tryWrite?(bytes: Uint8Array, off: number, len: number): number;
  /**
   * Have `bytes` wait for the peer in the kernel rather than here, as far as the system allows. A TCP socket is not
   * changed: its buffer is tuned by the kernel unless a size is set.
   *
   * @returns whether nothing is left to do; it is false before native calls are loaded
   */
  setSendBuffer(bytes: number): boolean;
  /** Send FIN. After the peer's FIN this closes the socket, and the owner may be called within the call. */
  end(): void;
  /** Read no more until `resume`. */
  pause(): void;
  /** Read again, after `onHostBytes` or `mayHostEnd` returned false. The owner of an end may be called within the call. */
  resume(): void;
  /** Close at once, with RST where the protocol has one. */
  reset(): void;
  /** Close at once, without a reset. */
  close(): void;
}

/** The outcome of a connect. One of the two is called, once, and never from within the call that started it. */
export interface ConnectOwner {
  onConnected(stream: HostStream): void;
  /** @param code `ECONNREFUSED`, `ETIMEDOUT`, `EMFILE` */
  onConnectFailed(code: string): void;
}

/** A pending connect. */
export interface Connecting {
  /** Give up: its owner is not called any more. */
  cancel(): void;
}

export type StreamTarget =
  | { readonly host: string; readonly port: number }
  | { readonly path: string };

/** Shared by most streams: a read and its callback are one step, so no two use it at once. */
export const READ_BUFFER: Uint8Array = allocate(64 * 1024);
