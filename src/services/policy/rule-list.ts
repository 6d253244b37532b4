/**
 * Rules that are for one network, one name, or for neither: the first that matches a flow. Few are tried one after the
 * other. Many are found by their guest, and then by protocol, place and port, however they are mixed. Where a rule is found
 * so whose time is over, those behind it are tried one after the other, until the engine is made anew without it.
 */
import { type Instant, NEVER } from '../../base/time.ts';
import {
  POLICY_PLACES,
  POLICY_PROTOCOLS,
  type PolicyPlace,
  type PolicyProtocol,
  type PolicyRule,
  type PortRange,
} from './policy.ts';
import { NO_RULE, PortMap, type RuleOfPorts } from './port-map.ts';
import type { PortSet } from './port-set.ts';

const FEW = 4;
const WAYS = POLICY_PROTOCOLS.length * POLICY_PLACES.length;

/** The part of a question that is not its address and names. */
export interface FlowKind {
  /** What rules may call the guest. */
  readonly guests: readonly string[];
  readonly protocol: PolicyProtocol;
  readonly place: PolicyPlace;
  /** 0 for ICMP. */
  readonly port: number;
}

export class RuleList {
  private readonly rules: readonly PolicyRule[];
  /** Ascending. */
  private readonly members: number[] = [];
  private index: GuestIndex | undefined = undefined;
  /** Whether what it says of a name depends on who asks, or when. */
  variesForNames = false;

  /** @param rules all of the policy */
  constructor(rules: readonly PolicyRule[]) {
    this.rules = rules;
  }

  /** In ascending order. */
  add(index: number): void {
    this.members.push(index);
    const rule = this.rules[index];
    if (rule === undefined || !decidesNames(rule)) return;
    this.variesForNames ||= rule.guest !== undefined || rule.until !== undefined;
  }

  /** @returns the first rule that matches, where it is in front of `best`; `best` otherwise */
  first(kind: FlowKind, now: Instant, best: number): number {
    const { members } = this;
    if ((members[0] ?? best) >= best) return best;
    const from = this.index?.first(kind, best) ?? 0;
    if (from >= best || (this.index !== undefined && !this.isOver(from, now))) return from;
    for (let i = this.placeOf(from); i < members.length; i++) {
      const index = members[i] ?? best;
      if (index >= best) return best;
      const rule = this.rules[index];
      if (rule !== undefined && isInForce(rule, kind.guests, now) && matches(rule, kind)) {
        return index;
      }
    }
    return best;
  }

  /** As {@link first}, of the rules that say whether a name may be asked for. */
  firstOfNames(guests: readonly string[], now: Instant, best: number): number {
    const { members } = this;
    if ((members[0] ?? best) >= best) return best;
    const from = this.index?.firstOfNames(guests, best) ?? 0;
    if (from >= best || (this.index !== undefined && !this.isOver(from, now))) return from;
    for (let i = this.placeOf(from); i < members.length; i++) {
      const index = members[i] ?? best;
      if (index >= best) return best;
      const rule = this.rules[index];
      if (rule !== undefined && isInForce(rule, guests, now) && decidesNames(rule)) return index;
    }
    return best;
  }

  /** As {@link first}, of the rules that say whether anything at a place nearby is open. */
  firstOfNear(guests: readonly string[], place: PolicyPlace, now: Instant, best: number): number {
    for (const index of this.members) {
      if (index >= best) return best;
      const rule = this.rules[index];
      if (rule === undefined || !isInForce(rule, guests, now)) continue;
      if (rule.action === 'allow' ? opensNear(rule, place) : closesAll(rule, place)) return index;
    }
    return best;
  }

  /** Once all rules are there. @param ports empty, for what is done with ports on the way */
  *prepare(now: Instant, ports: PortSet): Generator<void, void, void> {
    if (this.members.length <= FEW) return;
    const index = new GuestIndex();
    yield* index.fill(this.rules, this.members, now, ports);
    this.index = index;
  }

  private isOver(index: number, now: Instant): boolean {
    const { until = NEVER } = this.rules[index] ?? {};
    return now >= until;
  }

