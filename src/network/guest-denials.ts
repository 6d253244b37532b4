/**
 * What guests were denied, as they may read it themselves: by the policy, and for other reasons (`why` of the event `block`),
 * which are kept here.
 */
import type { Clock } from '../base/time.ts';
import type { GuestDenialView } from '../control/ports/denial-routes.ts';
import type { Block } from '../proxy/flows/destination.ts';
import { type Denial, Denials } from '../proxy/policy/denials.ts';
import type { Guest } from '../stack/guest.ts';

const KEPT_MAX = 1024;
const SHOWN_MAX = 256;

export class GuestDenials {
  /** Those that are not the policy's. */
  readonly others: Denials = new Denials(KEPT_MAX, 'refusals');
  private readonly policy: Pick<Denials, 'list'>;
  private readonly clock: Pick<Clock, 'now'>;

  constructor(policy: Pick<Denials, 'list'>, clock: Pick<Clock, 'now'>) {
    this.policy = policy;
    this.clock = clock;
  }

  onBlock({ owner, protocol, remote, port, name, why, rule }: Block): void {
    if (why === 'policy') return;
    const reason = rule === undefined ? why : `${why}: ${rule}`;
    const asked = { owner, protocol, name, address: remote, port, why: reason, place: undefined };
    this.others.add(this.clock.now(), { isObserved: false, isStated: false, ...asked });
  }

  forget(owner: Guest): void {
    this.others.forget(owner);
  }

  /** @returns the last one first */
  of(owner: Guest): readonly GuestDenialView[] {
    const epochMs = Date.now() - this.clock.now();
    return [...this.policy.list(owner), ...this.others.list(owner)]
      .sort((one, other) => other.last - one.last || other.id - one.id)
      .slice(0, SHOWN_MAX)
      .map((denial) => viewOf(denial, epochMs));
  }
}

function viewOf({ attempt, count, first, last }: Denial, epochMs: number): GuestDenialView {
  const { protocol, name, address, port, why, isObserved } = attempt;
  return {
    ...{ protocol, name: name ?? null, address: address?.toString() ?? null, port, why, count },
    observed: isObserved,
    first: new Date(epochMs + first).toISOString(),
    last: new Date(epochMs + last).toISOString(),
  };
}
