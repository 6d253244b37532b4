/** The policy of a running network: replaced as a whole, shown, asked what it would do, and what it has denied. */
import { createHash } from 'node:crypto';
import type { Log } from '../../base/log.ts';
import { type Clock, NEVER } from '../../base/time.ts';
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
import { PolicyEngine } from '../../services/policy/policy-engine.ts';
import type { SuffixFacts } from '../../services/policy/policy-name.ts';
import type { Guest } from '../../stack/guest.ts';
import { approvalOf, denialView } from './denial-rules.ts';
import { decideAnew } from './open-flows.ts';
import { type ReadPolicy, type RuleEntry, readPolicy } from './policy-document.ts';
import type { PolicyProber } from './policy-prober.ts';
import { publicSuffixes } from './public-suffixes.ts';
import type { PolicySurroundings, StartPolicy } from './start-policy.ts';
import { suggestedRules } from './suggestion.ts';

export interface LivePolicyDeps {
  readonly start: StartPolicy;
  readonly policy: GuestPolicy;
  readonly prober: PolicyProber;
  readonly book: FlowBook;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
  /** Where something is denied, guests do not reach each other either. */
  readonly isolate: (isIsolated: boolean) => void;
  readonly surroundings: PolicySurroundings;
  /** The guest that has an address, or that rules may call so. */
  readonly guestOf: (text: string) => Guest | undefined;
  /** Whether a link or a static lease is called so, with a guest or without one. */
  readonly isName: (text: string) => boolean;
}

/** Timers hold no more than 24 days. */
const LONGEST_MS = 86_400_000;

const noGuest = (text: string): string =>
  `No guest has the name or address ${JSON.stringify(text.slice(0, 80))}`;

export class LivePolicy implements PolicyBook {
  private readonly deps: LivePolicyDeps;
  private facts: Promise<SuffixFacts> | undefined = undefined;
  private current: ReadPolicy | undefined = undefined;
  private generation = 0;
  private timer: NodeJS.Timeout | undefined = undefined;

  constructor(deps: LivePolicyDeps) {
    this.deps = deps;
    const { policy, facts } = deps.start;
    if (policy === undefined) return;
    this.facts = Promise.resolve(facts);
    this.enforce(policy);
  }

  state(): PolicyStateView {
    const { generation, current } = this;
    const document = current === undefined ? null : { ...current.document };
    const hash = createHash('sha256').update(JSON.stringify(document)).digest('hex');
    return { generation, hash, document, warnings: current?.warnings ?? [] };
  }

  async replace(
    value: unknown,
    isExpected: (now: PolicyStateView) => boolean = () => true,
  ): Promise<PolicyStateView> {
    this.facts ??= publicSuffixes();
    const facts = await this.facts;
    const read = readPolicy(value, { ...this.deps.surroundings, facts });
    this.requireMeant(isExpected);
    this.enforce(read);
    return this.state();
  }

  clear(isExpected: (now: PolicyStateView) => boolean = () => true): PolicyStateView {
    this.requireMeant(isExpected);
    const { policy, isolate, log } = this.deps;
    this.current = undefined;
    this.generation++;
    clearTimeout(this.timer);
    policy.replace(undefined);
    isolate(false);
    log.info({ generation: this.generation }, 'no policy any more');
    return this.state();
  }

  private requireMeant(isExpected: (now: PolicyStateView) => boolean): void {
    const now = this.state();
    if (isExpected(now)) return;
    throw new PolicyConflict(`The policy is another by now: its generation is ${now.generation}.`);
  }

  test(probe: PolicyProbe): PolicyVerdictView {
    this.requireGuest(probe.guest);
    return this.deps.prober.test(probe, this.current?.document.rules?.length ?? 0);
  }

  /** One that is not there yet, a rule or an option may know. @throws PolicyError */
  private requireGuest(text: string): void {
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

  async approve(id: string, scope: ApprovalScope): Promise<PolicyStateView> {
    const { policy } = this.deps;
    const denial = policy.denials.find(/^[1-9]\d{0,15}$/.test(id) ? Number(id) : 0);
    if (denial === undefined) {
      throw new PolicyError(
        `There is no denial ${JSON.stringify(id.slice(0, 20))}: it may be forgotten.`,
      );
    }
    const before = this.current?.document;
    if (before === undefined) throw new PolicyError('There is no policy: guests may go there.');
    const allow = approvalOf(denial.attempt, policy.callsOf(denial.attempt.owner), scope);
    const rules: readonly RuleEntry[] = [{ allow }, ...(before.rules ?? [])];
    const { generation } = this;
    return await this.replace({ ...before, rules }, (now) => now.generation === generation);
  }

  suggest(guest: string): PolicySuggestionView {
    const { policy, book, guestOf } = this.deps;
    const only = guest === '' ? undefined : guestOf(guest);
    if (guest !== '' && only === undefined) {
      throw new PolicyError(`${noGuest(guest)}.`);
    }
    const allows = suggestedRules(book, policy, only);
    return { document: { default: 'deny', rules: allows.map((allow) => ({ allow })) } };
  }

  close(): void {
    clearTimeout(this.timer);
  }

  private enforce(read: ReadPolicy): void {
    const { policy, log } = this.deps;
    const engine = new PolicyEngine(read.rules);
    this.current = read;
    this.generation++;
    policy.replace(engine);
    this.apply(engine, read);
    for (const warning of read.warnings) log.warn({ warning }, 'a rule of the policy');
    const { generation } = this;
    log.info({ generation, rules: read.rules.rules.length }, 'policy in force');
  }

  /** At once, and whenever the time of a rule is over. */
  private apply(engine: PolicyEngine, read: ReadPolicy): void {
    const { isolate, clock, policy, book } = this.deps;
    const now = clock.now();
    isolate(engine.mode === 'enforce' && !engine.opensGuests(now));
    decideAnew(engine, policy, book);
    clearTimeout(this.timer);
    let next = NEVER;
    for (const { until = NEVER } of read.rules.rules) if (until > now) next = Math.min(next, until);
    if (next === NEVER) return;
    const delayMs = Math.min(Math.max(Math.ceil(next - now), 1), LONGEST_MS);
    this.timer = setTimeout(() => this.apply(engine, read), delayMs).unref();
  }
}
