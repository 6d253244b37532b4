/**
 * Looks at the guest's sockets, and says which places of the host they want.
 *
 * Where the kernel says what begins to listen ({@link SocketWakes}), they are read for that. Else it tells of a socket that
 * has ended, but of none that begins, and they are read every {@link LOOK_MS}, which is what a port's way to the host takes at most, besides the second look {@link CONFIRM_MS} later
 * at what is new. Looks come in such pairs, so that many binds a second cost no more than twice the looks; where a look
 * takes long, as without native calls, they are rarer: {@link SHARE} of a processor at most. What follows a look costs as
 * much as has changed, not as much as there is.
 */
import type { Log } from '../../../base/log.ts';
import { Allowance } from '../../../base/shares/allowance.ts';
import { type Clock, type Instant, NEVER, type Timers } from '../../../base/time.ts';
import type { Places } from './places.ts';
import { CONFIRM_MS, type CountChange, Sightings } from './sightings.ts';
import type { SocketSource, SocketsRead, SocketWakes } from './socket-source.ts';

export const LOOK_MS = 200;
/** While there has been something new in each of {@link BUSY_PAIRS} pairs in a row. */
export const BUSY_LOOK_MS = 300;
const BUSY_PAIRS = 3;
const SHARE = 1 / 100;
/** However long a look takes: on a busy machine others run meanwhile. */
export const LOOK_MS_MAX = 5_000;
const COST_WEIGHT = 1 / 16;
/** After a socket has ended: another may take its place. */
export const END_LOOK_MS = 10;
/** Looks because a socket has ended: at once, and a second. */
const END_LOOKS_BURST = 4;
const END_LOOKS_PER_SECOND = 2;

const NOTHING: CountChange = { added: [], removed: [] };

export interface ListeningWatchDeps {
  readonly clock: Pick<Clock, 'now'>;
  readonly timers: Timers;
  readonly log: Log;
  readonly sockets: SocketSource;
  readonly places: Places;
  /** Ports of sockets that end; 0: of any. Absent: the kernel does not tell. */
  watchEnds?(onEnd: (port: number) => void): { close(): void };
  /** The places may be others now. */
  onPlaces(): void;
}

export class ListeningWatch {
  looks = 0;
  private costMs = 0;
  /** Of looks in a row that both had something to see. */
  private pairs = 0;
  private readonly deps: ListeningWatchDeps;
  private readonly sightings = new Sightings();
  private readonly endLooks = new Allowance(END_LOOKS_BURST, END_LOOKS_PER_SECOND);
  /** How many sockets that count are on a port. */
  private readonly counted = new Map<number, number>();
  private cancel: (() => void) | undefined = undefined;
  private nextAt: Instant = NEVER;
  private ends: { close(): void } | undefined = undefined;
  private isConfirming = false;
  private isEndDue = false;
  private wasUnread = false;
  private isClosed = false;

  constructor(deps: ListeningWatchDeps) {
    this.deps = deps;
  }

  start(): void {
    const { sockets, watchEnds } = this.deps;
    const { wakes } = sockets;
    this.ends =
      wakes === undefined
        ? watchEnds?.((port) => this.onEnd(port))
        : wakes.watch(() => this.lookWithin(END_LOOK_MS));
    this.look();
  }

  close(): void {
    this.isClosed = true;
    this.cancel?.();
    this.ends?.close();
    this.deps.sockets.close();
  }

  private look(): void {
    if (this.isClosed) return;
    this.read();
    const { wakes } = this.deps.sockets;
    this.lookIn(wakes === undefined ? this.polledMs() : this.wokenMs(wakes));
  }

  private lookIn(delayMs: number): void {
    this.cancel?.();
    this.nextAt = this.deps.clock.now() + delayMs;
    this.cancel = this.deps.timers.after(delayMs, () => this.look());
  }

  private lookWithin(delayMs: number): void {
    if (!this.isClosed && this.deps.clock.now() + delayMs < this.nextAt) this.lookIn(delayMs);
  }

  /** Until the next look, where the kernel says when one is needed. */
  private wokenMs({ nextMs }: SocketWakes): number {
    const { clock, places } = this.deps;
    const sightMs = this.sightings.hasCandidates ? Math.min(nextMs, CONFIRM_MS) : nextMs;
    return Math.max(Math.min(sightMs, places.nextAt - clock.now()), 0);
  }

  private polledMs(): number {
    const isFirst = !this.isConfirming && this.sightings.hasCandidates;
    const looks = this.isConfirming ? 2 : 1;
    if (!isFirst) this.pairs = this.isConfirming ? this.pairs + 1 : 0;
    const restMs = this.pairs >= BUSY_PAIRS ? BUSY_LOOK_MS : LOOK_MS;
    this.isConfirming = isFirst;
    if (isFirst) return CONFIRM_MS;
    return Math.min(Math.max(restMs, (looks * this.costMs) / SHARE), LOOK_MS_MAX);
  }

  private read(): void {
    const { clock, sockets } = this.deps;
    const begun = clock.now();
    this.looks++;
    const read = sockets.read();
    if (read === undefined) this.onUnread();
    else this.see(begun, read);
    const tookMs = clock.now() - begun;
    // Some take longer because others run meanwhile.
    this.costMs = Math.min(tookMs, this.costMs + (tookMs - this.costMs) * COST_WEIGHT);
  }

  private see(now: Instant, read: Exclude<SocketsRead, undefined>): void {
    const { places, onPlaces, sockets } = this.deps;
    this.wasUnread = false;
    const change =
      read === 'later' ? NOTHING : this.sightings.see(now, read, sockets.wakes?.wasSeen);
    const { added, removed } = change;
    if (added.length === 0 && removed.length === 0 && now < places.nextAt) return;
    for (const { port } of added) this.count(port, 1);
    for (const { port } of removed) this.count(port, -1);
    places.update(now, change);
    onPlaces();
  }

  private count(port: number, by: number): void {
    const count = (this.counted.get(port) ?? 0) + by;
    if (count > 0) this.counted.set(port, count);
    else this.counted.delete(port);
  }

  private onUnread(): void {
    if (this.wasUnread) return;
    this.wasUnread = true;
    this.deps.log.warn({}, 'the sockets that listen cannot be read now: what is published stays');
  }

  private onEnd(port: number): void {
    if (this.isEndDue || (port !== 0 && !this.counted.has(port))) return;
    const waitMs = this.endLooks.take(this.deps.clock.now());
    if (waitMs > 0) {
      this.lookWithin(waitMs);
      return;
    }
    this.isEndDue = true;
    this.deps.timers.after(END_LOOK_MS, () => {
      this.isEndDue = false;
      if (!this.isClosed) this.read();
    });
  }
}
