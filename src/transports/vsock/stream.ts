/** The interfaces between a vsock and its applications: streams and requests, modelled on `stack/flow.ts`. */
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
  /** Bytes that the guest still allows us to send. */
  readonly credit: number;
}

/** `onOpen`: the guest answered our request. */
export type VsockStreamHandler = ByteStreamHandler<VsockStream, CloseReason>;

/** A guest's connect to a port of the host, unanswered. */
export interface VsockRequest {
  readonly guestPort: number;
  readonly hostPort: number;
  /** @returns undefined when the guest has given up in the meantime */
  accept(now: Instant, handler: VsockStreamHandler): VsockStream | undefined;
  /** The guest's connect fails with ECONNRESET. */
  refuse(now: Instant): void;
  /** Called once when the guest gives up, or the request times out. */
  onCancelled: (() => void) | undefined;
}
