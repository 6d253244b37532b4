/** Destinations as the policy decides on them, where there is one: what it denies is counted, listed and reported. */
import { addressFromWords, type IpAddress } from '../../base/ip-address.ts';
import { parseAddress } from '../../services/address-text.ts';
import type { PolicyAction } from '../../services/policy/policy.ts';
import type { PolicyEngine } from '../../services/policy/policy-engine.ts';
import type { Guest } from '../../stack/guest.ts';
import type { GuestPolicy, Judged, PolicyTarget } from '../policy/guest-policy.ts';
import { PolicyCheck } from '../policy/policy-check.ts';
import type {
  Block,
  Destination,
  DestinationProtocol,
  Gateway,
  HostLoopback,
  Outside,
  RefusalAnswer,
} from './destination.ts';
import type { Refusals } from './refusals.ts';

const ANSWERS: Readonly<Record<PolicyAction, RefusalAnswer>> = {
  allow: 'none',
  deny: 'prohibited',
  reject: 'refused',
  drop: 'none',
};

export class PolicedDestinations {
  private readonly policy: GuestPolicy;
  private readonly refusals: Refusals;

  constructor(policy: GuestPolicy, refusals: Refusals) {
    this.policy = policy;
    this.refusals = refusals;
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
    if (verdict.action !== 'allow') {
      const isDenied = this.onDenied(engine, owner, target, judged, verdict.text, false);
      policy.counts.add(isDenied ? 'denied' : 'observed');
      if (!isDenied) return to;
      return this.refusals.add(owner, protocol, 'policy', ANSWERS[verdict.action]);
    }
    policy.counts.add('allowed');
    if (to.kind === 'gateway') return to;
    if (!verdict.byName || protocol === 'icmp' || engine.mode === 'observe') {
      return { ...to, verdict: { rule: verdict.text, stated: undefined, allStated: [] } };
    }
    const onDenied = (why: string): void => this.onStated(engine, owner, target, judged, why);
    const check = new PolicyCheck({ policy, owner, target, judged, onDenied });
    return { ...to, check, verdict: check };
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

  /** A flow is ended for what its guest says. */
  denyStated(
    owner: Guest,
    protocol: DestinationProtocol,
    remote: IpAddress,
    port: number,
    to: Outside,
    why: string,
  ): void {
    const { engine } = this.policy;
    if (engine === undefined) return;
    const target = targetOf(protocol, remote, port, to);
    this.onStated(engine, owner, target, this.policy.judge(engine, owner, target), why);
  }

  private onStated(
    engine: PolicyEngine,
    owner: Guest,
    target: PolicyTarget,
    judged: Judged,
    why: string,
  ): void {
    this.policy.counts.add('denied-by-inspection');
    this.onDenied(engine, owner, target, judged, why, true);
  }

  /** @returns whether it is denied, and not only observed */
  private onDenied(
    engine: PolicyEngine,
    owner: Guest,
    { protocol, remote, port }: PolicyTarget,
    { place, names }: Judged,
    why: string,
    isStated: boolean,
  ): boolean {
    const name = names.at(-1);
    const isDenied = this.policy.deny(engine, {
      ...{ owner, protocol, name, address: remote, port, place, why, isStated },
    });
    const block: Block = { owner, protocol, remote, port, name, why: 'policy', rule: why };
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
