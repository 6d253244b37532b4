/** Who publishes. */
import type { IpAddress } from '../../base/ip-address.ts';

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
