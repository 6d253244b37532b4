/** The policy that a network starts with: of its options, or none. */
import type { Clock } from '../../base/time.ts';
import type { SuffixFacts } from '../../services/policy/policy-name.ts';
import type { Addresses } from '../addresses.ts';
import type { NetworkConfig, PolicyConfig } from '../config.ts';
import { type OptionProblem, OptionsError } from '../option-problem.ts';
import {
  type DocumentProblem,
  type PolicyContext,
  type PolicyDocument,
  PolicyProblems,
  placeOf,
  type ReadPolicy,
  type RuleEntry,
  readPolicy,
} from './policy-document.ts';
import type { PolicyText } from './policy-file.ts';
import { publicSuffixes } from './public-suffixes.ts';
import { parseRuleText } from './rule-text.ts';

/** What the options say, before there is a network. */
export interface StartPolicy {
  readonly facts: SuffixFacts;
  /** Undefined: guests may go where they like. */
  readonly policy: ReadPolicy | undefined;
}

/** What documents are read with, but for the suffixes. */
export type PolicySurroundings = Omit<PolicyContext, 'facts'>;

export function surroundingsOf(
  { leases }: Pick<NetworkConfig, 'leases'>,
  { host, ipv6 }: Pick<Addresses, 'host' | 'ipv6'>,
  clock: Pick<Clock, 'now'>,
): PolicySurroundings {
  const bound = new Set(leases.static.flatMap((one) => (one.link ? [one.hostname] : [])));
  return {
    hosts: [host, ipv6?.host].flatMap((one) => (one === undefined ? [] : [one.toString()])),
    unbound: new Set(
      leases.static.flatMap(({ hostname }) =>
        hostname === undefined || bound.has(hostname) ? [] : [hostname],
      ),
    ),
    instantOf: (epochMs) => clock.now() + epochMs - Date.now(),
  };
}

const NO_FACTS: SuffixFacts = { isRegistry: () => false, isShared: () => false };

/** As options of a command line: `--allow a.test:0: must be ...`. */
const typed = ({ key, value, why }: OptionProblem): string =>
  value === undefined ? `--${key} ${why}` : `--${key} ${String(value)}: ${why}`;

async function readFile(path: string): Promise<PolicyText> {
  const { readPolicyFile } = await import('./policy-file.ts'); // the YAML parser costs start-up time
  return readPolicyFile(path);
}

/**
 * @param say makes a sentence of a problem, as the options were given
 * @throws OptionsError with a sentence for each problem: there is no network without the policy that was asked for
 */
export async function readStartPolicy(
  config: PolicyConfig,
  surroundings: PolicySurroundings,
  say: (problem: OptionProblem) => string = typed,
): Promise<StartPolicy> {
  const { file, allow, deny } = config;
  if (file === undefined && allow.length + deny.length === 0) {
    return { facts: NO_FACTS, policy: undefined };
  }
  const facts = await publicSuffixes();
  let sentences = ({ message }: PolicyProblems): readonly string[] =>
    message.split('\n').map((why) => say({ key: 'policy', why }));
  try {
    const text = file === undefined ? undefined : await readFile(file);
    if (text !== undefined) sentences = ({ problems }) => text.sentences(problems);
    const context = { ...surroundings, facts };
    const own = text === undefined ? undefined : readPolicy(text.value, context);
    sentences = ({ problems }) => problems.map((one) => say(optionProblem(config, one)));
    const rules: RuleEntry[] = [
      ...deny.map((rule) => ({ deny: fieldsOf(rule) })),
      ...allow.map((rule) => ({ allow: fieldsOf(rule) })),
    ];
    const before: PolicyDocument = own?.document ?? {
      default: allow.length > 0 ? 'deny' : 'allow',
    };
    const document = { ...before, rules: [...rules, ...(before.rules ?? [])] };
    return { facts, policy: readPolicy(document, context) };
  } catch (error) {
    if (!(error instanceof PolicyProblems)) throw error;
    throw new OptionsError([...sentences(error)]);
  }
}

/** A problem of the rules of `deny` and `allow`, those of `deny` first. */
function optionProblem({ deny, allow }: PolicyConfig, problem: DocumentProblem): OptionProblem {
  const { path, why } = problem;
  const options = [
    ...deny.map((value, index) => ({ key: 'deny', index, value })),
    ...allow.map((value, index) => ({ key: 'allow', index, value })),
  ];
  const [key, index] = path;
  const option = key === 'rules' && typeof index === 'number' ? options[index] : undefined;
  if (option !== undefined) return { ...option, why };
  return { key: deny.length > 0 ? 'deny' : 'allow', why: `${placeOf(path)}${why}` };
}

function fieldsOf(text: string): NonNullable<RuleEntry['allow']> {
  const parsed = parseRuleText(text);
  if ('value' in parsed) return parsed.value;
  throw new PolicyProblems([{ path: [], why: `${text}: ${parsed.problem}` }]);
}
