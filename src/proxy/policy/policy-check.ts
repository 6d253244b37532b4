/**
 * A flow that a rule of names has allowed may go where its guest says first, when that is one of the names by which the
 * guest found the address, and a rule allows it. The names are those of when the flow was opened. What rules allow without any
 * name needs none: a rule that allows a name closes nothing that is open without it.
 */

import type { Verdict } from '../../services/policy/policy.ts';
import type { PolicyEngine } from '../../services/policy/policy-engine.ts';
import type { Claim } from '../../services/sniff/reader.ts';
import type { Guest } from '../../stack/guest.ts';
import type { FlowVerdict } from '../flows/flow.ts';
import type { Denial, InspectionFault, NameCheck } from '../inspect/name-check.ts';
import type { GuestPolicy, Judged, PolicyTarget } from './guest-policy.ts';

/** A flow whose guest states names. */
export interface Stating {
  /** That allowed the flow. */
  readonly engine: PolicyEngine;
  readonly owner: Guest;
  readonly target: PolicyTarget;
  /** As the flow was allowed. */
  readonly judged: Judged;
}

/** Called for each name, once. */
export interface StatedReports {
  onStatedAllowed(stating: Stating, rule: string, name: string): void;
  /** @param name undefined: none is stated, or none can be read */
  onStatedDenied(stating: Stating, why: Denial, name: string | undefined): void;
}

export interface PolicyCheckDeps extends Stating {
  readonly policy: GuestPolicy;
  readonly reports: StatedReports;
}

const NO_NAMES: readonly string[] = [];

export class PolicyCheck implements NameCheck, FlowVerdict {
  readonly rule: string;
  stated: string | undefined = undefined;
  /** Most flows state one name. What is allowed without one is here by its address. */
  private claims: readonly string[] = [];
  private readonly deps: PolicyCheckDeps;

  constructor(deps: PolicyCheckDeps) {
    this.deps = deps;
    this.rule = deps.judged.verdict.text;
  }

  onClaim({ name, by }: Claim): Denial | undefined {
    const { policy, target, judged } = this.deps;
    const { engine } = policy;
    if (engine === undefined) return undefined;
    if (name === undefined) {
      if (this.goesOnUnnamed(engine) || judged.verdict.isSniOptional) return undefined;
      return this.deny(`no name is stated (${by}), and ${judged.verdict.text} is for a name`);
    }
    const isAsked = judged.names.includes(name);
    const open = isAsked ? undefined : this.verdictBy(engine, NO_NAMES);
    const isOpen = open?.action === 'allow';
    const verdict = this.verdictBy(engine, [name]);
    if (!isAsked && (!isOpen || verdict.action !== 'allow')) {
      return this.deny(`${name} was not looked up to come here`, name);
    }
    if (verdict.action !== 'allow') return this.deny(`${name}: ${verdict.text}`, name);
    this.stated = name;
    if (this.keep(isAsked ? name : target.remote.toString())) {
      this.deps.reports.onStatedAllowed(this.deps, (open ?? verdict).text, name);
    }
    return undefined;
  }

  get allStated(): readonly string[] {
    return this.claims;
  }

  onFault(fault: InspectionFault): Denial | undefined {
    const { policy, judged } = this.deps;
    if (policy.engine === undefined || this.goesOnUnnamed(policy.engine)) return undefined;
    return this.deny(`${fault}: ${judged.verdict.text} is for a name`);
  }

  /** By what allows the address without any name; it counts as allowed by that from then on. */
  private goesOnUnnamed(engine: PolicyEngine): boolean {
    if (this.verdictBy(engine, NO_NAMES).action !== 'allow') return false;
    this.keep(this.deps.target.remote.toString());
    return true;
  }

  private verdictBy(engine: PolicyEngine, names: readonly string[]): Verdict {
    const { policy, owner, target } = this.deps;
    return policy.judgeBy(engine, policy.callsOf(owner), target, names).verdict;
  }

  /** @returns whether it is a new one */
  private keep(claim: string): boolean {
    if (this.claims.includes(claim)) return false;
    this.claims = [...this.claims, claim];
    return true;
  }

  private deny(why: Denial, name?: string): Denial {
    this.deps.reports.onStatedDenied(this.deps, why, name);
    return why;
  }
}