  /** The first member that is not in front of a rule. */
  private placeOf(index: number): number {
    const { members } = this;
    let low = 0;
    let high = index === 0 ? 0 : members.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((members[middle] ?? 0) < index) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Of rules whose time was not over when it was made. */
class GuestIndex {
  private forAll: WayIndex | undefined = undefined;
  private readonly byGuest = new Map<string, WayIndex>();

  *fill(
    rules: readonly PolicyRule[],
    members: readonly number[],
    now: Instant,
    ports: PortSet,
  ): Generator<void, void, void> {
    for (const index of members) {
      const rule = rules[index];
      if (rule === undefined || (rule.until !== undefined && now >= rule.until)) continue;
      this.of(rule.guest).add(rule, index);
      yield;
    }
    if (this.forAll !== undefined) yield* this.forAll.prepare(ports);
    for (const index of this.byGuest.values()) yield* index.prepare(ports);
  }

  first(kind: FlowKind, best: number): number {
    const way = wayOf(kind.protocol, kind.place);
    let found = this.forAll?.first(way, kind.port, best) ?? best;
    if (this.byGuest.size === 0) return found;
    for (const guest of kind.guests) {
      found = this.byGuest.get(guest)?.first(way, kind.port, found) ?? found;
    }
    return found;
  }

  firstOfNames(guests: readonly string[], best: number): number {
    let found = Math.min(this.forAll?.ofNames ?? best, best);
    for (const guest of guests) {
      found = Math.min(this.byGuest.get(guest)?.ofNames ?? best, found);
    }
    return found;
  }

  private of(guest: string | undefined): WayIndex {
    const known = guest === undefined ? this.forAll : this.byGuest.get(guest);
    if (known !== undefined) return known;
    const made = new WayIndex();
    if (guest === undefined) this.forAll = made;
    else this.byGuest.set(guest, made);
    return made;
  }
}

/** Of rules for one guest, or for all of them. */
class WayIndex {
  /** The first that says whether a name may be asked for. */
  ofNames: number = Number.POSITIVE_INFINITY;
  private lists: RuleOfPorts[][] = Array.from({ length: WAYS }, () => []);
  private readonly maps: (PortMap | undefined)[] = [];

  /** In ascending order. */
  add(rule: PolicyRule, index: number): void {
    if (decidesNames(rule)) this.ofNames = Math.min(this.ofNames, index);
    const of = { index, ports: rule.ports };
    for (const protocol of POLICY_PROTOCOLS) {
      for (const place of POLICY_PLACES) {
        if (isForWay(rule, protocol, place)) this.lists[wayOf(protocol, place)]?.push(of);
      }
    }
  }

  /** Once all are there. */
  *prepare(ports: PortSet): Generator<void, void, void> {
    const { lists } = this;
    this.lists = [];
    for (const [way, list] of lists.entries()) {
      const twin = lists.findIndex((other, at) => at <= way && isSame(other, list));
      if (twin < way) this.maps.push(this.maps[twin]);
      else this.maps.push(list.length === 0 ? undefined : yield* PortMap.inSteps(list, ports));
      yield;
    }
  }

  first(way: number, port: number, best: number): number {
    const found = this.maps[way]?.find(port) ?? NO_RULE;
    return found === NO_RULE || found >= best ? best : found;
  }
}

const isSame = (one: readonly RuleOfPorts[], other: readonly RuleOfPorts[]): boolean =>
  one.length === other.length && one.every((rule, i) => rule === other[i]);

const wayOf = (protocol: PolicyProtocol, place: PolicyPlace): number =>
  PROTOCOL_NUMBERS[protocol] * POLICY_PLACES.length + PLACE_NUMBERS[place];

const PROTOCOL_NUMBERS: Readonly<Record<PolicyProtocol, number>> = { tcp: 0, udp: 1, icmp: 2 };
const PLACE_NUMBERS: Readonly<Record<PolicyPlace, number>> = {
  host: 0,
  gateway: 1,
  guest: 2,
  private: 3,
  outside: 4,
};

const isInForce = (
  { guest, until }: PolicyRule,
  guests: readonly string[],
  now: Instant,
): boolean =>
  (until === undefined || now < until) && (guest === undefined || guests.includes(guest));

const matches = (rule: PolicyRule, { protocol, place, port }: FlowKind): boolean =>
  isForWay(rule, protocol, place) && (rule.ports === undefined || hasPort(rule.ports, port));

function isForWay(rule: PolicyRule, protocol: PolicyProtocol, place: PolicyPlace): boolean {
  if (rule.protocol !== undefined && rule.protocol !== protocol) return false;
  if (rule.ports !== undefined && protocol === 'icmp') return false;
  if (rule.place !== undefined && rule.place !== place) return false;
  return rule.action !== 'allow' || opens(rule, place);
}

/**
 * What lies near is opened only by a rule that means it: the host by its place and a port, guests and what hawser serves
 * by their places, networks of the neighbourhood by an address or their place, never by a name, whose addresses somebody
 * else chooses.
 */
function opens({ place, prefix, name, ports, protocol }: PolicyRule, to: PolicyPlace): boolean {
  switch (to) {
    case 'host':
      return place === 'host' && (ports !== undefined || protocol === 'icmp');
    case 'gateway':
    case 'guest':
      return place === to;
    case 'private':
      return place === 'private' || (name === undefined && prefix !== undefined);
    case 'outside':
      return true;
  }
}

/** Whether it is meant for what lies there, and opens some of it. */
const opensNear = (rule: PolicyRule, to: PolicyPlace): boolean =>
  (rule.prefix !== undefined || rule.place === to) && opens(rule, to);

const closesAll = ({ protocol, ports, place }: PolicyRule, to: PolicyPlace): boolean =>
  protocol === undefined && ports === undefined && (place === undefined || place === to);

/**
 * Whether it says that a name may be asked for, or that it may not: nothing is left to allow behind it. Places that are
 * not reached by a name that somebody else resolves allow none.
 */
export function decidesNames({ action, place, protocol, ports, name }: PolicyRule): boolean {
  if (action !== 'allow') {
    return protocol === undefined && ports === undefined && place === undefined;
  }
  return place === undefined || place === 'outside' || (place === 'private' && name !== undefined);
}

const hasPort = (ranges: readonly PortRange[], port: number): boolean =>
  ranges.some(({ from, to }) => port >= from && port <= to);
