/** Round-trip time and retransmission timeout (RFC 6298). All in ms. */

const INITIAL_RTO = 1000; // §2.1
/** Below the RFC's second, as Linux: the guest is a memory copy away. */
const MIN_RTO = 200;
const MAX_RTO = 60_000;
const GRANULARITY = 4; // the wheel's tick

export class RttEstimator {
  /** 0 before the first sample. */
  srtt = 0;
  rttvar = 0;
  /** With back-off. */
  rto: number = INITIAL_RTO;
  private backoffs = 0;

  sample(rtt: number): void {
    if (this.srtt === 0) {
      this.srtt = Math.max(rtt, 0.001);
      this.rttvar = rtt / 2;
    } else {
      this.rttvar += (Math.abs(this.srtt - rtt) - this.rttvar) / 4;
      this.srtt = Math.max(this.srtt + (rtt - this.srtt) / 8, 0.001);
    }
    this.backoffs = 0;
    this.rto = this.base();
  }

  /** The timer fired (§5.5). */
  backOff(): void {
    this.backoffs++;
    this.rto = Math.min(this.rto * 2, MAX_RTO);
  }

  /** New data was acknowledged: the back-off has done its work. */
  resetBackOff(): void {
    if (this.backoffs === 0) return;
    this.backoffs = 0;
    this.rto = this.base();
  }

  private base(): number {
    if (this.srtt === 0) return INITIAL_RTO;
    const rto = this.srtt + Math.max(GRANULARITY, 4 * this.rttvar);
    return Math.min(Math.max(rto, MIN_RTO), MAX_RTO);
  }
}
