/** What the applications of a vsock see: streams and requests, in the manner of `stack/flow.ts`. */
import type { ByteStream, ByteStreamHandler } from '../../base/byte-stream.ts';
import type { Instant } from '../../base/time.ts';
import type { CloseReason } from '../../stack/flow.ts';

export interface VsockStream extends ByteStream {
  readonly guestPort: number;
  readonly hostPort: number;
  readonly openedBy: 'guest' | 'host';
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

/** `onOpen`: the guest answered our request. */
export type VsockStreamHandler = ByteStreamHandler<VsockStream, CloseReason>;

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
