/** Policies as documents, of YAML and JSON: checked, and made into rules. */
import * as z from 'zod';
import { once } from '../../base/once.ts';
import { asciiName } from '../../control/ascii-name.ts';
import { PolicyError } from '../../control/policy-view.ts';
import { atOnce, type Steps } from '../../proxy/sliced-work.ts';
import { type Prefix, parseAddress, parsePrefix } from '../../services/address-text.ts';
import { isWhole } from '../../services/dns/reverse-name.ts';
import {
  POLICY_ACTIONS,
  POLICY_MODES,
  POLICY_PLACES,
  POLICY_PROTOCOLS,
  type PolicyAction,
  type PolicyMode,
  type PolicyRule,
  type PolicyRules,
  type PortRange,
} from '../../services/policy/policy.ts';
import {
  type ParsedPattern,
  parsePattern,
  type SuffixFacts,
} from '../../services/policy/policy-name.ts';
import { statedName } from '../../services/sniff/host-name.ts';

export const POLICY_PRESETS = ['internet-only', 'host-only', 'offline'] as const;
export type PolicyPreset = (typeof POLICY_PRESETS)[number];

/** Beside its addresses for guests. */
const HOST_NAMES: ReadonlySet<string> = new Set(
  ['containers', 'docker', 'hawser'].map((one) => `host.${one}.internal`),
);
const LOOPBACKS: readonly string[] = ['127.0.0.1', '::1'];

/** Of the host: the Unix sockets that `--mux-allow` names. */
const UNIX = 'unix';
const UNIX_PORTS: PortRange = { from: 0, to: 0 };

const UNBOUND =
  'is the static lease of whoever has its Ethernet address first: bind it to a link (MAC=IP,HOSTNAME,LINK), or name the link here';

export const MAX_RULES = 100_000;
export const TOO_MANY_RULES: string = `must be at most ${MAX_RULES} rules`;
const MAX_PORT = 65_535;

/** What a rule is for; what is absent is for everything. */
export interface RuleFields {
  readonly name?: string | undefined;
  readonly cidr?: string | undefined;
  readonly to?: string | undefined;
  /** `443`, `'8000-8010'`, `'80,443'`, `unix`, or a list of these. */
  readonly port?: number | string | readonly (number | string)[] | undefined;
  readonly protocol?: string | undefined;
  readonly guest?: string | undefined;
  readonly sni?: 'required' | 'optional' | undefined;
  /** A date (RFC 3339), after which the rule is none. */
  readonly until?: string | undefined;
}

/** With one of the keys. */
export type RuleEntry = { readonly [A in PolicyAction]?: RuleFields | undefined };

export interface PolicyDocument {
  readonly default?: 'allow' | 'deny' | undefined;
  readonly preset?: PolicyPreset | undefined;
  readonly mode?: PolicyMode | undefined;
  readonly rules?: readonly RuleEntry[] | undefined;
}

/** The shapes of a document, of all but its rules, and of one of these; what is in it is checked further. */
const shapes = once(() => {
  const one = z.union([z.int(), z.string()]);
  const fields = z.strictObject({
    name: z.string().optional(),
    cidr: z.string().optional(),
    to: z.enum(POLICY_PLACES, `must be one of ${POLICY_PLACES.join(', ')}`).optional(),
    port: z.union([one, z.array(one)], 'must be ports, such as 443 or 8000-8010').optional(),
    protocol: z.enum(POLICY_PROTOCOLS, `must be one of ${POLICY_PROTOCOLS.join(', ')}`).optional(),
    guest: z.string().min(1).optional(),
    sni: z.enum(['required', 'optional'], 'must be required or optional').optional(),
    until: z.iso.datetime({ offset: true, error: 'must be a date as in RFC 3339' }).optional(),
  });
  const entry = z.strictObject({
    allow: fields.optional(),
    deny: fields.optional(),
    reject: fields.optional(),
    drop: fields.optional(),
  });
  const head = z.strictObject({
    default: z.enum(['allow', 'deny'], 'must be allow or deny').optional(),
    preset: z.enum(POLICY_PRESETS, `must be one of ${POLICY_PRESETS.join(', ')}`).optional(),
    mode: z.enum(POLICY_MODES, `must be one of ${POLICY_MODES.join(', ')}`).optional(),
  });
  const rules = z.array(entry).max(MAX_RULES, TOO_MANY_RULES).optional();
  return { head, entry, whole: head.extend({ rules }) };
});

