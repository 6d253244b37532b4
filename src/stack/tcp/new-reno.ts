/** NewReno's window (RFC 5681 §3.1, with appropriate byte counting of RFC 3465): the simple one. */
import type { Instant } from '../../base/time.ts';
import { type CongestionControl, initialWindow, MAX_CWND, slowStart } from './congestion.ts';

export class NewReno implements CongestionControl {
  cwnd: number;
  ssthresh: number = MAX_CWND;
  timedOut = false;
  private mss: number;
  private counted = 0;

  constructor(mss: number) {
    this.mss = mss;
    this.cwnd = initialWindow(mss);
  }

  onAck(_now: Instant, acked: number, _srttMs: number): void {
    if (this.cwnd < this.ssthresh) {
      this.cwnd = slowStart(this, acked, this.mss);
      return;
    }
    this.timedOut = false;
    this.counted += acked;
    if (this.counted < this.cwnd) return;
    this.counted -= this.cwnd;
    this.cwnd = Math.min(this.cwnd + this.mss, MAX_CWND);
  }

  onLoss(_now: Instant, flight: number): void {
    this.ssthresh = Math.max(flight >> 1, 2 * this.mss);
    this.cwnd = this.ssthresh;
    this.timedOut = false;
    this.counted = 0;
  }

  onTimeout(now: Instant, flight: number): void {
    this.onLoss(now, flight);
    this.cwnd = this.mss;
    this.timedOut = true;
  }

  onIdle(): void {
    this.cwnd = Math.min(this.cwnd, initialWindow(this.mss));
  }

  setMss(mss: number): void {
    this.mss = mss;
  }
}
