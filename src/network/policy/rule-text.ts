/** Rules on the command line: `TARGET[:PORTS][/PROTOCOL]`, as entries of a policy document. */
import { parseAddress, parsePrefix } from '../../services/address-text.ts';
import { POLICY_PLACES } from '../../services/policy/policy.ts';
import { bad, ok, type Parsed } from '../parsed.ts';
import type { RuleFields } from './policy-document.ts';

const FORM =
  'must be TARGET[:PORTS][/tcp|udp|icmp]: TARGET is a name, *.NAME, an address, a network such as 10.0.0.0/8 or [2001:db8::]/32, host, gateway, guest, private, or *';
const PLACES: readonly string[] = POLICY_PLACES;

export function parseRuleText(text: string): Parsed<RuleFields> {
  const [, rest = '', protocol] = /^(.*?)(?:\/(tcp|udp|icmp))?$/.exec(text) ?? [];
  const [, bracketed, bits = '', plain, ports] =
    /^(?:\[([0-9a-f:.]+)\](\/\d{1,3})?|([^:[\]]+|(?=[^/]*:[^/]*:)[0-9a-f:.]+(?:\/\d{1,3})?))(?::([\d,-]+|unix))?$/i.exec(
      rest,
    ) ?? [];
  const target = bracketed === undefined ? plain : `${bracketed}${bits}`;
  if (target === undefined) return bad(FORM);
  return ok({
    ...targetOf(target),
    ...(ports === undefined ? {} : { port: ports }),
    ...(protocol === undefined ? {} : { protocol }),
  });
}

function targetOf(text: string): RuleFields {
  if (text === '*') return {};
  if (PLACES.includes(text)) return { to: text };
  if (parseAddress(text) !== undefined || parsePrefix(text) !== undefined) return { cidr: text };
  return /^[\d./]+$/.test(text) || text.includes('/') ? { cidr: text } : { name: text };
}
