/**
 * What guests have tried in vain, and what a policy that observes would have denied: one entry for each guest,
 * destination and reason, with how often and when. Entries are a budget of shares (`base/shares`): a guest that tries
 * everything forgets what it tried first.
 */
import type { IpAddress } from '../../base/ip-address.ts';
import { type Account, Budget } from '../../base/shares/budget.ts';
import type { Instant } from '../../base/time.ts';
import type { PolicyPlace, PolicyProtocol } from '../../services/policy/policy.ts';
import type { Guest } from '../../stack/guest.ts';

export const DENIALS_MAX = 4096;

/**
 * - `dns`: a name was asked for
 * - `ip`: another guest was looked for, for whatever it was
 */
export type DeniedProtocol = PolicyProtocol | 'dns' | 'ip';

export interface Attempt {
  readonly owner: Guest;
  readonly protocol: DeniedProtocol;
  /** By which the guest found the address; or that it asked for. */
  readonly name: string | undefined;
  /** Undefined: it asked for a name. */
  readonly address: IpAddress | undefined;
  /** 0 for pings, names and Unix sockets. */
  readonly port: number;
  /** Undefined of a name. */
  readonly place: PolicyPlace | undefined;
  /** The rule that forbids it, or what the guest said that does not agree with one. */
  readonly why: string;
  /** What the guest said does not agree with how it came there. */
  readonly isStated: boolean;
  /** Of a name: a rule that allows it would let it pass. */
  readonly isRuled?: boolean | undefined;
  /** It is a frame to another guest. */
  readonly isNeighbor?: boolean | undefined;
  /** It was let pass. */
  readonly isObserved: boolean;
}

/** @property attempt the last one */
export interface Denial {
  /** Never reused. */
  readonly id: number;
  attempt: Attempt;
  count: number;
  readonly first: Instant;
  last: Instant;
}

class DenialsOfGuest {
  readonly share: Account;
  /** Those of the last attempts at the end. */
  readonly byKey = new Map<string, Denial>();

  constructor({ owner }: Guest, budget: Budget) {
    this.share = owner.share(budget, { evict: () => this.forgetOldest(), recycles: true });
  }

  clear(): void {
    this.share.give(this.byKey.size);
    this.byKey.clear();
  }

  private forgetOldest(): boolean {
    for (const key of this.byKey.keys()) {
      this.byKey.delete(key);
      this.share.give();
      return true;
    }
    return false;
  }
}

export class Denials {
  readonly budget: Budget;
  private readonly byGuest = new Map<Guest, DenialsOfGuest>();
  private nextId = 1;

  constructor(limit: number = DENIALS_MAX, name = 'denials') {
    this.budget = new Budget(name, limit);
  }

  add(now: Instant, attempt: Attempt): void {
    const own = this.of(attempt.owner);
    const key = keyOf(attempt);
    const known = own.byKey.get(key);
    if (known !== undefined) {
      own.byKey.delete(key);
      own.byKey.set(key, known);
      known.attempt = attempt;
      known.count++;
      known.last = now;
    } else if (own.share.take()) {
      own.byKey.set(key, { id: this.nextId++, attempt, count: 1, first: now, last: now });
    }
  }

  /** @returns of one guest, or of all; those of the last attempts at the end */
  list(owner?: Guest): readonly Denial[] {
    const of = owner === undefined ? [...this.byGuest.values()] : [this.byGuest.get(owner)];
    const all = of.flatMap((own) => (own === undefined ? [] : [...own.byKey.values()]));
    return all.sort((one, other) => one.last - other.last || one.id - other.id);
  }

  find(id: number): Denial | undefined {
    return this.list().find((denial) => denial.id === id);
  }

  /** The guest is gone for good. */
  forget(owner: Guest): void {
    this.byGuest.get(owner)?.clear();
    this.byGuest.delete(owner);
  }

  private of(owner: Guest): DenialsOfGuest {
    const known = this.byGuest.get(owner);
    if (known !== undefined) return known;
    const made = new DenialsOfGuest(owner, this.budget);
    this.byGuest.set(owner, made);
    return made;
  }
}

/** The reason last: it may be in the guest's words. */
const keyOf = ({ protocol, name, address, port, why }: Attempt): string =>
  `${protocol} ${name ?? address ?? ''} ${port} ${why}`;
