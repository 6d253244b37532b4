/**
 * Names that a guest has not asked for lately, so many a minute: below an allowed wildcard a guest chooses the labels, and
 * they are read by whoever serves that domain. What is answered from the cache leaves nothing there.
 */
import { ExpiringSet } from '../../base/expiring-set.ts';
import type { Instant } from '../../base/time.ts';
import type { Guest } from '../../stack/guest.ts';

/** A browser that opens a dozen of pages asks for a few hundred. */
export const NEW_NAMES_A_MINUTE = 300;
const KNOWN = 2048;
const KNOWN_MS = 3_600_000;
const MINUTE_MS = 60_000;

class NamesOfGuest {
  readonly known = new ExpiringSet(KNOWN, KNOWN_MS);
  left = NEW_NAMES_A_MINUTE;
  at: Instant;

  constructor(now: Instant) {
    this.at = now;
  }
}

export class NewNames {
  private readonly byGuest = new WeakMap<Guest, NamesOfGuest>();

  /** @returns whether `owner` may have `name` asked for */
  take(now: Instant, owner: Guest, name: string): boolean {
    const names = this.namesOf(now, owner);
    if (!names.known.has(now, name)) {
      const earned = ((now - names.at) * NEW_NAMES_A_MINUTE) / MINUTE_MS;
      names.left = Math.min(NEW_NAMES_A_MINUTE, names.left + earned);
      names.at = now;
      if (names.left < 1) return false;
      names.left--;
    }
    names.known.add(now, name);
    return true;
  }

  private namesOf(now: Instant, owner: Guest): NamesOfGuest {
    const known = this.byGuest.get(owner);
    if (known !== undefined) return known;
    const names = new NamesOfGuest(now);
    this.byGuest.set(owner, names);
    return names;
  }
}
