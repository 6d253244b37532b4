/** What was denied, as the API shows it, and the rule that approves it. */
import {
  type ApprovalScope,
  type PolicyDenialView,
  PolicyError,
} from '../../control/policy-view.ts';
import type { Attempt, Denial } from '../../proxy/policy/denials.ts';
import type { PolicyProtocol } from '../../services/policy/policy.ts';
import { ruleFor } from './destination-rule.ts';
import type { RuleFields } from './policy-document.ts';

/** Names shown beside the one that was tried. */
const OTHERS_MAX = 32;

/**
 * @param calls what rules may call the guest
 * @param names that any guest has found the address by
 * @param epochMs of the clock's beginning
 */
export function denialView(
  { id, attempt, count, first, last }: Denial,
  calls: readonly string[],
  names: readonly string[],
  epochMs: number,
): PolicyDenialView {
  const { owner, protocol, name, address, port, place, why, isObserved } = attempt;
  return {
    ...{ id: String(id), guestId: owner.id, guest: calls[0] ?? null, protocol },
    ...{ name: name ?? null, address: address?.toString() ?? null, port, place: place ?? null },
    ...{ why, observed: isObserved, count },
    first: new Date(epochMs + first).toISOString(),
    last: new Date(epochMs + last).toISOString(),
    others: names.filter((one) => one !== name).slice(0, OTHERS_MAX),
  };
}

/** @throws PolicyError where no rule would let it pass */
export function approvalOf(
  attempt: Attempt,
  calls: readonly string[],
  { anyGuest, anyPort, port, until }: ApprovalScope,
): RuleFields {
  const { place, address, name, isStated, isRuled } = attempt;
  if (isStated) {
    throw new PolicyError(
      `${attempt.why}: what a client states has to agree with the name that was looked up, whatever the rules are.`,
    );
  }
  if (attempt.protocol === 'dns' && !isRuled) {
    throw new PolicyError(`${attempt.why}: no rule for the name would allow it.`);
  }
  if (attempt.isNeighbor === true) return approvalOfNeighbors({ anyGuest, anyPort, port, until });
  const [guest] = calls;
  if (anyGuest !== true && guest === undefined) {
    throw new PolicyError('The guest has no name for rules: approve it for any guest.');
  }
  const scope = {
    ...(anyGuest === true ? {} : { guest }),
    ...(until === undefined ? {} : { until }),
  };
  const given = port === undefined ? undefined : portOf(port);
  const { protocol } = attempt;
  if (protocol === 'dns' || protocol === 'ip' || place === undefined || address === undefined) {
    if (given === undefined && anyPort !== true) {
      throw new PolicyError('A name was asked for, of no port yet: say which, such as 443/tcp.');
    }
    return { name, ...given, ...scope };
  }
  const fields = ruleFor({ protocol, place, address, name, port: attempt.port });
  if (anyPort !== true) return { ...fields, ...given, ...scope };
  const { port: _port, protocol: _protocol, ...all } = fields;
  return { ...all, ...scope };
}

/** Frames pass between all guests, or between none. */
function approvalOfNeighbors({ anyGuest, anyPort, port, until }: ApprovalScope): RuleFields {
  if (anyGuest === true && anyPort === true && port === undefined && until === undefined) {
    return { to: 'guest' };
  }
  throw new PolicyError(
    'Frames pass between all guests or between none: approve it for any guest and any port, and for good.',
  );
}

function portOf(text: string): { readonly port: string; readonly protocol?: PolicyProtocol } {
  const [, port, protocol] = /^([\d,-]+)(?:\/(tcp|udp))?$/.exec(text) ?? [];
  if (port === undefined)
    throw new PolicyError(`${JSON.stringify(text.slice(0, 40))} must be a port, such as 443/tcp.`);
  return protocol === 'tcp' || protocol === 'udp' ? { port, protocol } : { port };
}
