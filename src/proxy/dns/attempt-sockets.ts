/**
 * The sockets of one guest's queries: one for each attempt that is open. Where others need one, the query of the oldest
 * attempt gives way; the oldest query may hold none.
 */
import { Chain, type Chained } from '../../base/chain.ts';
import type { Account, Budget } from '../../base/shares/budget.ts';
import type { Owner } from '../../base/shares/owner.ts';
import type { Cancel } from './ask.ts';

/** An attempt that is open. */
export class Attempt implements Chained<Attempt> {
  chainNext: Attempt | undefined = undefined;
  chainPrev: Attempt | undefined = undefined;
  /** Close its socket. */
  readonly cancel: Cancel;
  /** End the query: {@link AttemptSockets.delete} follows before the return. */
  readonly evict: () => void;

  constructor(cancel: Cancel, evict: () => void) {
    this.cancel = cancel;
    this.evict = evict;
  }
}

export class AttemptSockets {
  private readonly share: Account;
  private readonly open: Chain<Attempt> = new Chain();

  constructor(owner: Owner, sockets: Budget) {
    this.share = owner.share(sockets, { evict: () => this.evict() });
  }

  /** @returns false when there is no descriptor; otherwise {@link add} follows */
  take(): boolean {
    return this.share.take();
  }

  /** `attempt` uses what was taken. */
  add(attempt: Attempt): void {
    this.open.add(attempt);
  }

  delete(attempt: Attempt): void {
    this.open.delete(attempt);
    this.share.give();
  }

  private evict(): boolean {
    const { first } = this.open;
    first?.evict();
    return first !== undefined;
  }
}
