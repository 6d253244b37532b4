/** Rules for what guests do: of the flows that are open, and of what a policy that observes would have denied. */
import type { FlowBook } from '../../proxy/flows/flow-book.ts';
import type { GuestPolicy } from '../../proxy/policy/guest-policy.ts';
import type { Guest } from '../../stack/guest.ts';
import { type RuledDestination, ruleFor } from './destination-rule.ts';
import { openTarget } from './open-flows.ts';
import { formatRule, type RuleFields } from './policy-document.ts';

/** Frames pass between all guests, or between none. */
const GUESTS: RuleFields = { to: 'guest' };

/** @param only of this guest; undefined: of all */
export function suggestedRules(
  book: FlowBook,
  policy: GuestPolicy,
  only: Guest | undefined,
): readonly RuleFields[] {
  const rules = new Map<string, RuleFields>();
  const guest = only === undefined ? undefined : policy.callsOf(only)[0];
  const add = (to: RuledDestination): void => {
    const fields = { ...ruleFor(to), ...(guest === undefined ? {} : { guest }) };
    rules.set(formatRule('allow', fields), fields);
  };
  for (const flow of book.after(0, Number.POSITIVE_INFINITY)) {
    if (only !== undefined && flow.owner !== only) continue;
    const { name, facts } = book.record(flow);
    const target = openTarget(flow, facts);
    if (target === undefined || policy.needsNoRule(target)) continue;
    const { protocol, address, port } = target;
    add({ protocol, place: policy.placeOf(target, address), name, address, port });
    if (policy.leadsToGuest(target, policy.placeOf(target, address)))
      add({ protocol, place: 'guest', name, address, port });
  }
  for (const { attempt } of policy.denials.list(only)) {
    const { isObserved, protocol, place, name, address, port, isNeighbor } = attempt;
    if (isObserved && isNeighbor === true) rules.set(formatRule('allow', GUESTS), GUESTS);
    if (!isObserved || isNeighbor === true || protocol === 'dns' || protocol === 'ip') continue;
    if (place === undefined || address === undefined) continue;
    add({ protocol, place, name, address, port });
    if (place === 'guest') add({ protocol, place: 'host', name, address, port });
  }
  return [...rules].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, fields]) => fields);
}
