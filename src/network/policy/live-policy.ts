/** The policy of a running network: replaced as a whole, shown, asked what it would do, and what it has denied. */
import { createHash } from 'node:crypto';
import type { Log } from '../../base/log.ts';
import { type Clock, type Instant, NEVER } from '../../base/time.ts';
import {
  type ApprovalScope,
  type PolicyBook,
  PolicyConflict,
  type PolicyDenialView,
  PolicyError,
  type PolicyProbe,
  type PolicyStateView,
  type PolicySuggestionView,
  type PolicyVerdictView,
} from '../../control/policy-view.ts';
import type { FlowBook } from '../../proxy/flows/flow-book.ts';
import type { GuestPolicy } from '../../proxy/policy/guest-policy.ts';
import { atOnce, type SlicedWork, type Steps } from '../../proxy/sliced-work.ts';
import { PolicyEngine } from '../../services/policy/policy-engine.ts';
import type { SuffixFacts } from '../../services/policy/policy-name.ts';
import type { Guest } from '../../stack/guest.ts';
import type { PolicedPassage } from '../../stack/separation/separation.ts';
import { printable } from '../option-problem.ts';
import { approvalOf, denialView } from './denial-rules.ts';
import { decideAnew } from './open-flows.ts';
import {
  MAX_RULES,
  type PolicyDocument,
  PolicyProblems,
  type ReadPolicy,
  type RuleEntry,
  readPolicyInSteps,
} from './policy-document.ts';
import { JsonTextError, parseJsonInSteps } from './policy-json.ts';
import type { PolicyProber } from './policy-prober.ts';
import { readProbe, readScope, requireFunction, requireText } from './policy-questions.ts';
import { publicSuffixes } from './public-suffixes.ts';
import { inForceAt, movedBy, type PolicyInForce } from './rule-time.ts';
import type { PolicySurroundings, StartPolicy } from './start-policy.ts';
import { suggestedRules } from './suggestion.ts';

export interface LivePolicyDeps {
  readonly start: StartPolicy;
  readonly policy: GuestPolicy;
  readonly prober: PolicyProber;
  readonly book: FlowBook;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
  /** What compiles policies. */
  readonly work: SlicedWork;
  /** Where something is denied, guests do not reach each other either. */
  readonly policePassage: (policed: PolicedPassage) => void;
  readonly surroundings: PolicySurroundings;
  /** The guest that has an address, or that rules may call so. */
  readonly guestOf: (text: string) => Guest | undefined;
  /** Whether a link or a static lease is called so, with a guest or without one. */
  readonly isName: (text: string) => boolean;
}

/** Timers hold no more than 24 days. */
const LONGEST_MS = 86_400_000;

/** The clocks part by less where the host's date is adjusted, and nobody means a date more exactly. */
const PARTED_MS = 1_000;

/** A document, or its JSON text. */
type Given = { readonly value: unknown } | { readonly text: string };
type IsExpected = (now: PolicyStateView) => boolean;

/** Of no document. */
const NO_HASH = createHash('sha256').update('null').digest('hex');
/** Of more of them `hawser policy show` has the rest. */
const WARNINGS_TOLD = 20;

const noGuest = (text: string): string =>
  `No guest has the name or address ${JSON.stringify(text.slice(0, 80))}`;

export class LivePolicy implements PolicyBook {
  private readonly deps: LivePolicyDeps;
  private facts: Promise<SuffixFacts> | undefined = undefined;
  private current: ReadPolicy | undefined = undefined;
  private generation = 0;
  /** Of the document. */
  private hash = NO_HASH;
  private timer: NodeJS.Timeout | undefined = undefined;
  /** The instant of 1970 when the dates of rules became instants. */
  private epoch: Instant;

  constructor(deps: LivePolicyDeps) {
    this.deps = deps;
    this.epoch = deps.surroundings.instantOf(0);
    const { policy, facts } = deps.start;
    if (policy === undefined) return;
    this.facts = Promise.resolve(facts);
    const left = atOnce(inForceAt(policy, deps.clock.now()));
    const { document, rules } = left.policy;
    this.enforce(left, PolicyEngine.of(rules), atOnce(hashInSteps(document)));
  }

