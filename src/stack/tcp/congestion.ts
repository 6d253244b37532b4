/**
 * What a connection asks of its congestion control. All quantities are bytes; the window is
 * `cwnd`. Loss detection and recovery are elsewhere (`recovery.ts`): this only sets the window.
 */
import type { Instant } from '../../base/time.ts';

export interface CongestionControl {
  /** Congestion window. */
  cwnd: number;
  /** Slow start threshold. */
  ssthresh: number;
  /** The timer fired, and the window has not come back to `ssthresh` since. */
  timedOut: boolean;
  /** `acked` new bytes were acknowledged while the window was the limit, outside fast recovery. */
  onAck(now: Instant, acked: number, srttMs: number): void;
  /** Loss was inferred from acknowledgements; `flight` bytes were in flight. */
  onLoss(now: Instant, flight: number): void;
  /** The retransmission timer fired. */
  onTimeout(now: Instant, flight: number): void;
  /** The sender was idle for longer than a retransmission timeout (RFC 5681 §4.1). */
  onIdle(): void;
  /** The path's segment size changed. */
  setMss(mss: number): void;
}

/** RFC 6928: ten segments. */
export const initialWindow = (mss: number): number => 10 * mss;

/**
 * The window after an ACK in slow start: more by what was acknowledged, at most by two segments, by one after a timeout
 * (RFC 3465 §2.2, §2.3), and no further than `ssthresh` (RFC 5681 §3.1).
 */
export function slowStart(cc: CongestionControl, acked: number, mss: number): number {
  const most = (cc.timedOut ? 1 : 2) * mss;
  return Math.min(cc.cwnd + Math.min(acked, most), cc.ssthresh);
}

/** Windows beyond this cannot be filled: twice the largest send buffer. */
export const MAX_CWND: number = 16 * 1024 * 1024;
