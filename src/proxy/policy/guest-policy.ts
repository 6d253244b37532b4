/**
 * The policy that is in force: where guests may go, and which names they may ask for. `flows/destinations.ts` asks it for
 * each flow, the resolver for each name that is not ours. Without a policy everything may go.
 */
import { Counters } from '../../base/counters.ts';
import { type IpAddress, ipv4, setWords } from '../../base/ip-address.ts';
import type { Clock, Instant } from '../../base/time.ts';
import { extractIpv4 } from '../../services/nat64-address.ts';
import type { PolicyPlace, PolicyProtocol, Verdict } from '../../services/policy/policy.ts';
import type {
  NameVerdict,
  PolicyEngine,
  PolicyQuestion,
} from '../../services/policy/policy-engine.ts';
import type { Guest } from '../../stack/guest.ts';
import type { AddressKind } from '../address-map.ts';
import { isOfAnyNetwork, type Objection, objectionToCarried } from '../flows/carried-ipv4.ts';
import type { GuestNames } from '../flows/guest-names.ts';
import type { Translation } from '../flows/translation.ts';
import { type Attempt, Denials } from './denials.ts';
import { needsNoRule, type OtherResolvers, verdictOfResolver } from './other-resolvers.ts';
import { isPrivate } from './private-networks.ts';

export type PolicyCount =
  | 'allowed'
  | 'denied'
  /** Would have been denied, but the policy observes. */
  | 'observed'
  /** Ended because of what the client said first. */
  | 'denied-by-inspection'
  | 'names-denied'
  /** To our own DNS, from another resolver. */
  | 'redirected'
  /** Open flows that a new policy has ended. */
  | 'flows-ended';

export interface GuestPolicyDeps {
  readonly clock: Pick<Clock, 'now'>;
  readonly names: Pick<GuestNames, 'all'>;
  /** What rules may call a guest: its link, its static leases. */
  readonly namesOf: (guest: Guest) => readonly string[];
  /** Whether an address is one of the host's own. */
  readonly isHost: (address: IpAddress) => boolean;
  /** Whether a port of the host leads to a guest. */
  readonly isPublished: (protocol: PolicyProtocol, port: number) => boolean;
  /** Whether a name has this address by the configuration: by no answer of others. */
  readonly isGiven?: ((name: string, address: IpAddress) => boolean) | undefined;
  /** The NAT64 of the host's network. */
  readonly translation?: Pick<Translation, 'hostPrefix'> | undefined;
  /** What becomes of those who ask other resolvers. Default: what the rules say. */
  readonly otherResolvers?: OtherResolvers | undefined;
}

/** Where a flow wants to go. */
export interface PolicyTarget {
  readonly protocol: PolicyProtocol;
  readonly kind: 'host-loopback' | 'gateway' | 'outside';
  /** As the guest sees it, and asked for it. */
  readonly remote: IpAddress;
  /** As the host's socket has it. */
  readonly address: IpAddress;
  readonly port: number;
}

/** A verdict, and what it was made of. */
export interface Judged {
  readonly verdict: Verdict;
  readonly place: PolicyPlace;
  /** That the guest asked for. */
  readonly names: readonly string[];
}

/** Of two forms of one destination: what is decided on `main`, but for a rule in front of that which denies `other`. */
function firstToDeny(main: Judged, other: Judged): Judged {
  const { rule, action } = other.verdict;
  const isInFront = rule >= 0 && (main.verdict.rule < 0 || rule < main.verdict.rule);
  return action !== 'allow' && isInFront && main.verdict.action === 'allow' ? other : main;
}

const NO_NAMES: readonly string[] = [];
const NOT_ASKED = 'no rule of names allows that it is asked for';

/** Why a name may not be asked for. */
export const whyNotAsked = ({ rule, text }: Verdict): string => (rule < 0 ? NOT_ASKED : text);

export class GuestPolicy {
  readonly counts: Counters<PolicyCount> = new Counters();
  readonly denials: Denials = new Denials();
  private readonly deps: GuestPolicyDeps;
  private current: PolicyEngine | undefined = undefined;
  private readonly words = new Int32Array(4);

  constructor(deps: GuestPolicyDeps) {
    this.deps = deps;
  }

  /** Undefined: there is none. */
  get engine(): PolicyEngine | undefined {
    return this.current;
  }

  replace(engine: PolicyEngine | undefined): void {
    this.current = engine;
  }

