/**
 * The resolver obeys the policy: what a guest may not ask for never leaves hawser. A denied name does not exist, for a few
 * seconds, so that an approval is felt at once; a name above one that is allowed exists and has no data, so that what is
 * below it is still asked for (RFC 8020). Whose name was asked for and allowed may still not lead where it likes: addresses
 * of the host, of private networks and of the cloud's metadata are left out of answers, unless a rule opens them as such.
 * A policy that observes decides the same, and every answer stays as it is.
 */
import { cutText } from '../../base/cut-text.ts';
import { type IpAddress, ipv4, setWords } from '../../base/ip-address.ts';
import type { Instant } from '../../base/time.ts';
import type { Marked } from '../../services/dns/cache.ts';
import {
  type DnsQuery,
  NOERROR,
  NXDOMAIN,
  SERVFAIL,
  TYPE_A,
  TYPE_AAAA,
  TYPE_CNAME,
  TYPE_HTTPS,
  TYPE_MX,
  TYPE_PTR,
  TYPE_SRV,
  TYPE_SVCB,
} from '../../services/dns/message.ts';
import { plainQuery } from '../../services/dns/plain-query.ts';
import { type AnswerRules, policedAnswer } from '../../services/dns/policed-answer.ts';
import { EDE_BLOCKED, errorReply, localReply } from '../../services/dns/reply.ts';
import { isWhole, reverseNetwork } from '../../services/dns/reverse-name.ts';
import { soa } from '../../services/dns/soa.ts';
import type { PolicyEngine } from '../../services/policy/policy-engine.ts';
import { statedName } from '../../services/sniff/host-name.ts';
import type { Guest } from '../../stack/guest.ts';
import type { AddressMap } from '../address-map.ts';
import { type GuestPolicy, whyNotAsked } from './guest-policy.ts';
import { NewNames } from './new-names.ts';

const TTL_S = 5;
const TEXT_CHARS = 200;
const NEAR = 'its addresses are of the host or of private networks';
const NO_TYPE = 'not a type that guests may ask for';
const TOO_MANY = 'too many new names in a minute';
const TYPE_TXT = 16;
const OPEN_MAX = 4_096;
/** The host may be given an address that was outside. */
const PASSED_MS = 1_000;
/** Of allowed names. */
const TYPES: ReadonlySet<number> = new Set([
  ...[TYPE_A, TYPE_AAAA, TYPE_HTTPS, TYPE_SVCB, TYPE_CNAME, TYPE_MX, TYPE_SRV, TYPE_TXT],
]);

/**
 * Called for each query of a guest that is denied, or would be.
 *
 * @param rule or what else is in the way
 */
export type OnNameDenied = (owner: Guest, name: string, rule: string, isObserved: boolean) => void;

/** Every guest may have it as it is. */
class Passed {
  readonly engine: PolicyEngine;
  readonly until: Instant;

  constructor(engine: PolicyEngine, until: Instant) {
    this.engine = engine;
    this.until = until;
  }
}

/** What is to be known of an answer. */
export interface AnswerTrace {
  isDenied: boolean;
}

export interface DnsPolicyDeps {
  readonly policy: GuestPolicy;
  readonly addresses: Pick<AddressMap, 'kindOf'>;
  /** Who asks for hawser's own needs, which are no guest's. */
  readonly ourselves: Guest;
  readonly onDenied?: OnNameDenied | undefined;
}

export class DnsPolicy {
  private readonly deps: DnsPolicyDeps;
  private readonly newNames = new NewNames();
  /** Names that by `openIn` every guest may ask for at any time, as far as they were asked for. */
  private readonly open = new Set<string>();
  private openIn: PolicyEngine | undefined = undefined;
  /** Whether what is found out about the answer at hand holds for every guest. */
  private isForAll = false;
  private readonly words = new Int32Array(4);

  constructor(deps: DnsPolicyDeps) {
    this.deps = deps;
  }

