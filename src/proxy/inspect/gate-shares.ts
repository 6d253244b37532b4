/**
 * The gates in front of datagrams, of all guests. Each keeps what clients have said on it, so their number is a budget: a
 * guest has as many as are free, and the one that has the most gives its oldest to the others.
 */
import { Chain } from '../../base/chain.ts';
import { type Account, Budget } from '../../base/shares/budget.ts';
import type { Guest } from '../../stack/guest.ts';
import type { DatagramGate } from './datagram-gate.ts';

const GATES_MAX = 4096;

class GatesOfGuest {
  private readonly gates: Chain<DatagramGate> = new Chain();
  private readonly share: Account;

  constructor({ owner }: Guest, budget: Budget) {
    this.share = owner.share(budget, { evict: () => this.evict(), recycles: true });
  }

  add(gate: DatagramGate): boolean {
    if (!this.share.take()) return false;
    this.gates.add(gate);
    gate.onClosed = (): void => {
      this.gates.delete(gate);
      this.share.give();
    };
    return true;
  }

  private evict(): boolean {
    const { first } = this.gates;
    first?.close();
    return first !== undefined;
  }
}

export class GateShares {
  readonly budget: Budget;
  private readonly byGuest = new WeakMap<Guest, GatesOfGuest>();

  constructor(limit: number = GATES_MAX) {
    this.budget = new Budget('inspections', limit);
  }

  /** @returns false where the guest may have no other one; it is one until it is closed */
  add(guest: Guest, gate: DatagramGate): boolean {
    let gates = this.byGuest.get(guest);
    if (gates === undefined) {
      gates = new GatesOfGuest(guest, this.budget);
      this.byGuest.set(guest, gates);
    }
    return gates.add(gate);
  }
}