  /** What it knows beside guests and their names. */
  get surroundings(): Omit<GuestPolicyDeps, 'names' | 'namesOf'> {
    return this.deps;
  }

  /** What rules may call a guest. */
  callsOf(owner: Guest): readonly string[] {
    return this.deps.namesOf(owner);
  }

  /**
   * By the names that the guest has asked for.
   *
   * @param link of the multiplexer that it comes by, where nobody reads what a client states: names open nothing
   */
  judge(engine: PolicyEngine, owner: Guest, target: PolicyTarget, link?: string): Judged {
    const calls = this.deps.namesOf(owner);
    if (link !== undefined) return this.judgeBy(engine, [...calls, link], target, NO_NAMES);
    const names = this.deps.names.all(this.deps.clock.now(), owner, target.remote);
    return this.judgeBy(engine, calls, target, names);
  }

  /**
   * The host's loopback is decided on by its address for guests too. An address that carries others (NAT64, 6to4, Teredo,
   * ISATAP) is decided on by each of them, as packets may arrive there, and by itself.
   *
   * @param guests what rules may call the guest
   */
  judgeBy(
    engine: PolicyEngine,
    guests: readonly string[],
    target: PolicyTarget,
    names: readonly string[],
  ): Judged {
    const { address, kind, remote } = target;
    const at = (one: IpAddress): Judged => this.judgeAt(engine, guests, target, names, one);
    if (kind === 'host-loopback') return firstToDeny(at(address), at(remote));
    const carried = this.judgeCarried(address, at);
    const itself = at(address);
    if (carried === undefined) return itself;
    const isWhole = isOfAnyNetwork(address) || itself.place !== 'outside';
    return isWhole && carried.verdict.action === 'allow' ? itself : firstToDeny(carried, itself);
  }

  /** By each of the addresses that an address carries: the first that is denied, or the last. */
  private judgeCarried(address: IpAddress, at: (address: IpAddress) => Judged): Judged | undefined {
    let last: Judged | undefined;
    const denied = this.objectionToCarried(address, (word): Judged | undefined => {
      last = at(ipv4(word));
      return last.verdict.action === 'allow' ? undefined : last;
    });
    return denied ?? last;
  }

  /** What `objection` says about the IPv4 addresses that an address carries here, the first to be said. */
  objectionToCarried<W>(address: IpAddress, objection: Objection<W>): W | undefined {
    const { a, b, c, d, family } = address;
    if (family === 4) return undefined;
    const prefix = this.deps.translation?.hostPrefix;
    const word = prefix && extractIpv4(prefix, address);
    const said = word === undefined ? undefined : objection(word);
    return said ?? objectionToCarried(a, b, c, d, objection);
  }

  /** A port of the host that leads to a guest is decided on as both. */
  private judgeAt(
    engine: PolicyEngine,
    guests: readonly string[],
    target: PolicyTarget,
    names: readonly string[],
    address: IpAddress,
  ): Judged {
    const { protocol, port } = target;
    const place = this.placeOf(target, address);
    setWords(this.words, address);
    const { words } = this;
    const now = this.deps.clock.now();
    // Written out: V8 makes a new shape for a spread with more behind it, in 2 us.
    const question: PolicyQuestion = { guests, protocol, port, place, names, words, at: 0 };
    const decided = engine.decide(question, now);
    const byRule =
      place === 'private' ? this.orByGivenName(engine, question, address, decided, now) : decided;
    if (byRule.action !== 'allow' || !this.leadsToGuest(target, place)) {
      return { verdict: this.ofResolver(engine, target, byRule), place, names };
    }
    const guest: PolicyPlace = 'guest';
    const behind = engine.decide(
      { guests, protocol, port, place: guest, names, words, at: 0 },
      now,
    );
    return { verdict: this.ofResolver(engine, target, behind), place: 'guest', names };
  }

  /** A name that the configuration gives to an address nearby opens it, as names open what lies outside. */
  private orByGivenName(
    engine: PolicyEngine,
    question: PolicyQuestion,
    address: IpAddress,
    decided: Verdict,
    now: Instant,
  ): Verdict {
    if (decided.action === 'allow') return decided;
    const names = question.names.filter((name) => this.deps.isGiven?.(name, address));
    if (names.length === 0) return decided;
    const place: PolicyPlace = 'outside';
    const byName = engine.decide({ ...question, place, names }, now);
    const isInFront = decided.rule < 0 || byName.rule < decided.rule;
    return byName.action === 'allow' && byName.byName && isInFront ? byName : decided;
  }

