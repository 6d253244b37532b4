/** What notices that guests come and go. */
import type { Emitter } from '../base/emitter.ts';
import type { NetworkEvents } from '../control/events/network-events.ts';
import type { GuestView } from '../control/network-view.ts';
import { formatMac, type Mac } from '../wire/mac.ts';

/** A guest that changes its addresses with each packet costs one comparison in this time. */
const SETTLE_MS = 20;
/** And comparisons take at most this fraction of the time. */
const SHARE = 1 / 20;
/** Of one comparison; more are for the next. A guest that invents stations makes thousands. */
const MOST_CHANGES = 64;

/** The stations of the segment. */
export interface Stations {
  /** Calls `visit` for each that is attached, once or more. */
  forEachAttached(visit: (mac: Mac) => void): void;
  /** Of those that are known. */
  viewsOf(macs: ReadonlySet<Mac>): readonly GuestView[];
}

/** Compares the attached guests with those before, a short time after a change. */
export class GuestWatch {
  private readonly stations: Stations;
  private readonly emitter: Emitter<NetworkEvents>;
  private readonly attached = new Map<Mac, GuestView>();
  private timer: NodeJS.Timeout | undefined = undefined;
  private settleMs = SETTLE_MS;

  constructor(stations: Stations, emitter: Emitter<NetworkEvents>) {
    this.stations = stations;
    this.emitter = emitter;
  }

  /** A guest may have attached or detached. */
  changed(): void {
    this.timer ??= setTimeout(() => this.compare(), this.settleMs).unref();
  }

  /** Tell at once what has changed: who has attached a moment ago may be about to be gone. */
  settle(): void {
    if (this.timer !== undefined) this.compare();
  }

  close(): void {
    clearTimeout(this.timer);
  }

  private compare(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const begunAt = performance.now();
    const now = new Set<Mac>();
    this.stations.forEachAttached((mac) => now.add(mac));
    const changes = this.changes(now);
    if (changes.size > 0) {
      const views = this.stations.viewsOf(changes);
      const byMac = new Map(views.map((view) => [view.mac, view]));
      for (const mac of changes) this.announce(mac, now.has(mac), byMac.get(formatMac(mac)));
    }
    this.settleMs = Math.max(SETTLE_MS, (performance.now() - begunAt) / SHARE);
    if (changes.size === MOST_CHANGES) this.changed();
  }

  private changes(now: ReadonlySet<Mac>): ReadonlySet<Mac> {
    const changes = new Set<Mac>();
    for (const mac of this.attached.keys()) {
      if (changes.size < MOST_CHANGES && !now.has(mac)) changes.add(mac);
    }
    for (const mac of now) {
      if (changes.size < MOST_CHANGES && !this.attached.has(mac)) changes.add(mac);
    }
    return changes;
  }

  private announce(mac: Mac, isAttached: boolean, view: GuestView | undefined): void {
    const last = this.attached.get(mac);
    this.attached.delete(mac);
    if (isAttached && view !== undefined) {
      this.attached.set(mac, view);
      this.emitter.emit('guest', { kind: 'attached', guest: view });
    } else if (last !== undefined) {
      const guest = view ?? { ...last, link: null, attachedMs: null };
      this.emitter.emit('guest', { kind: 'detached', guest });
    }
  }
}
