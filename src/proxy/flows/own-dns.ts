/** hawser's own DNS, where it answers in the place of another resolver that a guest asks. */
import type { Instant } from '../../base/time.ts';
import type { Datagram, TcpRequest } from '../../stack/flow.ts';
import type { FlowVerdict } from './flow.ts';

export interface DnsInPlace {
  /** A connection. */
  takeRequest(now: Instant, request: TcpRequest, verdict: FlowVerdict): void;
  /** @param datagram borrowed for the call */
  takeDatagram(now: Instant, datagram: Datagram, verdict: FlowVerdict): void;
}

/** Undefined while there is none. */
export interface OwnDns {
  current: DnsInPlace | undefined;
}
