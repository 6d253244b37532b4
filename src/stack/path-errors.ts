/** What routers, or the guest itself, report of packets that were sent to it. */
import type { Seq } from '../base/seq.ts';
import type { Instant } from '../base/time.ts';
import type { Guest } from './guest.ts';

/** What the TCP layer does with an error about one of its segments. `from` must be who the segment was sent to. */
export interface TcpErrorSink {
  /** @param mtu of the whole packet, in bytes */
  onPathMtu(now: Instant, from: Guest, key: Int32Array, quotedSeq: Seq, mtu: number): void;
  onUnreachable(from: Guest, key: Int32Array, quotedSeq: Seq, hard: boolean): void;
}
