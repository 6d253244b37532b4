/** `hawser policy`: where the guests of a running daemon may go. */
import type { ApiClient } from '../../control/client.ts';
import { policyStateSchema, policyVerdictSchema } from '../../control/policy-schema.ts';
import { tagOf } from '../../control/policy-tag.ts';
import type { PolicyStateView } from '../../control/policy-view.ts';
import { RunError, UsageError } from '../../network/errors.ts';
import {
  formatRule,
  type PolicyDocument,
  PolicyProblems,
  type RuleEntry,
  type RuleFields,
} from '../../network/policy/policy-document.ts';
import { type PolicyText, readPolicyFile } from '../../network/policy/policy-file.ts';
import { parseRuleText } from '../../network/policy/rule-text.ts';
import { POLICY_ACTIONS, type PolicyAction } from '../../services/policy/policy.ts';
import { clientOf, type InspectRequest, toJson } from './inspect.ts';

export interface PolicyRequest extends InspectRequest {
  /** `show`, `set FILE`, `allow RULE`, `deny RULE`, `test GUEST DESTINATION`. */
  readonly args: readonly string[];
  /** Of a rule: for whom. */
  readonly guest: string | undefined;
  /** Of a rule: `30s`, `10m`, `2h`, `1d`. */
  readonly for: string | undefined;
  /** Of a test. */
  readonly protocol: string | undefined;
}

export interface PolicyAnswer {
  readonly text: string;
  /** 1: a test says no. */
  readonly status: number;
}

const PATH = '/v1/policy';
const UNITS_MS: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

export async function policyCommand(request: PolicyRequest): Promise<PolicyAnswer> {
  const [action = '', ...args] = request.args;
  switch (action) {
    case 'show':
      return shown(await clientOf(request).get(PATH, policyStateSchema), request);
    case 'set':
      return shown(await set(clientOf(request), one(action, args)), request);
    case 'allow':
    case 'deny':
      return shown(await add(action, one(action, args), request), request);
    case 'test':
      return await test(args, request);
    default:
      throw new UsageError([`policy ${action}: must be show, set, allow, deny or test`]);
  }
}

function one(action: string, args: readonly string[]): string {
  const [first] = args;
  if (first !== undefined && args.length === 1) return first;
  throw new UsageError([`policy ${action}: takes ${action === 'set' ? 'a file' : 'a rule'}`]);
}

async function set(client: ApiClient, file: string): Promise<PolicyStateView> {
  let text: PolicyText | undefined;
  try {
    text = readPolicyFile(file);
  } catch (error) {
    if (!(error instanceof PolicyProblems)) throw error;
    throw new RunError(error.message);
  }
  const { value } = text;
  if (typeof value !== 'object' || value === null) {
    throw new RunError(`${file}:1: must be a policy document, such as "default: deny"`);
  }
  return await client.put(PATH, policyStateSchema, value);
}

/** In front of all others. */
async function add(
  action: PolicyAction,
  text: string,
  request: PolicyRequest,
): Promise<PolicyStateView> {
  const parsed = parseRuleText(text);
  if ('problem' in parsed) throw new UsageError([`policy ${action} ${text}: ${parsed.problem}`]);
  const { guest } = request;
  const fields: RuleFields = {
    ...parsed.value,
    ...(guest === undefined ? {} : { guest }),
    ...(request.for === undefined ? {} : { until: untilOf(request.for) }),
  };
  const client = clientOf(request);
  const now = await client.get(PATH, policyStateSchema);
  const before: PolicyDocument | null = now.document;
  const rest = before ?? { default: 'allow' };
  const document = { ...rest, rules: [{ [action]: fields }, ...(rest.rules ?? [])] };
  return await client.put(PATH, policyStateSchema, document, tagOf(now));
}

function untilOf(text: string): string {
  const [, digits = '', unit = ''] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  const ms = Number(digits) * (UNITS_MS[unit] ?? 0);
  if (ms > 0) return new Date(Date.now() + ms).toISOString();
  throw new UsageError([`--for ${text}: must be a time such as 30s, 10m, 2h or 1d`]);
}

async function test(args: readonly string[], request: PolicyRequest): Promise<PolicyAnswer> {
  const [guest, destination] = args;
  if (guest === undefined || destination === undefined || args.length > 2) {
    throw new UsageError([
      'policy test: takes a guest and a destination, such as build a.test:443',
    ]);
  }
  const query = new URLSearchParams({
    ...{ guest: guest === '*' ? '' : guest, destination },
    protocol: request.protocol ?? 'tcp',
  });
  const path = `${PATH}/test?${query.toString()}`;
  const verdict = await clientOf(request).get(path, policyVerdictSchema);
  const { action, rule, bestEffort } = verdict;
  const note = bestEffort ? ' (best effort: its addresses by themselves are allowed)' : '';
  const text = request.json ? toJson(verdict) : `${action}: ${rule}${note}\n`;
  return { text, status: action === 'allow' ? 0 : 1 };
}

function shown(state: PolicyStateView, { json }: PolicyRequest): PolicyAnswer {
  return { text: json ? toJson(state) : textOf(state), status: 0 };
}

function textOf({ generation, document, warnings }: PolicyStateView): string {
  if (document === null) return 'There is no policy: guests may go where they like.\n';
  const { default: byDefault, preset, mode, rules = [] }: PolicyDocument = document;
  const lines = [
    `generation ${generation}${mode === 'observe' ? ', observes' : ''}`,
    ...rules.map(ruleText),
    preset === undefined ? `default ${byDefault}` : `preset ${preset}`,
    ...warnings.map((warning) => `warning: ${warning}`),
  ];
  return lines.map((line) => `${line}\n`).join('');
}

function ruleText(entry: RuleEntry): string {
  const action = POLICY_ACTIONS.find((candidate) => entry[candidate] !== undefined) ?? 'allow';
  return formatRule(action, entry[action] ?? {});
}
