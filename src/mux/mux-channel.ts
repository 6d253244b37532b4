/** A channel of a multiplexer, as its application has it. */
import type { ByteStream, ByteStreamHandler } from '../base/byte-stream.ts';
import type { Instant } from '../base/time.ts';
import type { Destination, IpEndpoint } from './destination.ts';
import type { ChannelEnd, RefusalReason } from './reason.ts';

/**
 * `wantSpace` waits until nothing is queued any more and it is this channel's turn, so that what is sent from
 * `onWritable` goes straight to the link: there is all of `sendBuffer` then.
 */
export interface MuxChannel extends ByteStream {
  readonly id: number;
  readonly destination: Destination;
  /** The client served through this channel, where the opener sent it (extended mode). */
  readonly client: IpEndpoint | undefined;
  abort(now: Instant, reason?: RefusalReason, text?: string): void;
  describe(): MuxChannelInfo;
}

export interface MuxChannelInfo {
  /** Unsigned. */
  readonly id: number;
  readonly state: 'opening' | 'open' | 'half-closed' | 'closing' | 'closed';
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly bufferedReceived: number;
  readonly bufferedToSend: number;
  /** Receive window in bytes, and what the peer still allows us to send. */
  readonly window: number;
  readonly credit: number;
}

/** `onOpen`: the peer granted the Open (plain: it sent its first Window). */
export type MuxChannelHandler = ByteStreamHandler<MuxChannel, ChannelEnd>;
