/**
 * Guests that try each other, where a policy denies it: the frames are the segment's to drop, what is sent to the gateway for
 * another guest is refused as a flow; the denials of both are listed here.
 */
import { addressFromWords } from '../../base/ip-address.ts';
import type { Guest } from '../../stack/guest.ts';
import type { GuestAttempt } from '../../stack/separation/guest-attempt.ts';
import type { AddressMap } from '../address-map.ts';
import type { Block } from '../flows/destination.ts';
import type { GuestPolicy } from './guest-policy.ts';

export interface GuestNeighborsDeps {
  readonly policy: GuestPolicy;
  readonly addresses: AddressMap;
  readonly onBlock: (block: Block) => void;
}

export class GuestNeighbors {
  private readonly deps: GuestNeighborsDeps;

  constructor(deps: GuestNeighborsDeps) {
    this.deps = deps;
  }

  /**
   * Whether a guest is there or not: the list is no way to find out.
   *
   * @returns whether the policy denies it, and does not only observe
   */
  onAttempt(owner: Guest, { protocol, port, words }: Readonly<GuestAttempt>): boolean {
    const { policy, addresses, onBlock } = this.deps;
    const { engine } = policy;
    if (engine === undefined || !addresses.isNeighbor(words)) return false;
    const verdict = policy.verdictOfGuests(engine);
    if (verdict.action === 'allow') return false;
    const address = addressFromWords(words, 0);
    const [place, name, rule] = ['guest', undefined, verdict.text] as const;
    const to = { owner, protocol, port, place, name };
    const isDenied = policy.deny(engine, {
      address,
      why: rule,
      isStated: false,
      isNeighbor: true,
      ...to,
    });
    policy.counts.add(isDenied ? 'denied' : 'observed');
    const block: Block = { remote: address, why: 'policy', rule, ...to };
    onBlock(isDenied ? block : { isObserved: true, ...block });
    return isDenied;
  }
}
