/**
 * What a process has one whole of, and many use: descriptors, bytes of rings, waiting queries.
 *
 * Theory of operation
 * -------------------
 * Holders form a tree, the same for every budget: listener, guest, protocol; see `owner.ts`. While there is room, a
 * budget lends to whoever asks, so that a guest that is alone has all of it. When it runs short, the heaviest gives
 * way: from the root down, the branch that holds the most, unless the asker's own would then hold as much. So nobody
 * below a fair share ever gives way, and nobody gains by asking twice, or by more links. `kept` is lent to the host
 * alone. Whom to evict is found in O(1); see `heaviest.ts`. One that has nothing to give back now does not shield the others.
 */
import { Heaviest, type Weighed } from './heaviest.ts';

/** Evictions that one request may cause: of many small ones it gets nothing rather than stop everything. */
const EVICTIONS_MAX = 64;

/**
 * Give back something of what an account holds, at once.
 *
 * @returns false when nothing can be given back now
 */
export type Evict = () => boolean;

export interface AccountOptions {
  readonly evict?: Evict;
  /** Whether the oldest of its own makes room when the account itself is the heaviest. Otherwise it is refused. */
  readonly recycles?: boolean;
}

export class Budget {
  readonly name: string;
  readonly whole: number;
  /** Of `whole`, lent to the host alone. */
  readonly kept: number;
  /** Everything that guests hold. */
  readonly guests: Account;
  /** What the host itself holds: its API, its own publications. */
  readonly host: Account;
  /** So many more are lent to somebody. */
  onTaken: ((n: number) => void) | undefined = undefined;

  constructor(name: string, whole: number, kept = 0) {
    this.name = name;
    this.whole = whole;
    this.kept = Math.min(kept, whole);
    this.guests = new Account(this, undefined);
    this.host = new Account(this, undefined);
  }

  get held(): number {
    return this.guests.held + this.host.held;
  }

  /** @internal for accounts */
  hasRoom(account: Account, n: number): boolean {
    if (account.root === this.host) return this.held + n <= this.whole;
    return this.guests.held + n <= this.whole - Math.max(this.kept, this.host.held);
  }

  /** @internal for accounts: who gives way so that `asker` gets `n`; `asker` itself when it is the heaviest. */
  heaviest(asker: Account, n: number): Account | undefined {
    let node = this.guests;
    let isOnPath = asker.root === node;
    for (;;) {
      let next = node.heaviestChild();
      if (isOnPath) {
        if (node === asker) return asker;
        const own = asker.ancestorBelow(node);
        if (next === undefined || next.held <= own.held + n) next = own;
        isOnPath = next === own;
      }
      if (next === undefined) return node === this.guests ? undefined : node;
      node = next;
    }
  }
}

export class Account implements Weighed<Account> {
  weighedNext: Account | undefined = undefined;
  weighedPrev: Account | undefined = undefined;
  weightClass = -1;
  held = 0;
  /** Requests refused, and times that it gave way. */
  refused = 0;
  evicted = 0;
  readonly budget: Budget;
  readonly parent: Account | undefined;
  readonly root: Account;
  private readonly depth: number;
  private readonly options: AccountOptions;
  private children: Heaviest<Account> | undefined = undefined;

  constructor(budget: Budget, parent: Account | undefined, options: AccountOptions = {}) {
    this.budget = budget;
    this.parent = parent;
    this.root = parent?.root ?? this;
    this.depth = parent === undefined ? 0 : parent.depth + 1;
    this.options = options;
  }

  /** @returns false, counted, when there is no room and nobody heavier gives way */
  take(n = 1): boolean {
    for (let evictions = 0; !this.budget.hasRoom(this, n); evictions++) {
      if (evictions === EVICTIONS_MAX || !this.makeRoom(n)) {
        for (let node: Account | undefined = this; node !== undefined; node = node.parent) {
          node.refused++;
        }
        return false;
      }
    }
    this.add(n);
    this.budget.onTaken?.(n);
    return true;
  }

  give(n = 1): void {
    this.add(-n);
  }

  /** @internal for the budget */
  heaviestChild(): Account | undefined {
    return this.children?.get();
  }

  /** @internal for the budget: the ancestor, or this itself, whose parent is `node`. */
  ancestorBelow(node: Account): Account {
    let at: Account = this;
    while (at.depth > node.depth + 1 && at.parent !== undefined) at = at.parent;
    return at;
  }

  private makeRoom(n: number): boolean {
    const victim = this.budget.heaviest(this, n);
    if (victim === undefined || (victim === this && this.options.recycles !== true)) return false;
    if (victim.giveWay()) return true;
    victim.parent?.children?.set(victim, 0); // passed over, until what it holds changes
    return victim !== this;
  }

  private giveWay(): boolean {
    const before = this.held;
    if (this.options.evict?.() !== true || this.held >= before) return false;
    for (let node: Account | undefined = this; node !== undefined; node = node.parent) {
      node.evicted++;
    }
    return true;
  }

  private add(n: number): void {
    for (let node: Account | undefined = this; node !== undefined; node = node.parent) {
      node.held += n;
      const { parent } = node;
      if (parent === undefined) return;
      parent.children ??= new Heaviest();
      parent.children.set(node, node.held);
    }
  }
}
