/**
 * A datagram to another resolver that our own DNS answers: a flow in the book until it is answered, with the address that
 * the guest has asked.
 */
import type { Instant } from '../../base/time.ts';
import type { FlowId } from '../../stack/flow.ts';
import type { FlowFacts, FlowSource, FlowVerdict } from '../flows/flow.ts';

export class RedirectedQuery implements FlowSource {
  isEnded = false;
  private readonly id: FlowId;
  private readonly verdict: FlowVerdict;
  private readonly len: number;
  private lastAt: Instant;
  private answerLen: number | undefined = undefined;

  /** @param len of the query, in bytes */
  constructor(now: Instant, id: FlowId, verdict: FlowVerdict, len: number) {
    this.lastAt = now;
    this.id = id;
    this.verdict = verdict;
    this.len = len;
  }

  onAnswered(now: Instant, len: number): void {
    this.lastAt = now;
    this.answerLen = len;
  }

  describeFlow(): FlowFacts {
    const { guest, guestPort, remote, remotePort } = this.id;
    const { verdict, answerLen, lastAt } = this;
    return {
      guest: { address: guest, port: guestPort },
      remote: { address: remote, port: remotePort },
      openedBy: 'guest',
      via: 'net',
      service: 'dns',
      verdict,
      lastAt,
      state: answerLen === undefined ? 'active' : 'answered',
      bytesToHost: this.len,
      bytesToGuest: answerLen ?? 0,
      packetsToHost: 1,
      packetsToGuest: answerLen === undefined ? 0 : 1,
    };
  }

  endFlow(): void {
    this.isEnded = true;
  }
}
