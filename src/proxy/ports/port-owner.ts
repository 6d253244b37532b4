/** Who publishes. */
import type { IpAddress } from '../../base/ip-address.ts';
import type { Guest } from '../../stack/guest.ts';

/** A client of the agent behind a link of the multiplexer. */
export interface AgentOwner {
  /** The link's name. */
  readonly agent: string;
}

/**
 * The publisher: the configuration, the embedding program, a client of the control API, one of the agent behind a link
 * of the multiplexer, or a guest by its address.
 */
export type PortOwner = 'config' | 'library' | 'api' | AgentOwner | { readonly guest: IpAddress };

export const isOfHost = (owner: PortOwner): boolean => typeof owner !== 'object';

export const guestOf = (owner: PortOwner): IpAddress | undefined =>
  typeof owner === 'object' && 'guest' in owner ? owner.guest : undefined;

export const agentOf = (owner: PortOwner): AgentOwner | undefined =>
  typeof owner === 'object' && 'agent' in owner ? owner : undefined;

/** A guest that is one by two addresses has two. */
export function ownerKey(owner: PortOwner): string {
  if (typeof owner === 'string') return owner;
  return 'agent' in owner ? `agent ${owner.agent}` : `${owner.guest}`;
}

export interface OwnersDeps {
  /** The guest with an address. */
  ownerOf(guest: IpAddress): Guest;
  /** Whether one machine has both addresses; absent: if they are one. */
  isSameGuest?(one: IpAddress, other: IpAddress): boolean;
  /** The guest that the agent behind a link is in; undefined where that is not known. */
  guestBehind?(link: string): Guest | undefined;
}

export class PortOwners {
  private readonly deps: OwnersDeps;

  constructor(deps: OwnersDeps) {
    this.deps = deps;
  }

  /** Guests are the same by any of their addresses. */
  isSame(one: PortOwner, other: PortOwner): boolean {
    if (typeof one !== 'object' || typeof other !== 'object') return one === other;
    if ('agent' in one || 'agent' in other) {
      return 'agent' in one && 'agent' in other && one.agent === other.agent;
    }
    return (
      one.guest.equals(other.guest) || this.deps.isSameGuest?.(one.guest, other.guest) === true
    );
  }

  /** A guest may publish by itself, and by its agent. */
  isSameMachine(one: PortOwner, other: PortOwner): boolean {
    if (this.isSame(one, other)) return true;
    const guest = this.machineOf(one);
    return guest !== undefined && guest === this.machineOf(other);
  }

  private machineOf(owner: PortOwner): Guest | undefined {
    const [address, agent] = [guestOf(owner), agentOf(owner)];
    if (address !== undefined) return this.deps.ownerOf(address);
    return agent === undefined ? undefined : this.deps.guestBehind?.(agent.agent);
  }
}
