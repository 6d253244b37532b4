/**
 * Whether frames may pass between guests: where nothing is denied, or all guests are allowed everything of each other in
 * front of what is. A guest that may reach another may do what that one may. Of the rules no more are kept than may
 * decide: it is asked for each frame that one guest tries another by.
 */
import { type Instant, NEVER } from '../../base/time.ts';
import type { PolicyRule, Verdict } from './policy.ts';

export class GuestPassage {
  private readonly denials = new FirstInForce();
  /** Of all that guests do, or of other guests. */
  private readonly ofGuests = new FirstInForce();
  /** By the first rule for everything of all guests, behind which none decides. */
  private last: Verdict | undefined = undefined;

  /** In the order of the rules. */
  add(rule: PolicyRule, verdict: Verdict): void {
    const { action, place, until } = rule;
    if (this.last !== undefined) return;
    const isOfGuests = place === 'guest' || (place === undefined && action !== 'allow');
    if (isOfGuests && isForAll(rule)) this.last = verdict;
    else if (action !== 'allow') {
      this.denials.add(verdict, until);
      if (isOfGuests) this.ofGuests.add(verdict, until);
    }
  }

  verdict(now: Instant, byDefault: Verdict): Verdict {
    if (this.last !== undefined) return this.ofGuests.at(now) ?? this.last;
    return byDefault.action === 'allow' ? (this.denials.at(now) ?? byDefault) : byDefault;
  }
}

class FirstInForce {
  private readonly list: { readonly verdict: Verdict; readonly until: Instant }[] = [];

  add(verdict: Verdict, until: Instant = NEVER): void {
    if (this.list.at(-1)?.until !== NEVER) this.list.push({ verdict, until });
  }

  at(now: Instant): Verdict | undefined {
    return this.list.find(({ until }) => now < until)?.verdict;
  }
}

const isForAll = (rule: PolicyRule): boolean =>
  [rule.guest, rule.protocol, rule.ports, rule.prefix, rule.name, rule.until].every(
    (part) => part === undefined,
  );
