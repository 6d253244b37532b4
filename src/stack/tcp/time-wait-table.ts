/** The TIME-WAIT entries of one TCP layer. Bounded: the oldest of the guest that has the most gives way. */
import type { FlowTable } from '../../base/flow-table.ts';
import type { Instant } from '../../base/time.ts';
import type { TimerWheel } from '../../base/timer-wheel.ts';
import type { Guest } from '../guest.ts';
import type { TcpConfig } from './config.ts';
import type { GuestTcp } from './guest-tcp.ts';
import type { Tcb } from './tcb.ts';
import { TimeWait } from './time-wait.ts';

export class TimeWaitTable {
  size = 0;
  /** The one that ended last: where the table is full, each has the place of the one that gave way to it. */
  private spare: TimeWait | undefined = undefined;
  private readonly config: TcpConfig;
  private readonly wheel: TimerWheel;
  private readonly tcpOf: (guest: Guest) => GuestTcp;
  /** Of the layer: entries stand beside connections. */
  private readonly endpoints: Pick<FlowTable<TimeWait>, 'set' | 'delete'>;

  constructor(
    config: TcpConfig,
    wheel: TimerWheel,
    endpoints: Pick<FlowTable<TimeWait>, 'set' | 'delete'>,
    tcpOf: (guest: Guest) => GuestTcp,
  ) {
    this.config = config;
    this.wheel = wheel;
    this.endpoints = endpoints;
    this.tcpOf = tcpOf;
  }

  /** Stand in for a connection that is closed and out of the tables. */
  add(now: Instant, c: Tcb): void {
    const tcp = this.tcpOf(c.shares.guest);
    if (!tcp.timeWaitShare.take()) return; // a share of nothing: its guest's next packet is refused
    const entry = this.entryFor(c);
    this.size++;
    tcp.timeWaits.add(entry);
    this.endpoints.set(c.key, entry);
    this.restart(now, entry);
  }

  private entryFor(c: Tcb): TimeWait {
    const { spare } = this;
    if (spare === undefined) return new TimeWait(c, this.end);
    this.spare = undefined;
    spare.standFor(c);
    return spare;
  }

  /** The wait restarts. */
  restart(now: Instant, entry: TimeWait): void {
    this.wheel.set(entry, now + this.config.timeWaitMs);
  }

  readonly end = (entry: TimeWait): void => {
    const tcp = this.tcpOf(entry.owner);
    this.wheel.cancel(entry);
    this.size--;
    tcp.timeWaits.delete(entry);
    tcp.timeWaitShare.give();
    this.endpoints.delete(entry.key);
    this.spare = entry;
  };
}
