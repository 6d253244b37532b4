/** What the connections of one TCP layer share. */
import type { BufferPool } from '../../base/buffer-pool.ts';
import type { Counters } from '../../base/counters.ts';
import type { Instant } from '../../base/time.ts';
import type { TimerWheel } from '../../base/timer-wheel.ts';
import type { WorkList } from '../../base/work-list.ts';
import type { StackDrop } from '../drops.ts';
import type { IpOutput } from '../ipv4/output.ts';
import type { TcpConfig } from './config.ts';
import type { CongestionControl } from './congestion.ts';
import type { TcpConnection } from './connection.ts';
import type { IsnGenerator } from './isn.ts';

export interface TcpContext {
  readonly config: TcpConfig;
  readonly pool: BufferPool;
  readonly wheel: TimerWheel;
  readonly out: IpOutput;
  readonly isn: IsnGenerator;
  readonly drops: Counters<StackDrop>;
  /** Connections with events for their handlers. */
  readonly workList: WorkList<TcpConnection>;
  /** Connections to call `output` for at the end of the batch. */
  readonly touchedList: WorkList<TcpConnection>;
  /** Connections with data that waits for the flush; see `send`. */
  readonly corkedList: WorkList<TcpConnection>;
  /** Connections whose host side waits for memory. */
  readonly starved: TcpConnection[];
  makeCongestionControl(mss: number): CongestionControl;
  /** Whether a challenge ACK may be sent now (RFC 5961 §7). */
  mayChallenge(now: Instant): boolean;
  // What `send.ts` and `timers.ts` do; called through here, as they in turn work on the connection.
  output(connection: TcpConnection, now: Instant): void;
  outputWhole(connection: TcpConnection, now: Instant): void;
  onLinkWritable(connection: TcpConnection, now: Instant): void;
  reset(connection: TcpConnection): void;
  serveTimers(connection: TcpConnection, now: Instant): void;
  /** The connection has reached TIME-WAIT: replace it by a small entry. */
  enterTimeWait(now: Instant, connection: TcpConnection): void;
  /** The connection is closed: drop it from the tables. */
  forget(now: Instant, connection: TcpConnection): void;
}
