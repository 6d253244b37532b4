/** `hawser policy`: where the guests of a running daemon may go. */
import { plainText } from '../../base/plain-text.ts';
import { type ApiClient, ApiClientError } from '../../control/client.ts';
import {
  policyDenialsSchema,
  policyStateSchema,
  policySuggestionSchema,
  policyVerdictSchema,
} from '../../control/policy-schema.ts';
import { tagOf } from '../../control/policy-tag.ts';
import type { PolicyDenialView, PolicyStateView } from '../../control/policy-view.ts';
import { RunError, UsageError } from '../../network/errors.ts';
import {
  formatRule,
  type PolicyDocument,
  PolicyProblems,
  policyJsonSchema,
  type RuleEntry,
  type RuleFields,
} from '../../network/policy/policy-document.ts';
import {
  type PolicyText,
  policyYaml,
  problemsIn,
  readPolicyFile,
} from '../../network/policy/policy-file.ts';
import { parseRuleText } from '../../network/policy/rule-text.ts';
import { POLICY_ACTIONS, type PolicyAction } from '../../services/policy/policy.ts';
import { clientOf, type InspectRequest, toJson } from './inspect.ts';

export interface PolicyRequest extends InspectRequest {
  /**
   * `show`, `set FILE`, `clear`, `allow RULE`, `deny RULE`, `test GUEST DESTINATION`, `denials`, `approve ID`, `suggest [GUEST]`,
   * `schema`.
   */
  readonly args: readonly string[];
  /** Of a rule: for whom. */
  readonly guest: string | undefined;
  /** Of a rule: `30s`, `10m`, `2h`, `1d`. */
  readonly for: string | undefined;
  /** Of a test. */
  readonly protocol: string | undefined;
  /** Of an approval. */
  readonly anyGuest: boolean;
  readonly anyPort: boolean;
  readonly port: string | undefined;
}

export interface PolicyAnswer {
  readonly text: string;
  /** 1: a test says no. */
  readonly status: number;
}

const PATH = '/v1/policy';
const ACTIONS = [
  ...['show', 'set', 'clear', 'allow', 'deny', 'test', 'denials', 'approve', 'suggest', 'schema'],
];
const ALONE: ReadonlySet<string> = new Set(['show', 'clear', 'denials', 'schema']);
const TAKES: Readonly<Record<string, string>> = { set: 'a file', approve: 'the id of a denial' };
/** Of a flow that is allowed by a name. */
const UNSEEN =
  'as far as the client states the name in the clear: the host inside TLS (domain fronting) and what the service does for its clients are not seen';
const UNITS_MS: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

export async function policyCommand(request: PolicyRequest): Promise<PolicyAnswer> {
  const [action = '', ...args] = request.args;
  if (ALONE.has(action) && args.length > 0) {
    throw new UsageError([`policy ${action}: takes nothing`]);
  }
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
    case 'clear':
      await clientOf(request).delete(PATH);
      return shown(await clientOf(request).get(PATH, policyStateSchema), request);
    case 'denials':
      return await denials(request);
    case 'approve':
      return await approve(one(action, args), request);
    case 'suggest':
      return await suggest(args, request);
    case 'schema':
      return { text: toJson(policyJsonSchema()), status: 0 };
    default:
      throw new UsageError([`policy ${action}: must be one of ${ACTIONS.join(', ')}`]);
  }
}

