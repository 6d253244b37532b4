/** The TIME-WAIT entries of one TCP layer. Bounded: the oldest gives way. */
import { Chain } from '../../base/chain.ts';
import type { Counters } from '../../base/counters.ts';
import type { FlowTable } from '../../base/flow-table.ts';
import type { Instant } from '../../base/time.ts';
import type { TimerWheel } from '../../base/timer-wheel.ts';
import type { StackDrop } from '../drops.ts';
import type { TcpConfig } from './config.ts';
import type { Tcb } from './tcb.ts';
import { TimeWait } from './time-wait.ts';

export class TimeWaitTable {
  private readonly config: TcpConfig;
  private readonly wheel: TimerWheel;
  private readonly drops: Counters<StackDrop>;
  /** Of the layer: entries stand beside connections. */
  private readonly endpoints: Pick<FlowTable<TimeWait>, 'set' | 'delete'>;
  private readonly entries = new Chain<TimeWait>();

  constructor(
    config: TcpConfig,
    wheel: TimerWheel,
    drops: Counters<StackDrop>,
    endpoints: Pick<FlowTable<TimeWait>, 'set' | 'delete'>,
  ) {
    this.config = config;
    this.wheel = wheel;
    this.drops = drops;
    this.endpoints = endpoints;
  }

  get size(): number {
    return this.entries.size;
  }

  /** Stand in for a connection that is closed and out of the tables. */
  add(now: Instant, c: Tcb): void {
    const oldest = this.entries.first;
    if (oldest !== undefined && this.size >= this.config.maxTimeWait) {
      this.drops.add('tcp-time-wait-evicted');
      this.end(oldest);
    }
    const entry = new TimeWait(c, this.end);
    this.entries.add(entry);
    this.endpoints.set(c.key, entry);
    this.restart(now, entry);
  }

  /** The wait restarts. */
  restart(now: Instant, entry: TimeWait): void {
    this.wheel.set(entry, now + this.config.timeWaitMs);
  }

  readonly end = (entry: TimeWait): void => {
    this.wheel.cancel(entry);
    this.entries.delete(entry);
    this.endpoints.delete(entry.key);
  };
}
