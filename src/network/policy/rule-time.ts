/**
 * The time of a policy's rules: they end at a date, which is one of the clock on the wall, and are decided on by the
 * monotonic clock. The two part while the host sleeps, and where its date is set.
 */
import { type Instant, NEVER } from '../../base/time.ts';
import type { Steps } from '../../proxy/sliced-work.ts';
import type { PolicyRule } from '../../services/policy/policy.ts';
import type { ReadPolicy, RuleEntry, RuleWarning } from './policy-document.ts';

/** @property until when the time of the first of its rules is over */
export interface PolicyInForce {
  readonly policy: ReadPolicy;
  readonly until: Instant;
}

/** What is left once the time of some rules is over; `read` itself where that is none's. */
export function* inForceAt(read: ReadPolicy, now: Instant): Steps<PolicyInForce> {
  const entries: RuleEntry[] = [];
  const rules: PolicyRule[] = [];
  const { rules: before = [] } = read.document;
  let first = NEVER;
  for (const [index, rule] of read.rules.rules.entries()) {
    yield;
    const { until = NEVER } = rule;
    if (now >= until) continue;
    first = Math.min(first, until);
    const entry = before[index];
    if (entry !== undefined) entries.push(entry);
    rules.push(rule);
  }
  if (rules.length === read.rules.rules.length) return { policy: read, until: first };
  const warnings: RuleWarning[] = [];
  for (const warning of read.warnings) {
    yield;
    const { until = NEVER } = warning.rule;
    if (now < until) warnings.push(warning);
  }
  const document = { ...read.document, rules: entries };
  return { policy: { document, rules: { ...read.rules, rules }, warnings }, until: first };
}

/**
 * The same with the ends of rules where their dates are now.
 *
 * @param byMs how much later the instant of each date is than it was
 * @returns `read` itself where no rule has an end
 */
export function* movedBy(read: ReadPolicy, byMs: number): Steps<ReadPolicy> {
  const moved = new Map<PolicyRule, PolicyRule>();
  const rules: PolicyRule[] = [];
  for (const rule of read.rules.rules) {
    yield;
    const { until } = rule;
    const other = until === undefined ? rule : { ...rule, until: until + byMs };
    if (other !== rule) moved.set(rule, other);
    rules.push(other);
  }
  if (moved.size === 0) return read;
  const warnings: RuleWarning[] = [];
  for (const { rule, text } of read.warnings) {
    yield;
    warnings.push({ rule: moved.get(rule) ?? rule, text });
  }
  return { document: read.document, rules: { ...read.rules, rules }, warnings };
}
