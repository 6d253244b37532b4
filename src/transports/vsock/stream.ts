/** What the applications of a vsock see: streams and requests, in the manner of `stack/flow.ts`. */
import type { Instant } from '../../base/time.ts';
import type { CloseReason } from '../../stack/flow.ts';

export interface VsockStream {
  readonly guestPort: number;
  readonly hostPort: number;
  readonly openedBy: 'guest' | 'host';
  /** Bytes received and not yet released. */
  readonly receivedLen: number;
  /** The longest contiguous run of received bytes; stays put until released, only one at a time. */
  readable(): Uint8Array;
  /** Free the oldest `n` received bytes; this gives the guest credit. */
  release(now: Instant, n: number): void;
  /** Bytes that {@link send} takes now. */
  readonly sendSpace: number;
  /** Queue bytes for the guest; they are copied. `len` is at most `sendSpace`. */
  send(now: Instant, bytes: Uint8Array, off: number, len: number): void;
  /** Call `onWritable` once, when at least `n` bytes (at most `sendBuffer`) are free. */
  wantSpace(n: number): void;
  /** End our direction after everything queued. */
  shutdown(now: Instant): void;
  /** Reset, and forget what is queued. `onClosed` is not called. */
  abort(now: Instant): void;
  describe(): VsockStreamInfo;
}

export interface VsockStreamInfo {
  readonly state: 'opening' | 'open' | 'half-closed' | 'closed';
  readonly bytesToHost: number;
  readonly bytesToGuest: number;
  readonly bufferedToHost: number;
  readonly bufferedToGuest: number;
  /** Bytes that the guest allows still. */
  readonly credit: number;
}

/** Callbacks come at the end of a batch and may call any method of any stream. */
export interface VsockStreamHandler {
  /** The guest answered our request. Not called for accepted streams, which are open at once. */
  onOpen(now: Instant, stream: VsockStream): void;
  /** There are more received bytes than at the last call. */
  onReadable(now: Instant, stream: VsockStream): void;
  /** Answers {@link VsockStream.wantSpace}. */
  onWritable(now: Instant, stream: VsockStream): void;
  /** The guest ended its direction; everything before it is readable. */
  onGuestEnd(now: Instant, stream: VsockStream): void;
  /** Last call; received bytes not released are gone. Not called after `abort`. */
  onClosed(now: Instant, stream: VsockStream, reason: CloseReason): void;
}

/** A guest's connect to a port of the host, unanswered. */
export interface VsockRequest {
  readonly guestPort: number;
  readonly hostPort: number;
  /** @returns undefined when the guest has given up meanwhile */
  accept(now: Instant, handler: VsockStreamHandler): VsockStream | undefined;
  /** The guest's connect fails with ECONNRESET. */
  refuse(now: Instant): void;
  /** Called once when the guest gives up, or waited too long. */
  onCancelled: (() => void) | undefined;
}
