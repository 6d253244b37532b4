import type { Instant } from '../base/time.ts';
import type { StreamFault } from './decoder.ts';
import type { ChannelRequest } from './request.ts';

export type MuxDownReason =
  | StreamFault
  | 'handshake-timeout'
  | 'ping-timeout'
  | 'refusal-flood'
  | 'link-down';

/** Events for the owner of a multiplexer; delivered, like those of channels, at the end of a batch. */
export interface MuxHandler {
  /** The handshake is complete. */
  onReady(now: Instant, extended: boolean): void;
  /** The peer opens a channel: accept or refuse it, now or later. */
  onRequest(now: Instant, request: ChannelRequest): void;
  /** The peer takes no more opens; existing channels go on. */
  onGoAway(now: Instant): void;
  /** After `drain`, the last channel has gone: the link may be closed. */
  onDrained(now: Instant): void;
  /** Every channel has ended, and nothing more is sent: close the link. */
  onDown(now: Instant, reason: MuxDownReason): void;
  /** There is something to write: call `flush` soon. */
  onWork(): void;
  /** A flush is over: `nextTimeout` may be sooner than it was. */
  onFlushed?(): void;
}
