/**
 * The rules of a policy, ready to decide: the first that matches, in the order of the document. A flow looks only at the
 * rules of the networks that its address is in, of the names that its guest asked for, and at those of neither.
 */
import type { Instant } from '../../base/time.ts';
import type {
  PolicyAction,
  PolicyMode,
  PolicyPlace,
  PolicyProtocol,
  PolicyRule,
  PolicyRules,
  PortRange,
  Verdict,
} from './policy.ts';
import { suffixesOf } from './policy-name.ts';
import { PrefixTrie } from './prefix-trie.ts';

/** What a flow is, or would be. */
export interface PolicyQuestion {
  /** What rules may call the guest. */
  readonly guests: readonly string[];
  readonly protocol: PolicyProtocol;
  /** Of which four at `at` are the address: the one that it stands for, where it carries another. */
  readonly words: Int32Array;
  readonly at: number;
  /** 0 for ICMP. */
  readonly port: number;
  readonly place: PolicyPlace;
  /** By which the guest found the address. */
  readonly names: readonly string[];
}

/**
 * - `below`: not this name, but one below it may be asked for
 */
export type NameVerdict = 'allow' | 'deny' | 'below';

const NO_RULE = -1;

export class PolicyEngine {
  readonly mode: PolicyMode;
  /** Whether something is not allowed. */
  readonly isRestricting: boolean;
  readonly byDefault: Verdict;
  private readonly rules: readonly PolicyRule[];
  private readonly verdicts: readonly Verdict[];
  /** Without an address or name. */
  private readonly anywhere: number[] = [];
  private readonly networks = new PrefixTrie();
  private readonly exact = new Map<string, number[]>();
  private readonly wildcards = new Map<string, number[]>();
  /** Names above those that rules allow. */
  private readonly above = new Set<string>();
  private readonly hasNames: boolean;
  // Of the question that is being answered.
  private question: PolicyQuestion | undefined = undefined;
  private now: Instant = 0;
  private best = 0;

  constructor({ byDefault, mode, rules }: PolicyRules) {
    this.rules = rules;
    this.mode = mode;
    this.byDefault = verdictOf(byDefault, NO_RULE, `default: ${byDefault}`, undefined);
    this.isRestricting = byDefault === 'deny' || rules.some(({ action }) => action !== 'allow');
    this.verdicts = rules.map((rule, index) => verdictOf(rule.action, index, rule.text, rule));
    for (const [index, rule] of rules.entries()) this.file(rule, index);
    this.hasNames = rules.some(({ name }) => name !== undefined);
  }

  /** The verdict is shared: it is the same object each time. */
  decide(question: PolicyQuestion, now: Instant): Verdict {
    this.question = question;
    this.now = now;
    this.best = this.rules.length;
    this.consider(this.anywhere);
    this.networks.walk(question.words, question.at, this.consider);
    if (this.hasNames) for (const name of question.names) this.considerName(name);
    this.question = undefined;
    return this.verdicts[this.best] ?? this.byDefault;
  }

  /**
   * Whether a guest may ask for the addresses of `name`: when a flow to one of them, of some protocol and port, may be
   * allowed by that name. Rules of networks allow no name.
   */
  decideName(guests: readonly string[], name: string, now: Instant): NameVerdict {
    const of = [...suffixesOf(name)].flatMap((suffix, i) =>
      i === 0 ? (this.exact.get(suffix) ?? []) : (this.wildcards.get(suffix) ?? []),
    );
    const candidates = [...this.anywhere, ...of].sort((one, other) => one - other);
    for (const index of candidates) {
      const rule = this.rules[index];
      if (rule === undefined || !isInForce(rule, guests, now)) continue;
      if (rule.place === 'host' || rule.place === 'gateway') continue;
      if (rule.action === 'allow') return 'allow';
      if (isWhole(rule)) return this.refusalOf(name);
    }
    return this.byDefault.action === 'allow' ? 'allow' : this.refusalOf(name);
  }

  private refusalOf(name: string): NameVerdict {
    return this.above.has(name) ? 'below' : 'deny';
  }

  private file(rule: PolicyRule, index: number): void {
    const { name, prefix } = rule;
    if (name !== undefined) {
      const map = name.isWildcard ? this.wildcards : this.exact;
      const list = map.get(name.name);
      if (list === undefined) map.set(name.name, [index]);
      else list.push(index);
      if (rule.action === 'allow') this.noteAbove(name.name, name.isWildcard);
    } else if (prefix === undefined) this.anywhere.push(index);
    else this.networks.add(prefix, index);
  }

  private noteAbove(name: string, isWildcard: boolean): void {
    let isFirst = true;
    for (const suffix of suffixesOf(name)) {
      if (!isFirst || isWildcard) this.above.add(suffix);
      isFirst = false;
    }
  }

  private considerName(name: string): void {
    let isFirst = true;
    for (const suffix of suffixesOf(name)) {
      const list = isFirst ? this.exact.get(suffix) : this.wildcards.get(suffix);
      if (list !== undefined) this.consider(list);
      isFirst = false;
    }
  }

  private readonly consider = (list: readonly number[]): void => {
    const { question, now } = this;
    if (question === undefined) return;
    for (const index of list) {
      if (index >= this.best) return;
      const rule = this.rules[index];
      if (rule === undefined || !matches(rule, question, now)) continue;
      this.best = index;
      return;
    }
  };
}

const verdictOf = (
  action: PolicyAction,
  rule: number,
  text: string,
  of: PolicyRule | undefined,
): Verdict => ({
  action,
  rule,
  text,
  byName: of?.name !== undefined,
  isSniOptional: of?.isSniOptional ?? false,
});

function isInForce({ guest, until }: PolicyRule, guests: readonly string[], now: Instant): boolean {
  return (until === undefined || now < until) && (guest === undefined || guests.includes(guest));
}

/** Whether nothing of a name is left to allow behind it. */
const isWhole = ({ protocol, ports, place }: PolicyRule): boolean =>
  protocol === undefined && ports === undefined && place === undefined;

/** All but the address and the name. */
function matches(rule: PolicyRule, question: PolicyQuestion, now: Instant): boolean {
  const { protocol, port } = question;
  if (!isInForce(rule, question.guests, now)) return false;
  if (rule.protocol !== undefined && rule.protocol !== protocol) return false;
  if (rule.ports !== undefined && !(protocol !== 'icmp' && hasPort(rule.ports, port))) return false;
  if (rule.place !== undefined && rule.place !== question.place) return false;
  return rule.action !== 'allow' || opens(rule, question);
}

/**
 * What lies near is opened only by a rule that means it: the host by its place and a port, networks of the neighbourhood
 * by an address or their place, never by a name, whose addresses somebody else chooses.
 */
function opens(
  { place, prefix, name, ports, protocol }: PolicyRule,
  question: PolicyQuestion,
): boolean {
  switch (question.place) {
    case 'host':
      return place === 'host' && (ports !== undefined || protocol === 'icmp');
    case 'gateway':
      return place === 'gateway';
    case 'private':
      return place === 'private' || (name === undefined && prefix !== undefined);
    case 'outside':
      return true;
  }
}

const hasPort = (ranges: readonly PortRange[], port: number): boolean =>
  ranges.some(({ from, to }) => port >= from && port <= to);