/** For editors and checkers. */
export const policyJsonSchema = (): object =>
  z.toJSONSchema(shapes().whole, { target: 'draft-2020-12' });

export interface DocumentProblem {
  /** To what is wrong: `['rules', 2, 'allow', 'cidr']`. */
  readonly path: readonly PropertyKey[];
  readonly why: string;
}

export interface ReadPolicy {
  readonly document: PolicyDocument;
  /** Those of the document in its order, and then those of its preset. */
  readonly rules: PolicyRules;
  readonly warnings: readonly RuleWarning[];
}

export interface RuleWarning {
  readonly rule: PolicyRule;
  readonly text: string;
}

/** Nobody reads more. */
const PROBLEMS_MAX = 100;

export class PolicyProblems extends PolicyError {
  readonly problems: readonly DocumentProblem[];

  constructor(found: readonly DocumentProblem[]) {
    const rest = found.length - PROBLEMS_MAX;
    const more = { path: [], why: `${rest} problems more` };
    const problems = rest > 0 ? [...found.slice(0, PROBLEMS_MAX), more] : found;
    super(problems.map(({ path, why }) => `${placeOf(path)}${why}`).join('\n'));
    this.name = 'PolicyProblems';
    this.problems = problems;
  }
}

/** `rules[2].allow.cidr: `. */
export const placeOf = (path: readonly PropertyKey[]): string =>
  path.length === 0
    ? ''
    : `${path.map((part, i) => (typeof part === 'number' ? `[${part}]` : `${i > 0 ? '.' : ''}${String(part)}`)).join('')}: `;

/** What a document is read with. */
export interface PolicyContext {
  readonly facts: SuffixFacts;
  /** The instant of a date, in ms since 1970. */
  readonly instantOf: (epochMs: number) => number;
  /** Addresses that mean the host, for guests: beside its loopback and names. */
  readonly hosts: readonly string[];
  /** Host names of static leases that are bound to no link. */
  readonly unbound: ReadonlySet<string>;
}

/**
 * @param value as parsed of YAML or JSON
 * @throws PolicyProblems that lists everything that is wrong
 */
export const readPolicy = (value: unknown, context: PolicyContext): ReadPolicy =>
  atOnce(readPolicyInSteps(value, context));

/** As {@link readPolicy}, a rule in each step. */
export function* readPolicyInSteps(value: unknown, context: PolicyContext): Steps<ReadPolicy> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new PolicyProblems([{ path: [], why: 'must be a document, such as "default: deny"' }]);
  }
  const { rules: given, ...rest }: { readonly rules?: unknown } = value;
  const shape = shapes();
  yield; // what is done for the first time takes milliseconds
  const head = shape.head.safeParse(rest);
  yield;
  const problems: DocumentProblem[] = head.success ? [] : problemsOf(head.error, []);
  const reader = new RuleReader(context, problems);
  const all: PolicyRule[] = [];
  const list = yield* entriesOf(given, reader, all);
  if (!head.success) throw new PolicyProblems(problems);
  const document = { ...head.data, ...(list === undefined ? {} : { rules: list }) };
  const byDefault = defaultOf(document, problems);
  if (problems.length > 0) throw new PolicyProblems(problems);
  all.push(...presetRules(document.preset));
  const mode = document.mode ?? 'enforce';
  return { document, rules: { byDefault, mode, rules: all }, warnings: reader.warnings };
}

