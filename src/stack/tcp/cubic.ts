/**
 * CUBIC's window (RFC 9438). Names are the RFC's: W_max, K, W_est. Windows are kept in bytes, the
 * cubic function works in segments and seconds as the RFC writes it.
 */
import type { Instant } from '../../base/time.ts';
import { type CongestionControl, initialWindow, MAX_CWND, slowStart } from './congestion.ts';

const BETA = 0.7; // §4.6
const C = 0.4; // §5
const ALPHA = (3 * (1 - BETA)) / (1 + BETA); // §4.3

export class Cubic implements CongestionControl {
  cwnd: number;
  ssthresh: number = MAX_CWND;
  timedOut = false;
  private mss: number;
  private wMax = 0;
  /** Seconds from the epoch's start until the window is at W_max again. */
  private k = 0;
  /** Start of the current congestion avoidance stage; negative before it. */
  private epoch: Instant = -1;
  /** Window that Reno would have, in bytes. */
  private wEst = 0;

  constructor(mss: number) {
    this.mss = mss;
    this.cwnd = initialWindow(mss);
  }

  onAck(now: Instant, acked: number, srttMs: number): void {
    if (this.cwnd < this.ssthresh) {
      this.cwnd = slowStart(this, acked, this.mss);
      return;
    }
    this.timedOut = false;
    if (this.epoch < 0) this.startEpoch(now);
    this.wEst += (this.wEst < this.wMax ? ALPHA : 1) * this.mss * (acked / this.cwnd);
    const t = (now - this.epoch + srttMs) / 1000;
    const cubic = C * (t - this.k) ** 3 * this.mss + this.wMax;
    // §4.4, §4.5: aim at most at half as much again within one round trip.
    const target = Math.min(Math.max(cubic, this.wEst), 1.5 * this.cwnd);
    if (target > this.cwnd) this.cwnd += ((target - this.cwnd) * acked) / this.cwnd;
    this.cwnd = Math.min(this.cwnd, MAX_CWND);
  }

  onLoss(_now: Instant, _flight: number): void {
    // §4.7, fast convergence: give way sooner to newcomers.
    this.wMax = this.cwnd < this.wMax ? (this.cwnd * (1 + BETA)) / 2 : this.cwnd;
    this.ssthresh = Math.max(this.cwnd * BETA, 2 * this.mss);
    this.cwnd = this.ssthresh;
    this.timedOut = false;
    this.epoch = -1;
  }

  onTimeout(now: Instant, flight: number): void {
    this.onLoss(now, flight);
    this.cwnd = this.mss;
    this.timedOut = true;
  }

  onIdle(): void {
    this.cwnd = Math.min(this.cwnd, initialWindow(this.mss));
    this.epoch = -1;
  }

  setMss(mss: number): void {
    this.mss = mss;
  }

  private startEpoch(now: Instant): void {
    this.epoch = now;
    if (this.wMax < this.cwnd) this.wMax = this.cwnd;
    this.k = Math.cbrt((this.wMax - this.cwnd) / this.mss / C);
    this.wEst = this.cwnd;
  }
}