  private ofResolver(
    engine: PolicyEngine,
    { kind, protocol, port }: PolicyTarget,
    verdict: Verdict,
  ): Verdict {
    const { otherResolvers: others = 'allow' } = this.deps;
    const isOther = kind !== 'gateway' && protocol !== 'icmp';
    return isOther ? verdictOfResolver(engine, others, port, verdict) : verdict;
  }

  /** An attempt that is denied, or would be. @returns whether it is */
  deny(engine: PolicyEngine, attempt: Omit<Attempt, 'isObserved'>): boolean {
    const { owner, protocol, name, address, port, place, why } = attempt;
    const { isStated, isRuled, isNeighbor } = attempt;
    const isObserved = engine.mode === 'observe';
    // Written out: guests may try as fast as they can, and a spread with more behind it takes 2 us.
    this.denials.add(this.deps.clock.now(), {
      owner,
      protocol,
      name,
      address,
      port,
      place,
      why,
      isStated,
      isRuled,
      isNeighbor,
      isObserved,
    });
    return !isObserved;
  }

  /** Whether `owner` may ask for the addresses of `name`, which is not one of ours. */
  judgeName(owner: Guest, name: string, now: Instant): NameVerdict {
    return this.current?.decideName(this.deps.namesOf(owner), name, now) ?? 'allow';
  }

  /**
   * A query that is denied, or would be.
   *
   * @param isRuled by the rules for names
   * @returns whether it is
   */
  denyName(
    engine: PolicyEngine,
    owner: Guest,
    name: string,
    why: string,
    isRuled: boolean,
  ): boolean {
    const asked = { owner, protocol: 'dns', name, why, port: 0, isStated: false } as const;
    const isDenied = this.deny(engine, { ...asked, isRuled, address: undefined, place: undefined });
    this.counts.add(isDenied ? 'names-denied' : 'observed');
    return isDenied;
  }

  /** Of the frames between guests. */
  verdictOfGuests(engine: PolicyEngine): Verdict {
    return engine.verdictOfGuests(this.deps.clock.now());
  }

  /** Whether guests may go there without a rule: to a resolver, in whose place our own DNS answers. */
  needsNoRule(target: PolicyTarget): boolean {
    return needsNoRule(this.deps.otherResolvers ?? 'allow', target);
  }

  /** Whether it is a port of the host where another guest serves. */
  leadsToGuest({ protocol, port }: PolicyTarget, place: PolicyPlace): boolean {
    return place === 'host' && this.deps.isPublished(protocol, port);
  }

  /** The rule by which {@link judgeName} denies, or that of an alias. */
  ruleOfName(engine: PolicyEngine, owner: Guest, name: string): Verdict {
    return engine.verdictOfName(this.deps.namesOf(owner), name, this.deps.clock.now());
  }

  /** Whether `owner` has been given the address as that of a name. */
  hasAsked(owner: Guest, address: IpAddress): boolean {
    return this.deps.names.all(this.deps.clock.now(), owner, address).length > 0;
  }

  /** Whether an answer for `name`, by a server of others, may lead `owner` to an address nearby. */
  opensNear(
    engine: PolicyEngine,
    owner: Guest,
    name: string,
    address: IpAddress,
    place: PolicyPlace,
  ): boolean {
    setWords(this.words, address);
    const guests = this.deps.namesOf(owner);
    return engine.opensNear(guests, name, this.words, place, this.deps.clock.now());
  }

  /**
   * Of an address in an answer by a server of others.
   *
   * @returns undefined for what no guest may reach, whatever its policy
   */
  placeOfAnswer(address: IpAddress, kind: AddressKind): PolicyPlace | undefined {
    switch (kind) {
      case 'outside':
      case 'gateway':
      case 'host-loopback':
        return this.placeOf({ kind }, address);
      case 'subnet':
        return 'guest';
      default:
        return undefined;
    }
  }

  placeOf({ kind }: Pick<PolicyTarget, 'kind'>, address: IpAddress): PolicyPlace {
    if (kind === 'host-loopback') return 'host';
    if (kind === 'gateway') return 'gateway';
    if (this.deps.isHost(address)) return 'host';
    return isPrivate(address) ? 'private' : 'outside';
  }
}