/** @param read what the rules say is added */
function* entriesOf(
  rules: unknown,
  reader: RuleReader,
  read: PolicyRule[],
): Steps<readonly RuleEntry[] | undefined> {
  const { problems } = reader;
  if (rules === undefined) return undefined;
  if (!Array.isArray(rules) || rules.length > MAX_RULES) {
    const why = Array.isArray(rules) ? TOO_MANY_RULES : 'must be a list of rules';
    problems.push({ path: ['rules'], why });
    return undefined;
  }
  const { entry } = shapes();
  const list: RuleEntry[] = [];
  for (const [index, one] of rules.entries()) {
    const parsed = entry.safeParse(one);
    if (parsed.success) {
      list.push(parsed.data);
      read.push(...reader.read(parsed.data, index));
    } else problems.push(...problemsOf(parsed.error, ['rules', index]));
    yield;
  }
  return list;
}

const problemsOf = (
  { issues }: Pick<z.ZodError, 'issues'>,
  at: readonly PropertyKey[],
): DocumentProblem[] =>
  issues.map(({ path, message }) => ({ path: [...at, ...path], why: message }));

function defaultOf(document: PolicyDocument, problems: DocumentProblem[]): 'allow' | 'deny' {
  const { preset, default: given } = document;
  if (preset !== undefined && given !== undefined) {
    problems.push({ path: ['default'], why: `contradicts the preset ${preset}: give one of them` });
  } else if (preset === undefined && given === undefined) {
    problems.push({ path: [], why: 'has neither a default (allow or deny) nor a preset' });
  }
  if (preset === undefined) return given ?? 'deny';
  return preset === 'internet-only' ? 'allow' : 'deny';
}

function presetRules(preset: PolicyPreset | undefined): PolicyRule[] {
  const text = `preset ${preset}`;
  switch (preset) {
    case 'internet-only':
      return [
        { ...EMPTY, action: 'deny', place: 'host', text },
        { ...EMPTY, action: 'deny', place: 'guest', text },
        { ...EMPTY, action: 'deny', place: 'private', text },
      ];
    case 'host-only':
      return [
        { ...EMPTY, action: 'allow', place: 'host', protocol: 'icmp', text },
        { ...EMPTY, action: 'allow', place: 'host', ports: [{ from: 0, to: MAX_PORT }], text },
      ];
    default:
      return [];
  }
}

const EMPTY: Omit<PolicyRule, 'action' | 'text'> = {
  guest: undefined,
  protocol: undefined,
  ports: undefined,
  prefix: undefined,
  name: undefined,
  place: undefined,
  isSniOptional: false,
  until: undefined,
};

class RuleReader {
  readonly problems: DocumentProblem[];
  readonly warnings: RuleWarning[] = [];
  private readonly context: PolicyContext;
  private readonly hosts: ReadonlySet<string>;
  private path: readonly PropertyKey[] = [];

  /** @param problems what is wrong is added */
  constructor(context: PolicyContext, problems: DocumentProblem[]) {
    this.problems = problems;
    this.context = context;
    this.hosts = new Set([...LOOPBACKS, ...context.hosts]);
  }

  read(one: RuleEntry, index: number): PolicyRule[] {
    this.path = ['rules', index];
    const given = POLICY_ACTIONS.filter((action) => one[action] !== undefined);
    const [action] = given;
    const fields = action === undefined ? undefined : one[action];
    if (action === undefined || fields === undefined || given.length > 1) {
      this.wrong(undefined, `must have one key of ${POLICY_ACTIONS.join(', ')}`);
      return [];
    }
    this.path = ['rules', index, action];
    return [this.ruleOf(action, this.withHost(fields))];
  }

  /** The host has many names, which are one thing. */
  private withHost(fields: RuleFields): RuleFields {
    const target = fields.name ?? fields.cidr;
    if (target === undefined || !this.isHost(target)) return fields;
    return { ...fields, name: undefined, cidr: undefined, to: 'host' };
  }

  private isHost(text: string): boolean {
    const prefix = networkOf(text);
    if (prefix === undefined) return HOST_NAMES.has(statedName(asciiName(text)) ?? '');
    return isWhole(prefix) && this.hosts.has(prefix.address.toString());
  }

