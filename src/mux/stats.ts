import { Counters } from '../base/counters.ts';
import { NO_BYTES } from '../base/no-bytes.ts';

/** Frames of the peer that were not used, and limits that were reached. */
export type MuxDrop =
  | 'data-unknown-channel'
  | 'data-after-close'
  | 'data-after-shutdown'
  | 'window-overrun'
  | 'payload-too-long'
  | 'unknown-command'
  | 'extended-in-plain-mode'
  | 'stray-close'
  | 'stray-shutdown'
  | 'stray-window'
  | 'stray-accept'
  | 'stray-pong'
  | 'duplicate-open'
  | 'dedicated-open'
  | 'bad-destination'
  | 'channel-limit'
  | 'memory-limit'
  | 'going-away'
  | 'refusal-flood'
  | 'no-memory'
  | 'sent-after-close'
  | 'ping-coalesced'
  | 'open-unanswered';

/** Counters of one multiplexer; for status output and metrics. */
export class MuxStats {
  readonly drops: Counters<MuxDrop> = new Counters();
  bytesReceived: number = NO_BYTES;
  bytesSent: number = NO_BYTES;
  framesReceived = 0;
  framesSent = 0;
  /** Channels opened from here, and from the peer. */
  opened = 0;
  accepted = 0;
  /** Times the writer had no room. */
  stalls = 0;
  /** Window doublings. */
  windowsGrown = 0;
}
