/**
 * The sockets that listen, read only when the kernel has said that some began or ended. A socket that has listened for
 * {@link RIPE_MS} is read once and counts at once; one that has ended by then is neither read nor shown, so that ghosts
 * cost no more than their events. One that may take the place of another that has ended is shown before that. Where sockets
 * come and go all the time their events are looked at {@link READS_PER_SECOND} times, and they are read as often at most:
 * what is done once for many costs less than half. Whatever the kernel says, they are read every {@link REFRESH_MS}.
 */
import type { Log } from '../../../base/log.ts';
import { Allowance } from '../../../base/shares/allowance.ts';
import type { Clock, Instant } from '../../../base/time.ts';
import { type ListenWakes, watchListenEvents } from '../../../native/listen-wakes.ts';
import type {
  BoundSocket,
  BoundSockets,
  HasEnded,
  ListenEvents,
  Posix,
} from '../../../native/posix.ts';
import { CONFIRM_MS } from './sightings.ts';
import type { SocketSource, SocketsRead, SocketWakes } from './socket-source.ts';

export const REFRESH_MS = 2_000;
export const READS_PER_SECOND = 2.5;
const READS_BURST = 4;
/** One that lives for less than {@link CONFIRM_MS} may end late. */
export const RIPE_MS: number = CONFIRM_MS + 10;
/** While sockets come and go, events are looked at so often, and wake nobody: a wake costs more than what it is for. */
const BUSY_MS = 1_000 / READS_PER_SECOND;
const BUSY = 3;
/** More than these are not known one by one: they are read. */
const YOUNG_MAX = 10_000;

interface Young {
  readonly since: Instant;
  readonly port: number;
  /** Whether the last read has shown it. Undefined: perhaps, it began meanwhile. */
  isShown: boolean | undefined;
}

export interface EventedSocketsDeps {
  readonly clock: Pick<Clock, 'now'>;
  readonly sockets: BoundSockets;
  readonly events: Pick<ListenEvents, 'drain'>;
  /** Call `onWake` once when there are events. */
  watch(onWake: () => void): ListenWakes;
}

export class EventedSockets implements SocketSource {
  readonly wakes: SocketWakes;
  private readonly deps: EventedSocketsDeps;
  private readonly reads = new Allowance(READS_BURST, READS_PER_SECOND);
  /** By what the kernel calls them: those that began a moment ago. */
  private readonly young = new Map<number, Young>();
  /** Ports of those that are no longer young, and that no read has had. */
  private ripe = new Set<number>();
  /** Those of the last read. */
  private seen: ReadonlySet<number> = new Set();
  /** Ports of those that have ended since the last read. */
  private readonly ended = new Set<number>();
  /** How many have ended on each port since the last read, shown or not. */
  private gone = new Map<number, number>();
  /** All of the last read, and the inodes of those that were not shown. */
  private last: readonly BoundSocket[] = [];
  private unshown: ReadonlySet<number> = new Set();
  private isPending = true;
  private readAt: Instant = 0;
  private drainedAt: Instant = 0;
  private restMs = 0;
  private waker: ListenWakes | undefined = undefined;
  /** Of reads in a row that have left something young. */
  private busy = 0;

  constructor(deps: EventedSocketsDeps) {
    this.deps = deps;
    const nextMs = (): number => this.nextMs;
    this.wakes = {
      get nextMs() {
        return nextMs();
      },
      wasSeen: ({ protocol, port }) => protocol === 'tcp' && this.seen.has(port),
      watch: (onWake) => {
        this.waker = deps.watch(onWake);
        return this.waker;
      },
    };
  }

  read(): SocketsRead {
    const read = this.readNow(this.deps.clock.now());
    this.busy = this.young.size > 0 ? this.busy + 1 : 0;
    if (this.nextMs === REFRESH_MS) this.waker?.resume();
    return read;
  }

  private readNow(now: Instant): SocketsRead {
    this.drain(now, false);
    this.ripen(now);
    if (!this.isPending && this.ripe.size === 0 && now - this.readAt < REFRESH_MS) return 'same';
    this.restMs = this.reads.take(now);
    if (this.restMs > 0) return 'later';
    const read = this.deps.sockets.read(this.hasEnded());
    if (read === undefined) return undefined;
    const before = this.last;
    if (read !== 'same') this.last = read;
    this.readAt = now;
    this.isPending = false;
    this.seen = this.ripe;
    this.ripe = new Set();
    const shown = this.show(before);
    this.ended.clear();
    this.drain(now, undefined);
    return shown;
  }

  close(): void {
    this.deps.sockets.close();
  }

  /** Of as many on a port as have ended there. */
  private hasEnded(): HasEnded {
    const { gone } = this;
    this.gone = new Map();
    return ({ protocol, port }) => {
      const left = protocol === 'tcp' ? (gone.get(port) ?? 0) : 0;
      gone.set(port, left - 1);
      return left > 0;
    };
  }

  private get nextMs(): number {
    if (this.restMs > 0) return this.restMs;
    if (this.young.size === 0) return REFRESH_MS;
    return this.busy > BUSY ? BUSY_MS : CONFIRM_MS;
  }

  /** Of the last read, without those that are too young, unless they were shown of the one before. */
  private show(before: readonly BoundSocket[]): readonly BoundSocket[] {
    const hidden = new Set<number>();
    for (const one of this.young.values()) {
      one.isShown = this.ended.has(one.port);
      if (!one.isShown) hidden.add(one.port);
    }
    const isYoung = ({ protocol, port }: BoundSocket): boolean =>
      protocol === 'tcp' && hidden.has(port);
    const unshown = new Set(this.last.filter(isYoung).map(({ inode }) => inode));
    for (const { inode } of before) if (!this.unshown.has(inode)) unshown.delete(inode);
    this.unshown = unshown;
    if (unshown.size === 0) return this.last;
    return this.last.filter(({ inode }) => !unshown.has(inode));
  }

  /** @param isShown of those that have begun */
  private drain(now: Instant, isShown: false | undefined): void {
    const { events, isWhole } = this.deps.events.drain();
    if (!isWhole || this.young.size + events.length > YOUNG_MAX) {
      this.young.clear();
      this.isPending = true;
    }
    for (const { kind, socket, port, ageMs } of events) {
      if (kind === 'begun') {
        const since = Math.max(now - ageMs, this.drainedAt);
        this.young.set(socket, { since, port, isShown });
        continue;
      }
      this.gone.set(port, (this.gone.get(port) ?? 0) + 1);
      // One that was not shown has never been there.
      if (this.young.get(socket)?.isShown !== false) {
        this.isPending = true;
        this.ended.add(port);
      }
      this.young.delete(socket);
    }
    this.drainedAt = now;
  }

  private ripen(now: Instant): void {
    for (const [socket, { since, port, isShown }] of this.young) {
      if (now - since < RIPE_MS) continue;
      this.young.delete(socket);
      if (isShown !== true) this.ripe.add(port);
    }
  }
}

/** `sockets`, read by the kernel's events where it has them and we may. */
export function withEvents(
  sockets: BoundSockets,
  posix: Pick<Posix, 'openListenEvents'>,
  { clock, log }: { readonly clock: Pick<Clock, 'now'>; readonly log: Log },
): SocketSource {
  try {
    const events = posix.openListenEvents();
    const watch = (onWake: () => void): ListenWakes => watchListenEvents(events, onWake);
    return new EventedSockets({ clock, sockets, events, watch });
  } catch (error) {
    log.debug({ err: error }, 'the kernel does not tell of sockets that begin to listen');
    return sockets;
  }
}
