/**
 * Whose share a publication is: the host's own, an agent's, or a guest's. It takes a place and its sockets. When either
 * runs short, the guest that has the most loses the one that it published last.
 */
import { Chain, type Chained } from '../../base/chain.ts';
import type { Account, Budget } from '../../base/shares/budget.ts';
import { Owner } from '../../base/shares/owner.ts';
import type { Guest } from '../../stack/guest.ts';
import type { AgentOwner } from './port-owner.ts';

export interface PortShareDeps {
  readonly places: Budget;
  readonly sockets: Budget;
  /** End a publication that has a share. */
  withdraw(share: PortShare): void;
}

/** One publication's. */
export class PortShare implements Chained<PortShare> {
  chainNext: PortShare | undefined = undefined;
  chainPrev: PortShare | undefined = undefined;
  private readonly holder: Holder;
  private readonly sockets: number;

  constructor(holder: Holder, sockets: number) {
    this.holder = holder;
    this.sockets = sockets;
    holder.held.add(this);
  }

  /** Called once, when the publication is over or did not come to be. */
  give(): void {
    const { held, places, sockets } = this.holder;
    held.delete(this);
    places.give();
    sockets.give(this.sockets);
  }
}

interface Holder {
  readonly held: Chain<PortShare>;
  readonly places: Account;
  readonly sockets: Account;
}

export class PortShares {
  private readonly deps: PortShareDeps;
  private readonly host: Holder;
  /** By their links, which the configuration names. */
  private readonly byAgent = new Map<string, Holder>();
  private readonly byGuest = new WeakMap<Guest, Holder>();

  constructor(deps: PortShareDeps) {
    const { places, sockets } = deps;
    this.deps = deps;
    this.host = { held: new Chain(), places: places.host, sockets: sockets.host };
  }

  /**
   * @param owner undefined: the host itself
   * @param sockets that it listens on
   * @returns undefined when there is no room
   */
  take(owner: Guest | AgentOwner | undefined, sockets: number): PortShare | undefined {
    const holder = this.holderOf(owner);
    if (!holder.places.take()) return undefined;
    if (holder.sockets.take(sockets)) return new PortShare(holder, sockets);
    holder.places.give();
    return undefined;
  }

  /** The guest is gone for good: end what it has published. */
  endGuest(owner: Guest): void {
    this.endAll(this.byGuest.get(owner));
  }

  /** So are the agents behind a link. */
  endAgent(link: string): void {
    this.endAll(this.byAgent.get(link));
  }

  private endAll(holder: Holder | undefined): void {
    const held = holder?.held;
    for (let last = held?.last; last !== undefined; last = held?.last) {
      this.deps.withdraw(last);
      if (held?.last === last) return; // it is being published, and ends when it is
    }
  }

  private holderOf(owner: Guest | AgentOwner | undefined): Holder {
    if (owner === undefined) return this.host;
    if ('agent' in owner) return this.holderOfAgent(owner);
    const known = this.byGuest.get(owner);
    if (known !== undefined) return known;
    const holder = this.holderFor(owner.owner);
    this.byGuest.set(owner, holder);
    return holder;
  }

  private holderOfAgent({ agent }: AgentOwner): Holder {
    const known = this.byAgent.get(agent);
    if (known !== undefined) return known;
    const holder = this.holderFor(new Owner(`agent ${agent}`));
    this.byAgent.set(agent, holder);
    return holder;
  }

  private holderFor(owner: Owner): Holder {
    const held = new Chain<PortShare>();
    const evict = (): boolean => {
      if (held.last === undefined) return false;
      this.deps.withdraw(held.last);
      return true;
    };
    const { places, sockets } = this.deps;
    return {
      held,
      places: owner.share(places, { evict }),
      sockets: owner.share(sockets, { evict }),
    };
  }
}
