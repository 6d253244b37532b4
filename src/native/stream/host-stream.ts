/**
 * A stream socket of the host's, TCP or Unix, as the data path uses it: callbacks with borrowed bytes,
 * one write at a time, no queue of its own.
 */

import { allocate } from '../../base/arena.ts';

/** What a stream tells its owner. Nothing is told after `onHostClosed`, `reset` or `close`. */
export interface HostStreamOwner {
  /**
   * `len` bytes are at the start of `bytes`, borrowed for the call.
   *
   * @returns false to read no more until `resume`
   */
  onHostBytes(bytes: Uint8Array, len: number): boolean;
  /**
   * The last read filled its buffer, so more is likely to be there. What is returned is where the next one goes; it is
   * the stream's until it is handed to `onHostBytes`, with 0 bytes if nothing came. Not all streams ask.
   */
  onHostMore?(): Uint8Array | undefined;
  /** The peer's FIN: nothing more comes. */
  onHostEnd(): void;
  /** What a `write` left to be done is done. */
  onHostWritten(): void;
  /**
   * The socket is closed: after an end each way, or because it failed.
   *
   * @param code of what failed: `ECONNRESET`, `EPIPE`
   */
  onHostClosed(code: string | undefined): void;
}

export interface HostStream {
  /** Undefined for a Unix socket, and once the peer has gone. */
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
  /**
   * Tell `owner` from now on, and read unless `paused`.
   *
   * @param buffer what to read into; {@link READ_BUFFER} unless told otherwise
   */
  start(owner: HostStreamOwner, paused?: boolean, buffer?: Uint8Array): void;
  /**
   * Write `len` bytes at `off` of `bytes`, all of them unless told otherwise. They are lent until they are written; not
   * before the last write is done.
   *
   * @returns true when the kernel took them all; else `onHostWritten` or `onHostClosed` follows
   */
  write(bytes: Uint8Array, off?: number, len?: number): boolean;
  /**
   * Have `bytes` wait for the peer in the kernel rather than here, as far as the system allows. A TCP socket is left
   * alone: its buffer grows with what it carries, unless it is told a size.
   *
   * @returns whether nothing is left to do; it is false before native calls are loaded
   */
  setSendBuffer(bytes: number): boolean;
  /** Send FIN. Where the peer's has come, that is the close, of which the owner may hear within the call. */
  end(): void;
  /** Read again, after `onHostBytes` returned false. */
  resume(): void;
  /** Close at once: with RST where there is one. */
  reset(): void;
  /** Close at once, as the end of everything. */
  close(): void;
}

/** What becomes of a connect. One of the two is called, once, and never from within the call that began it. */
export interface ConnectOwner {
  onConnected(stream: HostStream): void;
  /** @param code `ECONNREFUSED`, `ETIMEDOUT`, `EMFILE` */
  onConnectFailed(code: string): void;
}

/** A connect under way. */
export interface Connecting {
  /** Give up: its owner hears nothing more. */
  cancel(): void;
}

export type StreamTarget =
  | { readonly host: string; readonly port: number }
  | { readonly path: string };

/** Most streams read into this one: a read and its callback are one step, so no two use it at once. */
export const READ_BUFFER: Uint8Array = allocate(64 * 1024);