  /** Whether a query whose name cannot be read is refused: a denied one may be in it. */
  get refusesUnreadable(): boolean {
    const { engine } = this.deps.policy;
    return engine !== undefined && engine.mode === 'enforce' && engine.deniesNames;
  }

  /** @returns what of a query goes to a server of others: where names are denied, nothing that could hold one */
  sent(query: DnsQuery): Uint8Array {
    return this.refusesUnreadable ? plainQuery(query) : query.bytes;
  }

  /** @returns the answer to a query that may not be asked; undefined: it may */
  refusal(owner: Guest, query: DnsQuery, now: Instant): Uint8Array | undefined {
    const { policy, ourselves } = this.deps;
    const { engine } = policy;
    if (engine === undefined || owner === ourselves || this.isOpen(engine, query)) return undefined;
    const stated = statedName(query.name);
    const name = stated ?? query.name;
    if (isStrict(engine)) {
      const { text } = engine.byDefault;
      if (query.type === TYPE_PTR) {
        const isAsked = this.isAsked(owner, query.name);
        return isAsked ? undefined : this.deny(engine, owner, query, NXDOMAIN, text);
      }
      if (stated === undefined) return this.deny(engine, owner, query, NXDOMAIN, text);
    }
    const verdict = policy.judgeName(owner, name, now);
    if (verdict !== 'allow') {
      const by = policy.ruleOfName(engine, owner, name);
      const rcode = verdict === 'deny' ? NXDOMAIN : NOERROR;
      return this.deny(engine, owner, query, rcode, by.text, whyNotAsked(by));
    }
    if (isStrict(engine) && !TYPES.has(query.type)) {
      return this.deny(engine, owner, query, NOERROR, NO_TYPE);
    }
    if (stated === query.name && engine.isOpenToAll(stated)) this.noteOpen(engine, stated);
    return undefined;
  }

  private isOpen(engine: PolicyEngine, { name, type }: DnsQuery): boolean {
    return engine === this.openIn && this.open.has(name) && TYPES.has(type);
  }

  private noteOpen(engine: PolicyEngine, name: string): void {
    if (engine !== this.openIn || this.open.size === OPEN_MAX) this.open.clear();
    this.openIn = engine;
    this.open.add(name);
  }

  /**
   * Before a query is sent to a server of others.
   *
   * @returns the answer to one that is too much for now; undefined: it may be sent
   */
  excess(owner: Guest, query: DnsQuery, now: Instant): Uint8Array | undefined {
    const { engine } = this.deps.policy;
    if (engine === undefined || !isStrict(engine)) return undefined;
    if (owner === this.deps.ourselves || this.newNames.take(now, owner, query.name)) {
      return undefined;
    }
    if (!this.onDenied(engine, owner, query, TOO_MANY)) return undefined;
    return errorReply(query, SERVFAIL, { code: EDE_BLOCKED, text: TOO_MANY });
  }

  /** @returns what of an answer by others `owner` gets */
  police(owner: Guest, query: DnsQuery, reply: Uint8Array, trace: AnswerTrace): Uint8Array {
    const { policy, ourselves } = this.deps;
    const { engine } = policy;
    if (engine === undefined || owner === ourselves) return reply;
    const isObserved = engine.mode === 'observe';
    const policed = policedAnswer(query, reply, this.rulesOf(engine, owner, query.name));
    switch (policed.kind) {
      case 'answer':
        return isObserved ? reply : policed.reply;
      case 'no-address':
        return this.denied(reply, this.deny(engine, owner, query, NOERROR, NEAR), trace);
      case 'denied-alias': {
        const { text } = policy.ruleOfName(engine, owner, policed.name);
        const why = `an alias of ${policed.name}: ${text}`;
        return this.denied(reply, this.deny(engine, owner, query, NXDOMAIN, why), trace);
      }
      case 'malformed':
        return isObserved ? reply : errorReply(query, SERVFAIL);
    }
  }

