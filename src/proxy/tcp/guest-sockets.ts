/** The host sockets that one guest's TCP holds: connections, and dials under way. */
import { Chain } from '../../base/chain.ts';
import type { Account, Budget } from '../../base/shares/budget.ts';
import { EvictionOrder } from '../../base/shares/eviction-order.ts';
import type { Guest } from '../../stack/guest.ts';
import type { HostDial } from './host-dial.ts';
import type { Splice } from './splice.ts';

export class GuestSockets {
  readonly splices: EvictionOrder<Splice> = new EvictionOrder();
  readonly dials: Chain<HostDial> = new Chain();
  /** One for each dial and each splice. */
  readonly share: Account;

  constructor({ owner }: Guest, sockets: Budget) {
    this.share = owner.share(sockets, { evict: () => this.evict() });
  }

  /** The oldest dial, which is the most likely to wait for a black hole, while there are more of them. */
  private evict(): boolean {
    const { splices, dials } = this;
    const dial = dials.size > splices.size ? dials.first : undefined;
    const splice = splices.pick();
    if (dial !== undefined) dial.evict();
    else if (splice !== undefined) splice.evict();
    else return false;
    return true;
  }
}
