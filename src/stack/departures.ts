/** Guests whose links are gone: what is theirs waits for a grace, and then ends. */
import { type Instant, NEVER } from '../base/time.ts';
import type { Upstream } from './flow.ts';
import type { Guest } from './guest.ts';
import type { NeighborTable } from './neighbor.ts';
import type { TcpLayer } from './tcp/tcp-layer.ts';

/** A guest that goes while it holds more than this part of a budget is waited for half as long. */
const MUCH = 1 / 16;

export class Departures {
  /** When a grace may be over. */
  nextAt: Instant = NEVER;
  private readonly waitedFor = new Set<Guest>();
  private readonly graceMs: number;
  private readonly neighbors: NeighborTable;
  private readonly tcp: TcpLayer;
  private readonly upstream: Upstream;

  constructor(graceMs: number, neighbors: NeighborTable, tcp: TcpLayer, upstream: Upstream) {
    this.graceMs = graceMs;
    this.neighbors = neighbors;
    this.tcp = tcp;
    this.upstream = upstream;
  }

  /** The link of `guest` is gone. */
  add(now: Instant, guest: Guest): void {
    guest.graceMs = guest.owner.holdsMuch(MUCH) ? this.graceMs / 2 : this.graceMs;
    this.waitedFor.add(guest);
    this.nextAt = Math.min(this.nextAt, now + guest.graceMs);
  }

  /** End what waited for guests whose grace is over, as far as there is time. */
  onTimeout(now: Instant): void {
    if (now < this.nextAt) return;
    this.nextAt = NEVER;
    let isDone = true;
    this.neighbors.forEach((neighbor) => {
      const endsAt = neighbor.goneAt + neighbor.guest.graceMs;
      if (endsAt > now) {
        this.nextAt = Math.min(this.nextAt, endsAt);
        return;
      }
      if (!this.tcp.endGuest(neighbor)) {
        this.nextAt = now; // the rest in a later turn
        isDone = false;
        return;
      }
      neighbor.goneAt = NEVER;
      this.upstream.onAddressGone?.(now, neighbor.guest, neighbor.address);
    });
    if (isDone) this.endGuests(now);
  }

  /** Those whose addresses have ended. */
  private endGuests(now: Instant): void {
    for (const guest of this.waitedFor) {
      const endsAt = guest.goneAt + guest.graceMs;
      if (guest.link === undefined && endsAt > now) this.nextAt = Math.min(this.nextAt, endsAt);
      else {
        this.waitedFor.delete(guest);
        if (guest.link === undefined) this.upstream.onGuestGone?.(now, guest);
      }
    }
  }
}
