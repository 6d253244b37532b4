import type { MuxRole } from './handshake.ts';

export interface MuxOptions {
  readonly role: MuxRole;
  /** Offer the extended mode; a plain VPNKit peer ignores the offer. */
  readonly extended?: boolean;
  /** First receive window of every channel; VPNKit's is 65,536. */
  readonly window?: number;
  /** Windows grow to this where the link's delay requires it; a power of two. */
  readonly maxWindow?: number;
  /** What the windows of all channels may add up to, in bytes; opens beyond it are refused. */
  readonly memoryBudget?: number;
  /** Channels at a time, of both ends together, closing ones included. */
  readonly maxChannels?: number;
  /** Largest payload of a Data frame, received (in the extended mode) and sent. */
  readonly maxPayload?: number;
  /** Most bytes of one `send`; a channel buffers no more than this. */
  readonly sendBuffer?: number;
  /** Bytes that a channel may send before it is the next one's turn. */
  readonly quantum?: number;
  readonly handshakeTimeoutMs?: number;
  /**
   * An Open that has no answer after this time is given up; in the extended mode only where nothing at all has come since:
   * a peer that dials for long answers the Ping that is sent after half of this time.
   */
  readonly openTimeoutMs?: number;
  /** Extended: an idle link is pinged this often, and given up when nothing came for `pingTimeoutMs`. */
  readonly pingIntervalMs?: number;
  readonly pingTimeoutMs?: number;
  /** Requests wait for `Mux.takeRequests`; else each `flush` delivers some. */
  readonly pacedRequests?: boolean;
}

export type MuxSettings = Required<MuxOptions>;

const KIB = 1024;

export function muxSettings(options: MuxOptions): MuxSettings {
  return {
    extended: true,
    window: 64 * KIB,
    maxWindow: 1024 * KIB,
    memoryBudget: 256 * 1024 * KIB,
    maxChannels: 16_384,
    maxPayload: 64 * KIB,
    sendBuffer: 64 * KIB,
    quantum: 32 * KIB,
    handshakeTimeoutMs: 10_000,
    openTimeoutMs: 10_000,
    pingIntervalMs: 15_000,
    pingTimeoutMs: 45_000,
    pacedRequests: false,
    ...options,
  };
}
