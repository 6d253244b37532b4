/**
 * The records of guests: attached ones, and those that are away and may come back. Bounded: the one that has been away
 * for longest is forgotten first.
 */
import { Owner } from '../base/shares/owner.ts';
import { Rate } from '../base/shares/rate.ts';
import { type Instant, NEVER } from '../base/time.ts';
import type { Mac } from '../wire/mac.ts';
import { Guest } from './guest.ts';

const AWAY_MAX = 1024;
/** Links of one listener at a time, and in a second. */
const LINKS_MAX = 128;
const LINKS_PER_SECOND = 50;
/** Listeners known, and users; one without links is forgotten first. */
const LISTENERS_MAX = 1024;

interface Listener {
  readonly owner: Owner;
  readonly attached: Set<Guest>;
  readonly rate: Rate;
}

export class GuestTable {
  /** Owner of what is done for an address that no guest was heard with. */
  readonly nobody: Guest;
  private readonly attached = new Set<Guest>();
  /** In the order in which their links went. */
  private readonly away = new Set<Guest>();
  private readonly awayByMac = new Map<Mac, Guest>();
  private readonly listeners = new Map<string, Listener>();
  private readonly users = new Map<number, Owner>();
  private readonly listenerOf = new WeakMap<Guest, Listener>();
  private nextId = 1;

  constructor(now: Instant) {
    this.nobody = new Guest(0, new Owner('nobody'), now);
  }

  /** Attached and away. */
  *[Symbol.iterator](): Generator<Guest, void> {
    yield* this.attached;
    yield* this.away;
  }

  /**
   * Whoever came by the listener `name`; it may prove to be one that was here before, see {@link hear}.
   *
   * @param uid the user at its other end: of several listeners of one user, each has a part of the user's share
   * @returns undefined when the listener has too many links, or they come too fast
   */
  attach(now: Instant, name: string, uid?: number): Guest | undefined {
    const listener = this.listenerNamed(name, uid);
    if (listener.attached.size >= LINKS_MAX || !listener.rate.take(now)) return undefined;
    const guest = new Guest(this.nextId, new Owner(`guest ${this.nextId}`, listener.owner), now);
    this.nextId++;
    this.enter(guest, listener);
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
    const listener = this.leave(guest);
    if (listener === undefined) return;
    this.forgetAway(before);
    before.link = guest.link;
    before.goneAt = NEVER;
    this.enter(before, listener);
    port.guest = before;
  }

  /** The link of `guest` is gone. */
  detach(now: Instant, guest: Guest): void {
    if (this.leave(guest) === undefined) return;
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

  private enter(guest: Guest, listener: Listener): void {
    this.attached.add(guest);
    listener.attached.add(guest);
    this.listenerOf.set(guest, listener);
  }

  /** @returns the listener that it came by; undefined when it is not attached */
  private leave(guest: Guest): Listener | undefined {
    if (!this.attached.delete(guest)) return undefined;
    const listener = this.listenerOf.get(guest);
    listener?.attached.delete(guest);
    return listener;
  }

  private listenerNamed(name: string, uid: number | undefined): Listener {
    const key = uid === undefined ? name : `${uid} ${name}`;
    const known = this.listeners.get(key);
    if (known !== undefined) return known;
    if (this.listeners.size >= LISTENERS_MAX) this.forgetListener();
    const owner = new Owner(name, uid === undefined ? undefined : this.user(uid));
    const listener = { owner, attached: new Set<Guest>(), rate: new Rate(LINKS_PER_SECOND) };
    this.listeners.set(key, listener);
    return listener;
  }

  private user(uid: number): Owner {
    const known = this.users.get(uid);
    if (known !== undefined) return known;
    if (this.users.size >= LISTENERS_MAX) this.forgetUser();
    const owner = new Owner(`uid ${uid}`);
    this.users.set(uid, owner);
    return owner;
  }

  private forgetUser(): void {
    for (const [uid, owner] of this.users) {
      if (owner.holds) continue;
      this.users.delete(uid);
      return;
    }
  }

  private forgetListener(): void {
    for (const [key, { attached, owner }] of this.listeners) {
      if (attached.size > 0 || owner.holds) continue;
      this.listeners.delete(key);
      return;
    }
  }
}
