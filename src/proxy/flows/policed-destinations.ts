/** Destinations as the policy decides on them, where there is one: what it denies is counted, listed and reported. */
import { addressFromWords, type IpAddress } from '../../base/ip-address.ts';
import { parseAddress } from '../../services/address-text.ts';
import type { PolicyAction, PolicyPlace } from '../../services/policy/policy.ts';
import type { PolicyEngine } from '../../services/policy/policy-engine.ts';
import type { Guest } from '../../stack/guest.ts';
import type { GuestPolicy, PolicyTarget } from '../policy/guest-policy.ts';
import { REDIRECTED } from '../policy/other-resolvers.ts';
import { PolicyCheck, type StatedReports, type Stating } from '../policy/policy-check.ts';
import {
  type Block,
  type Destination,
  type DestinationProtocol,
  type Gateway,
  type HostLoopback,
  type Outside,
  type OwnDnsDestination,
  type RefusalAnswer,
  withVerdict,
} from './destination.ts';
import type { Refusals } from './refusals.ts';
import type { VerdictFeed } from './verdict-feed.ts';

const ANSWERS: Readonly<Record<PolicyAction, RefusalAnswer>> = {
  allow: 'none',
  deny: 'prohibited',
  reject: 'refused',
  drop: 'none',
};

const NONE_STATED: readonly string[] = [];

const OWN_DNS: OwnDnsDestination = {
  kind: 'dns',
  verdict: { rule: REDIRECTED.text, stated: undefined, allStated: [] },
};

export type AllowedVerdicts = Pick<VerdictFeed, 'isWanted' | 'onAllowed'>;

export class PolicedDestinations implements StatedReports {
  private readonly policy: GuestPolicy;
  private readonly refusals: Refusals;
  /** Undefined: nobody hears what is allowed. */
  private readonly verdicts: AllowedVerdicts | undefined;

  constructor(policy: GuestPolicy, refusals: Refusals, verdicts: AllowedVerdicts | undefined) {
    this.policy = policy;
    this.refusals = refusals;
    this.verdicts = verdicts;
  }

  /** Undefined: no policy is in force. */
  get engine(): PolicyEngine | undefined {
    return this.policy.engine;
  }

  /**
   * @param words of which four at `at` are the address that the guest asked for
   * @param link of the multiplexer, where it comes by one
   * @returns `to` itself where there is no policy
   */
  decide(
    owner: Guest,
    protocol: DestinationProtocol,
    words: Int32Array,
    at: number,
    port: number,
    to: HostLoopback | Outside | Gateway,
    link?: string,
  ): Destination {
    const { policy } = this;
    const { engine } = policy;
    if (engine === undefined) return to;
    const target = targetOf(protocol, addressFromWords(words, at), port, to);
    const judged = policy.judge(engine, owner, target, link);
    const { verdict } = judged;
    if (verdict === REDIRECTED && link === undefined) {
      policy.counts.add('redirected');
      return OWN_DNS;
    }
    if (verdict.action !== 'allow') {
      const isDenied = this.onDenied({ engine, owner, target, judged }, verdict.text);
      policy.counts.add(isDenied ? 'denied' : 'observed');
      if (!isDenied) return to;
      return this.refusals.add(owner, protocol, 'policy', ANSWERS[verdict.action]);
    }
    policy.counts.add('allowed');
    if (to.kind === 'gateway') {
      const { place } = judged;
      const rule = verdict.text;
      this.verdicts?.onAllowed({ owner, protocol, place, remote: target.remote, port, rule });
      return to;
    }
    if (!verdict.byName || protocol === 'icmp' || engine.mode === 'observe') {
      const rule = verdict.text;
      return withVerdict(to, { rule, stated: undefined, allStated: NONE_STATED }, undefined);
    }
    const check = new PolicyCheck({ policy, engine, owner, target, judged, reports: this });
    return withVerdict(to, check, check);
  }

  /**
   * Of a flow that is allowed, whether it is by another name too.
   *
   * @returns undefined: nothing denies any
   */
  objectionTo(
    owner: Guest,
    protocol: DestinationProtocol,
    remote: IpAddress,
    port: number,
    to: Outside,
  ): ((name: string) => string | undefined) | undefined {
    const { policy } = this;
    const { engine } = policy;
    if (engine?.mode !== 'enforce') return undefined;
    const target = targetOf(protocol, remote, port, to);
    return (name) => {
      const { verdict } = policy.judgeBy(engine, policy.callsOf(owner), target, [name]);
      return verdict.action === 'allow' ? undefined : `${name}: ${verdict.text}`;
    };
  }

  /** A flow is ended for the name that its guest states. */
  denyStated(
    owner: Guest,
    protocol: DestinationProtocol,
    remote: IpAddress,
    port: number,
    to: Outside,
    why: string,
    name: string,
  ): void {
    const { engine } = this.policy;
    if (engine === undefined) return;
    const target = targetOf(protocol, remote, port, to);
    const judged = this.policy.judge(engine, owner, target);
    this.onStatedDenied({ engine, owner, target, judged }, why, name);
  }

  /** As rules call where a flow goes. */
  placeOf(
    protocol: DestinationProtocol,
    remote: IpAddress,
    port: number,
    to: HostLoopback | Outside,
  ): PolicyPlace {
    const { policy } = this;
    const target = targetOf(protocol, remote, port, to);
    const place = policy.placeOf(target, target.address);
    return policy.leadsToGuest(target, place) ? 'guest' : place;
  }

  onStatedDenied(stating: Stating, why: string, name: string | undefined): void {
    this.policy.counts.add('denied-by-inspection');
    this.onDenied(stating, why, { name });
  }

  onStatedAllowed({ owner, target, judged }: Stating, rule: string, stated: string): void {
    const { protocol, remote, port } = target;
    const { place } = judged;
    this.verdicts?.onAllowed({ owner, protocol, place, remote, port, rule, stated });
  }

  /** @returns whether it is denied, and not only observed */
  private onDenied(
    { engine, owner, target, judged }: Stating,
    why: string,
    stated?: Block['stated'],
  ): boolean {
    const { protocol, remote, port } = target;
    const { place, names } = judged;
    const name = names.at(-1);
    // Written out, as in `withVerdict`.
    const isDenied = this.policy.deny(engine, {
      owner,
      protocol,
      name,
      address: remote,
      port,
      place,
      why,
      isStated: stated !== undefined,
    });
    const block: Block = {
      owner,
      protocol,
      remote,
      port,
      name,
      place,
      why: 'policy',
      rule: why,
      stated,
    };
    this.refusals.report(isDenied ? block : { ...block, isObserved: true });
    return isDenied;
  }
}

function targetOf(
  protocol: DestinationProtocol,
  remote: IpAddress,
  port: number,
  to: HostLoopback | Outside | Gateway,
): PolicyTarget {
  const isSame = to.kind === 'gateway' || (to.kind === 'outside' && !to.isTranslated);
  const address = isSame ? remote : (parseAddress(to.address) ?? remote);
  return { protocol, kind: to.kind, remote, address, port };
}