  state(): PolicyStateView {
    const { generation, hash, current } = this;
    const document = current === undefined ? null : { ...current.document };
    return {
      generation,
      hash,
      document,
      warnings: current?.warnings.map(({ text }) => text) ?? [],
    };
  }

  async replace(value: unknown, isExpected: IsExpected = () => true): Promise<PolicyStateView> {
    return await this.put({ value }, isExpected);
  }

  async replaceText(text: string, isExpected: IsExpected = () => true): Promise<PolicyStateView> {
    requireText('the document', text);
    return await this.put({ text }, isExpected);
  }

  private async put(given: Given, isExpected: IsExpected): Promise<PolicyStateView> {
    this.facts ??= publicSuffixes();
    const facts = await this.facts;
    return await this.deps.work.run(this.putInSteps(given, facts, isExpected));
  }

  private *putInSteps(
    given: Given,
    facts: SuffixFacts,
    isExpected: IsExpected,
  ): Steps<PolicyStateView> {
    this.requireMeant(isExpected);
    const value = 'text' in given ? yield* documentOf(given.text) : given.value;
    const epoch = this.deps.surroundings.instantOf(0);
    const asked = yield* readPolicyInSteps(value, { ...this.deps.surroundings, facts });
    const now = this.deps.clock.now();
    const left = yield* inForceAt(asked, now);
    const { document, rules } = left.policy;
    const engine = yield* PolicyEngine.inSteps(rules, now);
    const hash = yield* hashInSteps(document);
    this.requireMeant(isExpected); // it may have become another meanwhile
    this.epoch = epoch;
    this.enforce(left, engine, hash);
    const state = this.state();
    yield* decideAnew(engine, this.deps.policy, this.deps.book);
    return state;
  }

  clear(isExpected: IsExpected = () => true): PolicyStateView {
    this.requireMeant(isExpected);
    const { policy, policePassage, log } = this.deps;
    this.current = undefined;
    this.hash = NO_HASH;
    this.generation++;
    clearTimeout(this.timer);
    policy.replace(undefined);
    policePassage('free');
    log.info({ generation: this.generation }, 'no policy any more');
    return this.state();
  }

  private requireMeant(isExpected: IsExpected): void {
    requireFunction('isExpected', isExpected);
    const now = this.state();
    if (isExpected(now)) return;
    throw new PolicyConflict(`The policy is another by now: its generation is ${now.generation}.`);
  }

  test(given: PolicyProbe): PolicyVerdictView {
    const probe = readProbe(given);
    this.requireGuest(probe.guest);
    return this.deps.prober.test(probe, this.current?.document.rules?.length ?? 0);
  }

  /** One that is not there yet, a rule or an option may know. @throws PolicyError */
  private requireGuest(text: string): void {
    requireText('the guest', text);
    const { guestOf, isName } = this.deps;
    if (text === '' || isName(text) || guestOf(text) !== undefined) return;
    const rules = this.current?.rules.rules ?? [];
    if (rules.some(({ guest }) => guest === text)) return;
    throw new PolicyError(`${noGuest(text)}, and no link, static lease or rule.`);
  }

  denials(): readonly PolicyDenialView[] {
    const { policy, book, clock } = this.deps;
    const now = clock.now();
    return policy.denials.list().map((denial) => {
      const { owner, address } = denial.attempt;
      const calls = policy.callsOf(owner);
      return denialView(denial, calls, book.names.everyName(now, address), Date.now() - now);
    });
  }

  async approve(id: string, given: ApprovalScope): Promise<PolicyStateView> {
    const { policy } = this.deps;
    const scope = readScope(given);
    const denial = policy.denials.find(/^[1-9]\d{0,15}$/.test(id) ? Number(id) : 0);
    if (denial === undefined) {
      throw new PolicyError(`There is no denial ${printable(id, true)}: it may be forgotten.`);
    }
    const before = this.current?.document;
    if (before === undefined) throw new PolicyError('There is no policy: guests may go there.');
    const allow = approvalOf(denial.attempt, policy.callsOf(denial.attempt.owner), scope);
    const rules: readonly RuleEntry[] = [{ allow }, ...(before.rules ?? [])];
    const { generation } = this;
    return await this.replace({ ...before, rules }, (now) => now.generation === generation);
  }

