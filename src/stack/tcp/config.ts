/** Limits and constants of the TCP layer. Bytes and ms. */
export interface TcpConfig {
  /** Connections at most, over all guests. */
  readonly maxConnections: number;
  /** Guest SYNs held at most while the host connection is made; the oldest gives way. */
  readonly maxRequests: number;
  /** TIME-WAIT entries at most; the oldest gives way. */
  readonly maxTimeWait: number;
  /** What all rings may hold together. */
  readonly memoryBudget: number;
  /** The receive window starts here and grows to `maxWindow` while the host keeps up. */
  readonly initialWindow: number;
  readonly maxWindow: number;
  readonly congestion: 'cubic' | 'new-reno';
  readonly timeWaitMs: number;
  /** Idle time before the first keepalive probe, time between probes, and probes unanswered. */
  readonly keepaliveIdleMs: number;
  readonly keepaliveIntervalMs: number;
  readonly keepaliveProbes: number;
  /** Retransmissions of one segment before the connection is given up. */
  readonly maxRetransmits: number;
  /** The same for SYN and SYN-ACK. */
  readonly maxSynRetransmits: number;
  /** How long a guest may be away (no link) before its connections end. */
  readonly linkDownGraceMs: number;
}

export const DEFAULT_TCP_CONFIG: TcpConfig = {
  maxConnections: 32_768,
  maxRequests: 4096,
  maxTimeWait: 8192,
  memoryBudget: 512 * 1024 * 1024,
  initialWindow: 256 * 1024,
  maxWindow: 2 * 1024 * 1024,
  congestion: 'cubic',
  timeWaitMs: 30_000,
  keepaliveIdleMs: 7_200_000,
  keepaliveIntervalMs: 75_000,
  keepaliveProbes: 8,
  maxRetransmits: 15,
  maxSynRetransmits: 5,
  linkDownGraceMs: 60_000,
};
