/**
 * Somebody that holds shares of budgets: a listener, a guest behind it. The tree of owners is the tree of each
 * budget's accounts. An account exists from the first time that it is asked for.
 */
import { Account, type AccountOptions, type Budget } from './budget.ts';

export interface Holding {
  readonly budget: string;
  readonly held: number;
  readonly refused: number;
  readonly evicted: number;
}

export class Owner {
  /** For people: `qemu:/run/x.sock`, `guest 3`. */
  readonly name: string;
  private readonly parent: Owner | undefined;
  private readonly accounts = new Map<Budget, Account>();

  /** @param parent undefined: directly below the budgets' roots */
  constructor(name: string, parent?: Owner) {
    this.name = name;
    this.parent = parent;
  }

  /** All that it holds of `budget`. */
  account(budget: Budget): Account {
    const known = this.accounts.get(budget);
    if (known !== undefined) return known;
    const account = new Account(budget, this.parent?.account(budget) ?? budget.guests);
    this.accounts.set(budget, account);
    return account;
  }

  /** A new account below the owner's: for one protocol, which knows what to give back. */
  share(budget: Budget, options: AccountOptions): Account {
    return new Account(budget, this.account(budget), options);
  }

  get holds(): boolean {
    for (const { held } of this.accounts.values()) if (held > 0) return true;
    return false;
  }

  /** Whether it holds more than `part` of any budget. */
  holdsMuch(part: number): boolean {
    for (const { budget, held } of this.accounts.values()) {
      if (held > budget.whole * part) return true;
    }
    return false;
  }

  holdings(): Holding[] {
    return [...this.accounts.values()].map(({ budget, held, refused, evicted }) => ({
      budget: budget.name,
      held,
      refused,
      evicted,
    }));
  }
}
