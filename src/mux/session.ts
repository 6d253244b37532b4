import type { Channel } from './channel.ts';
import { LinkControl } from './link-control.ts';
import type { MuxSettings } from './options.ts';
import { SendScheduler } from './send-scheduler.ts';
import { MuxStats } from './stats.ts';
import { WindowBudget } from './window-budget.ts';
import type { MuxWriter } from './writer.ts';

/** The state of one multiplexer, shared by its sender, its receiver and the delivery of events. */
export class Session {
  readonly settings: MuxSettings;
  readonly writer: MuxWriter;
  readonly stats: MuxStats = new MuxStats();
  readonly link: LinkControl;
  readonly scheduler: SendScheduler;
  readonly budget: WindowBudget;
  /** By id; a channel stays until both ends have sent Close. */
  readonly channels: Map<number, Channel> = new Map();
  /** Opens of the peer that the handler has not been notified of yet. */
  readonly requests: Channel[] = [];
  state: 'new' | 'up' | 'down' = 'new';
  /** The peer's handshake is in. */
  ready = false;
  readyPending = false;
  goAwayPending = false;
  /** We accept no more opens. */
  leaving = false;
  /** The peer accepts no more opens. */
  peerLeaving = false;
  /** Credit of a new channel before its first Window; 0 in the plain mode. */
  peerWindow = 0;
  peerMaxChannels: number = Number.POSITIVE_INFINITY;

  constructor(settings: MuxSettings, writer: MuxWriter) {
    this.settings = settings;
    this.writer = writer;
    this.link = new LinkControl(settings, this.stats);
    this.scheduler = new SendScheduler(writer, this.stats, settings.quantum, settings.maxPayload);
    this.budget = new WindowBudget(settings, this.stats);
  }
}
