/**
 * The rules of a policy, ready to decide: the first that matches, in the order of the document. A flow looks only at the
 * rules of the networks that its address is in, of the names that its guest asked for, and at those of neither.
 */
import type { IpAddress } from '../../base/ip-address.ts';
import type { Instant } from '../../base/time.ts';
import { GuestPassage } from './guest-passage.ts';
import type {
  PolicyAction,
  PolicyMode,
  PolicyPlace,
  PolicyRule,
  PolicyRules,
  Verdict,
} from './policy.ts';
import { suffixesOf } from './policy-name.ts';
import { NO_RULE } from './port-map.ts';
import { PortSet } from './port-set.ts';
import { PrefixTrie } from './prefix-trie.ts';
import { decidesNames, type FlowKind, RuleList } from './rule-list.ts';

/** What a flow is, or would be. */
export interface PolicyQuestion extends FlowKind {
  /** Of which four at `at` are the address: the one that it stands for, where it carries another. */
  readonly words: Int32Array;
  readonly at: number;
  /** By which the guest found the address. */
  readonly names: readonly string[];
}

/**
 * - `below`: not this name, but one below it may be asked for
 */
export type NameVerdict = 'allow' | 'deny' | 'below';

/** Names whose rules are known, as many as guests may have asked for; guests choose them. */
const NAMES_KNOWN = 16_384;

export class PolicyEngine {
  readonly mode: PolicyMode;
  readonly byDefault: Verdict;
  private readonly rules: readonly PolicyRule[];
  private readonly verdicts: Verdict[] = [];
  /** Without an address or name. */
  private readonly anywhere: RuleList;
  private readonly networks = new PrefixTrie<RuleList>();
  private readonly exact = new Map<string, RuleList>();
  private readonly wildcards = new Map<string, RuleList>();
  private readonly guests = new GuestPassage();
  private readonly byName = new Map<string, readonly RuleList[]>();
  /** Names above those that rules allow. */
  private readonly above = new Set<string>();
  private hasNames = false;
  private hasDenials: boolean;
  private hasNameDenials: boolean;
  // Of the question that is being answered.
  private question: PolicyQuestion | undefined = undefined;
  private now: Instant = 0;
  private best = 0;

  private constructor(rules: PolicyRules) {
    this.rules = rules.rules;
    this.mode = rules.mode;
    const { byDefault } = rules;
    this.byDefault = verdictOf(byDefault, NO_RULE, `default: ${byDefault}`, undefined);
    this.hasDenials = this.hasNameDenials = byDefault === 'deny';
    this.anywhere = new RuleList(rules.rules);
  }

  /** All of it now. */
  static of(rules: PolicyRules): PolicyEngine {
    const steps = PolicyEngine.inSteps(rules, 0);
    for (;;) {
      const { done, value } = steps.next();
      if (done === true) return value;
    }
  }

  /** In steps of some rules each, so that the first verdicts take no longer than those that follow. */
  static *inSteps(rules: PolicyRules, now: Instant): Generator<void, PolicyEngine, void> {
    const engine = new PolicyEngine(rules);
    yield* engine.fill(now);
    return engine;
  }

  /** Whether something is not allowed. */
  get isRestricting(): boolean {
    return this.hasDenials;
  }

  /** Whether there are names that may not be asked for, by somebody. */
  get deniesNames(): boolean {
    return this.hasNameDenials;
  }

  /** The verdict is shared: it is the same object each time. */
  decide(question: PolicyQuestion, now: Instant): Verdict {
    this.question = question;
    this.now = now;
    this.best = this.anywhere.first(question, now, this.rules.length);
    this.networks.walk(question.words, question.at, this.consider);
    if (this.hasNames) for (const name of question.names) this.listsOf(name).forEach(this.consider);
    this.question = undefined;
    return this.verdicts[this.best] ?? this.byDefault;
  }

  /**
   * Whether a guest may ask for the addresses of `name`: when a flow to one of them, of some protocol and port, may be
   * allowed by that name. Rules of networks allow no name.
   */
  decideName(guests: readonly string[], name: string, now: Instant): NameVerdict {
    if (this.verdictOfName(guests, name, now).action === 'allow') return 'allow';
    return this.above.has(name) ? 'below' : 'deny';
  }

  /** Whether every guest may ask for the addresses of `name`, now and later. */
  isOpenToAll(name: string): boolean {
    if (this.anywhere.variesForNames) return false;
    if (this.listsOf(name).some(({ variesForNames }) => variesForNames)) return false;
    return this.decideName([], name, 0) === 'allow';
  }