  /** As {@link police}, of one that is kept: what every guest may have as it is, is not looked at again for a short time. */
  policeKept(
    owner: Guest,
    query: DnsQuery,
    reply: Uint8Array,
    trace: AnswerTrace,
    kept: Marked,
    now: Instant,
  ): Uint8Array {
    const { engine } = this.deps.policy;
    const { mark } = kept;
    if (mark instanceof Passed && mark.engine === engine && now < mark.until) return reply;
    this.isForAll = true;
    const policed = this.police(owner, query, reply, trace);
    if (
      engine !== undefined &&
      policed === reply &&
      this.isForAll &&
      owner !== this.deps.ourselves
    ) {
      kept.mark = new Passed(engine, now + PASSED_MS);
    }
    return policed;
  }

  /** @param denial undefined: it is only observed */
  private denied(
    reply: Uint8Array,
    denial: Uint8Array | undefined,
    trace: AnswerTrace,
  ): Uint8Array {
    if (denial !== undefined) trace.isDenied = true;
    return denial ?? reply;
  }

  /** @returns whether it is denied, and not only observed */
  private onDenied(
    engine: PolicyEngine,
    owner: Guest,
    { name }: DnsQuery,
    rule: string,
    whyNot?: string,
  ): boolean {
    const isRuled = whyNot !== undefined;
    const isDenied = this.deps.policy.denyName(engine, owner, name, whyNot ?? rule, isRuled);
    this.deps.onDenied?.(owner, name, rule, !isDenied);
    return isDenied;
  }

  /**
   * @param rule or what else is in the way
   * @param whyNot the rules for names deny it: as the list of denials has it
   * @returns undefined: it is only observed
   */
  private deny(
    engine: PolicyEngine,
    owner: Guest,
    query: DnsQuery,
    rcode: number,
    rule: string,
    whyNot?: string,
  ): Uint8Array | undefined {
    if (!this.onDenied(engine, owner, query, rule, whyNot)) return undefined;
    const zone = statedName(query.name) ?? '.';
    const text = cutText(`the policy does not allow it: ${rule}`, TEXT_CHARS);
    const records = { answers: [], authorities: [soa(zone, TTL_S)] };
    return localReply(query, rcode, { ...records, error: { code: EDE_BLOCKED, text } });
  }

  private rulesOf(engine: PolicyEngine, owner: Guest, name: string): AnswerRules {
    const { policy } = this.deps;
    return {
      opens: (address) => this.opens(engine, owner, name, address),
      deniesAlias: (alias) => {
        this.isForAll = false;
        const verdict = policy.ruleOfName(engine, owner, alias);
        return verdict.action !== 'allow' && verdict !== engine.byDefault;
      },
    };
  }

  /** By the address, and by those that it carries. */
  private opens(engine: PolicyEngine, owner: Guest, name: string, address: IpAddress): boolean {
    if (!this.opensOne(engine, owner, name, address)) return false;
    const isClosed = (word: number): true | undefined =>
      this.opensOne(engine, owner, name, ipv4(word)) ? undefined : true;
    return this.deps.policy.objectionToCarried(address, isClosed) === undefined;
  }

  private opensOne(engine: PolicyEngine, owner: Guest, name: string, address: IpAddress): boolean {
    setWords(this.words, address);
    const kind = this.deps.addresses.kindOf(this.words, 0);
    const { policy } = this.deps;
    const place = policy.placeOfAnswer(address, kind);
    if (place === 'outside') return true;
    this.isForAll = false;
    return place !== undefined && policy.opensNear(engine, owner, name, address, place);
  }

  /** Whether a name stands for an address that the guest was given. */
  private isAsked(owner: Guest, name: string): boolean {
    const network = reverseNetwork(name);
    if (network === undefined || !isWhole(network)) return false;
    return this.deps.policy.hasAsked(owner, network.address);
  }
}

/** What no rule allows is not asked for. */
const isStrict = (engine: PolicyEngine): boolean => engine.byDefault.action === 'deny';