function one(action: string, args: readonly string[]): string {
  const [first] = args;
  if (first !== undefined && args.length === 1) return first;
  throw new UsageError([`policy ${action}: takes ${TAKES[action] ?? 'a rule'}`]);
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
  try {
    return await client.put(PATH, policyStateSchema, value);
  } catch (error) {
    if (!(error instanceof ApiClientError) || error.status !== 400) throw error;
    throw new RunError(text.sentences(problemsIn(error.detail ?? error.message)).join('\n'));
  }
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
  const [, place = '', suffix] = /^(.*?)(?:\/(tcp|udp|icmp))?$/s.exec(destination) ?? [];
  const query = new URLSearchParams({
    ...{ guest: guest === '*' ? '' : guest, destination: place },
    protocol: request.protocol ?? suffix ?? 'tcp',
  });
  const path = `${PATH}/test?${query.toString()}`;
  const verdict = await clientOf(request).get(path, policyVerdictSchema);
  const { action, rule, bestEffort, observed, inspected } = verdict;
  const notes = [
    ...(bestEffort ? ['best effort: its addresses by themselves are allowed'] : []),
    ...(observed ? ['the policy observes: it passes'] : []),
    ...(inspected ? [UNSEEN] : []),
  ];
  const note = notes.length === 0 ? '' : ` (${notes.join('; ')})`;
  const text = request.json ? toJson(verdict) : `${action}: ${rule}${note}\n`;
  return { text, status: action === 'allow' ? 0 : 1 };
}

async function denials(request: PolicyRequest): Promise<PolicyAnswer> {
  const answer = await clientOf(request).get(`${PATH}/denials`, policyDenialsSchema);
  const { denials: list } = answer;
  if (request.json) return { text: toJson(answer), status: 0 };
  if (list.length === 0) return { text: 'Nothing was denied.\n', status: 0 };
  return { text: list.map(denialText).join(''), status: 0 };
}

function denialText(denial: PolicyDenialView): string {
  const { id, guest, protocol, name, address, port, why, observed, count, first, last, others } =
    denial;
  const target = name ?? address ?? '*';
  const isIpv6 = name === null && address?.includes(':') === true;
  const place = isIpv6 ? `[${target}]` : target;
  const what =
    protocol === 'dns' ? `name ${target}` : `${place}${port > 0 ? `:${port}` : ''}/${protocol}`;
  const beside = others.length === 0 ? [] : [`    also there: ${others.join(', ')}`];
  const times = count === 1 ? `1 time, ${last}` : `${count} times, first ${first}, last ${last}`;
  const lines = [
    `${id}: ${guest ?? `guest ${denial.guestId}`} ${what}, ${times}: ${why}${observed ? ' (observed)' : ''}`,
    ...beside,
  ];
  return lines.map((line) => `${plainText(line)}\n`).join('');
}

async function approve(id: string, request: PolicyRequest): Promise<PolicyAnswer> {
  const client = clientOf(request);
  const { denials: list } = await client.get(`${PATH}/denials`, policyDenialsSchema);
  const scope = {
    ...(request.anyGuest ? { anyGuest: true } : {}),
    ...(request.anyPort ? { anyPort: true } : {}),
    ...(request.port === undefined ? {} : { port: request.port }),
    ...(request.for === undefined ? {} : { until: untilOf(request.for) }),
  };
  const path = `${PATH}/denials/${encodeURIComponent(id)}`;
  const state = await client.post(path, policyStateSchema, scope);
  if (request.json) return shown(state, request);
  const { rules = [] }: PolicyDocument = state.document ?? {};
  const others = list.find((denial) => denial.id === id)?.others ?? [];
  const lines = [
    ...rules.slice(0, 1).map(ruleText),
    ...(others.length === 0 ? [] : [`at the same address: ${others.join(', ')}`]),
  ];
  return { text: lines.map((line) => `${plainText(line)}\n`).join(''), status: 0 };
}

async function suggest(args: readonly string[], request: PolicyRequest): Promise<PolicyAnswer> {
  const [guest = '', more] = args;
  if (more !== undefined) throw new UsageError(['policy suggest: takes a guest at most']);
  const path = `${PATH}/suggestion?${new URLSearchParams({ guest: guest === '*' ? '' : guest })}`;
  const { document } = await clientOf(request).get(path, policySuggestionSchema);
  return { text: request.json ? toJson(document) : policyYaml(document), status: 0 };
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