  /** What {@link decideName} goes by. */
  verdictOfName(guests: readonly string[], name: string, now: Instant): Verdict {
    let best = this.anywhere.firstOfNames(guests, now, this.rules.length);
    for (const list of this.listsOf(name)) best = list.firstOfNames(guests, now, best);
    return this.verdicts[best] ?? this.byDefault;
  }

  /**
   * Whether it is meant for a server at `port`: by a rule that denies, or one that allows this very port, not one of a
   * range, of a name, a network or a place that is not everywhere outside.
   */
  means({ rule, action }: Verdict, port: number): boolean {
    const by = this.rules[rule];
    if (by === undefined || action !== 'allow') return by !== undefined;
    const { name, prefix, place, ports } = by;
    const isPart = (place !== undefined && place !== 'outside') || (prefix?.bits ?? 0) > 0;
    const isPort = ports?.some(({ from, to }) => from === port && to === port) === true;
    return isPort && (isPart || name !== undefined);
  }

  /**
   * Whether an address nearby may be the answer for `name`: where a rule of addresses or of the place opens something
   * there, or none closes it and the default is to allow. A name by itself opens nothing nearby: whoever made the answer
   * may be anybody.
   *
   * @param words of which the first four are the address
   */
  opensNear(
    guests: readonly string[],
    name: string,
    words: Int32Array,
    place: PolicyPlace,
    now: Instant,
  ): boolean {
    let best = this.anywhere.firstOfNear(guests, place, now, this.rules.length);
    const consider = (list: RuleList): void => {
      best = list.firstOfNear(guests, place, now, best);
    };
    this.networks.walk(words, 0, consider);
    this.listsOf(name).forEach(consider);
    return (this.rules[best] ?? this.byDefault).action === 'allow';
  }

  /** Whether frames may pass between guests. */
  verdictOfGuests(now: Instant): Verdict {
    return this.guests.verdict(now, this.byDefault);
  }

  /** Whether there are rules for a network that it is in. */
  hasNetworkFor({ a, b, c, d }: IpAddress): boolean {
    let found = false;
    this.networks.walk(Int32Array.of(a, b, c, d), 0, () => {
      found = true;
    });
    return found;
  }

  private *fill(now: Instant): Generator<void, void, void> {
    const lists: RuleList[] = [this.anywhere];
    for (const [index, rule] of this.rules.entries()) {
      this.file(rule, index, lists);
      yield;
    }
    const ports = new PortSet();
    for (const list of lists) {
      yield* list.prepare(now, ports);
      yield; // most have nothing to prepare
    }
  }

  /** @param lists new ones are added */
  private file(rule: PolicyRule, index: number, lists: RuleList[]): void {
    const { name, prefix } = rule;
    const verdict = verdictOf(rule.action, index, rule.text, rule);
    this.verdicts.push(verdict);
    this.guests.add(rule, verdict);
    if (rule.action !== 'allow') {
      this.hasDenials = true;
      this.hasNameDenials ||= prefix === undefined && decidesNames(rule);
    }
    if (name !== undefined) this.hasNames = true;
    const make = (): RuleList => {
      const list = new RuleList(this.rules);
      lists.push(list);
      return list;
    };
    if (name !== undefined) {
      const map = name.isWildcard ? this.wildcards : this.exact;
      const list = map.get(name.name) ?? make();
      map.set(name.name, list);
      list.add(index);
      if (rule.action === 'allow') this.noteAbove(name.name, name.isWildcard);
    } else if (prefix === undefined) this.anywhere.add(index);
    else this.networks.at(prefix, make).add(index);
  }

  private noteAbove(name: string, isWildcard: boolean): void {
    let isFirst = true;
    for (const suffix of suffixesOf(name)) {
      if (!isFirst || isWildcard) this.above.add(suffix);
      isFirst = false;
    }
  }

  private listsOf(name: string): readonly RuleList[] {
    const known = this.byName.get(name);
    if (known !== undefined) return known;
    const lists: RuleList[] = [];
    let map = this.exact;
    for (const suffix of suffixesOf(name)) {
      const list = map.get(suffix);
      if (list !== undefined) lists.push(list);
      map = this.wildcards;
    }
    if (this.byName.size === NAMES_KNOWN) this.byName.clear();
    this.byName.set(name, lists.length === 0 ? NONE : lists);
    return lists;
  }

  private readonly consider = (list: RuleList): void => {
    const { question } = this;
    if (question !== undefined) this.best = list.first(question, this.now, this.best);
  };
}

const NONE: readonly RuleList[] = [];

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
