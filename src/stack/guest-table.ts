/**
 * The records of guests: attached ones, and those that are away and may come back. Bounded: the one that has been away
 * for longest is forgotten first.
 */
import { Owner } from '../base/shares/owner.ts';
import { type Instant, NEVER } from '../base/time.ts';
import type { Mac } from '../wire/mac.ts';
import { Guest } from './guest.ts';

const AWAY_MAX = 1024;

export class GuestTable {
  /** Owner of what is done for an address that no guest was heard with. */
  readonly nobody: Guest;
  private readonly attached = new Set<Guest>();
  /** In the order in which their links went. */
  private readonly away = new Set<Guest>();
  private readonly awayByMac = new Map<Mac, Guest>();
  private readonly listeners = new Map<string, Owner>();
  private nextId = 1;

  constructor(now: Instant) {
    this.nobody = new Guest(0, new Owner('nobody'), now);
  }

  /** Attached and away. */
  *[Symbol.iterator](): Generator<Guest, void> {
    yield* this.attached;
    yield* this.away;
  }

  /** Whoever came by `listener`; it may prove to be one that was here before, see {@link hear}. */
  attach(now: Instant, listener: string): Guest {
    const guest = new Guest(
      this.nextId,
      new Owner(`guest ${this.nextId}`, this.listenerOf(listener)),
      now,
    );
    this.nextId++;
    this.attached.add(guest);
    return guest;
  }

  /** `mac` was heard on `port`, for the first time since it was heard elsewhere. */
  hear(port: { guest: Guest }, mac: Mac): void {
    const { guest } = port;
    if (guest.hasMac(mac)) return;
    const before = guest.isNew ? this.awayByMac.get(mac) : undefined;
    if (before === undefined) {
      guest.addMac(mac);
      return;
    }
    this.attached.delete(guest);
    this.forgetAway(before);
    before.link = guest.link;
    before.goneAt = NEVER;
    this.attached.add(before);
    port.guest = before;
  }

  /** The link of `guest` is gone. */
  detach(now: Instant, guest: Guest): void {
    if (!this.attached.delete(guest)) return;
    guest.link = undefined;
    guest.goneAt = now;
    if (guest.isNew) return; // never said a word: nothing to come back to
    if (this.away.size >= AWAY_MAX)
      for (const oldest of this.away) {
        this.forgetAway(oldest);
        break;
      }
    this.away.add(guest);
    for (const mac of guest.macs) this.awayByMac.set(mac, guest);
  }

  private forgetAway(guest: Guest): void {
    this.away.delete(guest);
    for (const mac of guest.macs) if (this.awayByMac.get(mac) === guest) this.awayByMac.delete(mac);
  }

  private listenerOf(listener: string): Owner {
    const known = this.listeners.get(listener);
    if (known !== undefined) return known;
    const owner = new Owner(listener);
    this.listeners.set(listener, owner);
    return owner;
  }
}
