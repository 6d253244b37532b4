/** Limits of the NAT for UDP, and what it counts. */
import type { SessionCounts } from './host-sessions.ts';

export interface UdpNatOptions {
  readonly bindings: number;
  /** Idle time of a binding that nothing has answered, and of one that something has. */
  readonly freshMs: number;
  readonly settledMs: number;
  /** Datagrams and bytes that one binding may have queued for the kernel. */
  readonly inFlight: number;
  readonly inFlightBytes: number;
}

export const UDP_NAT_DEFAULTS: UdpNatOptions = {
  bindings: 4096,
  freshMs: 30_000,
  settledMs: 180_000,
  inFlight: 4096,
  inFlightBytes: 1 << 20,
};

export type UdpNatCount =
  | 'udp-refused'
  | 'udp-port-zero'
  | 'udp-gateway-port-closed'
  | 'udp-evicted'
  | 'udp-expired'
  | 'udp-no-socket'
  | 'udp-in-flight-limit'
  | 'udp-send-failed'
  | 'udp-receive-failed'
  | 'udp-icmp-error'
  | 'udp-peer-hidden'
  | 'udp-guest-not-draining';

export const UDP_NAT_COUNTS: SessionCounts<UdpNatCount> = {
  evicted: 'udp-evicted',
  expired: 'udp-expired',
  sendFailed: 'udp-send-failed',
  receiveFailed: 'udp-receive-failed',
  icmpError: 'udp-icmp-error',
  peerHidden: 'udp-peer-hidden',
};