  suggest(guest: string): PolicySuggestionView {
    requireText('the guest', guest);
    const { policy, book, guestOf } = this.deps;
    const only = guest === '' ? undefined : guestOf(guest);
    if (guest !== '' && only === undefined) {
      throw new PolicyError(`${noGuest(guest)}.`);
    }
    const allows = suggestedRules(book, policy, only);
    return { document: { default: 'deny', rules: allows.map((allow) => ({ allow })) } };
  }

  /** The host may have slept, or its date may be another: rules end when it is their date. */
  onWallClock(): void {
    if (this.current !== undefined && this.partedMs() !== 0) this.renewSoon(this.current);
  }

  close(): void {
    clearTimeout(this.timer);
  }

  /** How far the instants of dates have moved since the dates of rules became instants. */
  private partedMs(): number {
    const byMs = this.deps.surroundings.instantOf(0) - this.epoch;
    return Math.abs(byMs) < PARTED_MS ? 0 : byMs;
  }

  private enforce(left: PolicyInForce, engine: PolicyEngine, hash: string): void {
    const { log } = this.deps;
    this.take(left, engine, hash);
    const { warnings, rules } = left.policy;
    for (const { text: warning } of warnings.slice(0, WARNINGS_TOLD)) {
      log.warn({ warning }, 'a rule of the policy');
    }
    const { generation } = this;
    log.info({ generation, rules: rules.rules.length }, 'policy in force');
  }

  private take(left: PolicyInForce, engine: PolicyEngine, hash: string): void {
    if (this.current?.document !== left.policy.document) this.generation++;
    this.current = left.policy;
    this.hash = hash;
    this.deps.policy.replace(engine);
    this.apply(engine, left);
  }

  private apply(engine: PolicyEngine, { policy, until }: PolicyInForce): void {
    const { policePassage, clock } = this.deps;
    const now = clock.now();
    const isOpen = engine.verdictOfGuests(now).action === 'allow';
    const policed = engine.mode === 'enforce' ? 'isolated' : 'observed';
    policePassage(isOpen ? 'free' : policed);
    clearTimeout(this.timer);
    if (until === NEVER) return;
    const delayMs = Math.min(Math.max(Math.ceil(until - now), 1), LONGEST_MS);
    this.timer = setTimeout(() => this.renewSoon(policy), delayMs).unref();
  }

  private renewSoon(read: ReadPolicy): void {
    void this.deps.work.run(this.renew(read));
  }

  /** The time of a rule is over, maybe: it is none any more, and the policy is another. */
  private *renew(read: ReadPolicy): Steps<void> {
    const { policy, book, clock, log } = this.deps;
    if (this.current !== read || policy.engine === undefined) return;
    const now = clock.now();
    const byMs = this.partedMs();
    const dated = byMs === 0 ? read : yield* movedBy(read, byMs);
    const left = yield* inForceAt(dated, now);
    const { document, rules } = left.policy;
    const engine = left.policy === read ? policy.engine : yield* PolicyEngine.inSteps(rules, now);
    const hash = document === read.document ? this.hash : yield* hashInSteps(document);
    if (this.current !== read) return;
    this.epoch += byMs;
    if (left.policy === read) {
      this.apply(engine, left);
      return;
    }
    this.take(left, engine, hash);
    const { generation } = this;
    const over = read.rules.rules.length - rules.rules.length;
    if (over > 0) log.info({ generation, over }, 'the time of rules is over');
    yield* decideAnew(engine, policy, book);
  }
}

/** @throws PolicyProblems */
function* documentOf(text: string): Steps<unknown> {
  try {
    return yield* parseJsonInSteps(text, MAX_RULES);
  } catch (error) {
    if (!(error instanceof JsonTextError)) throw error;
    throw new PolicyProblems([{ path: [], why: `The body is not usable JSON: ${error.message}` }]);
  }
}

/** SHA-256 of the document's JSON text. */
function* hashInSteps({ rules, ...head }: PolicyDocument): Steps<string> {
  const hash = createHash('sha256');
  if (rules === undefined) return hash.update(JSON.stringify(head)).digest('hex');
  hash.update(JSON.stringify({ ...head, rules: [] }).slice(0, -']}'.length));
  for (const [index, rule] of rules.entries()) {
    hash.update(`${index === 0 ? '' : ','}${JSON.stringify(rule)}`);
    yield;
  }
  return hash.update(']}').digest('hex');
}
