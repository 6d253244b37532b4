/** What routers, or the guest itself, report of packets that were sent to it. */
import type { Seq } from '../base/seq.ts';
import type { Instant } from '../base/time.ts';

/** What the TCP layer does with an error about one of its segments. */
export interface TcpErrorSink {
  /** @param mtu of the whole packet, in bytes */
  onPathMtu(now: Instant, key: Int32Array, quotedSeq: Seq, mtu: number): void;
  onUnreachable(key: Int32Array, quotedSeq: Seq, hard: boolean): void;
}