  private ruleOf(action: PolicyAction, fields: RuleFields): PolicyRule {
    if (fields.name !== undefined && fields.cidr !== undefined) {
      this.wrong('cidr', 'a rule is for a name or for a network: give it as two rules');
    }
    const place = POLICY_PLACES.find((one) => one === fields.to);
    const protocol = POLICY_PROTOCOLS.find((one) => one === fields.protocol);
    const ports = this.portsOf(fields.port);
    if (protocol === 'icmp' && ports !== undefined) this.wrong('port', 'icmp has no ports');
    if (action === 'allow' && place === 'host' && ports === undefined && protocol !== 'icmp') {
      this.wrong('to', 'the host is opened by port, never as a whole: give port');
    }
    const { until, guest, sni } = fields;
    if (guest !== undefined && this.context.unbound.has(guest)) this.wrong('guest', UNBOUND);
    const pattern = this.nameOf(fields.name);
    const rule: PolicyRule = {
      action,
      guest,
      protocol,
      ports,
      prefix: this.prefixOf(fields.cidr),
      name: pattern?.pattern,
      place,
      isSniOptional: sni === 'optional',
      until: until === undefined ? undefined : this.context.instantOf(Date.parse(until)),
      text: formatRule(action, fields),
    };
    if (pattern?.warning !== undefined) this.warnings.push({ rule, text: pattern.warning });
    return rule;
  }

  private nameOf(text: string | undefined): ParsedPattern | undefined {
    if (text === undefined) return undefined;
    const parsed = parsePattern(asciiName(text), this.context.facts);
    if (typeof parsed === 'string') {
      this.wrong('name', parsed);
      return undefined;
    }
    return parsed;
  }

  private prefixOf(text: string | undefined): Prefix | undefined {
    if (text === undefined) return undefined;
    const prefix = networkOf(text);
    if (prefix === undefined) {
      this.wrong('cidr', 'must be an address or a network, such as 192.0.2.0/24 or 2001:db8::/32');
    }
    return prefix;
  }

  private portsOf(port: RuleFields['port']): readonly PortRange[] | undefined {
    if (port === undefined) return undefined;
    const texts = (Array.isArray(port) ? port : [port]).flatMap((one) => `${one}`.split(','));
    return texts.flatMap((text) => {
      if (text.trim() === UNIX) return [UNIX_PORTS];
      const [, first = '', last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text.trim()) ?? [];
      const [from, to] = [Number(first), Number(last)];
      if (first !== '' && from >= 1 && to <= MAX_PORT && from <= to) return [{ from, to }];
      this.wrong('port', `must be ports from 1 to ${MAX_PORT}, such as 443 or 8000-8010, or unix`);
      return [];
    });
  }

  private wrong(key: string | undefined, why: string): void {
    this.problems.push({ path: key === undefined ? this.path : [...this.path, key], why });
  }
}

/** @param text an address, which is a network of its own, or a network */
function networkOf(text: string): Prefix | undefined {
  const address = parseAddress(text);
  if (address === undefined) return parsePrefix(text);
  return { address, bits: address.family === 4 ? 32 : 128 };
}

/** `allow *.example.com:443/tcp of build`. */
export function formatRule(action: PolicyAction, fields: RuleFields): string {
  const { name, cidr, to, port, protocol, guest, until } = fields;
  const target = name ?? cidr ?? to ?? '*';
  const isIpv6 = cidr?.includes(':') === true && port !== undefined;
  const ports = port === undefined ? '' : `:${Array.isArray(port) ? port.join(',') : port}`;
  const place = (name ?? cidr) === undefined || to === undefined ? '' : ` in ${to}`;
  return [
    `${action} ${isIpv6 ? `[${target}]` : target}${ports}${protocol === undefined ? '' : `/${protocol}`}${place}`,
    ...(guest === undefined ? [] : [`of ${guest}`]),
    ...(until === undefined ? [] : [`until ${until}`]),
  ].join(' ');
}
