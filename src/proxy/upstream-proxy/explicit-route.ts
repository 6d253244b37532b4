/**
 * A guest's connection to the proxy at the gateway: each request, and each CONNECT, names its destination. What is ours
 * or excluded is looked up as the guest itself would, and may be reached as it may reach that; for everything else the
 * upstream proxy is asked by name, where the policy allows the name.
 */
import { type IpAddress, ipv4, setWords } from '../../base/ip-address.ts';
import { parseAddress } from '../../services/address-text.ts';
import type { PolicyPlace } from '../../services/policy/policy.ts';
import type { PolicyEngine } from '../../services/policy/policy-engine.ts';
import { type ProxyRules, proxyFor } from '../../services/upstream-proxy/proxy-rules.ts';
import type { ProxyServer } from '../../services/upstream-proxy/proxy-server.ts';
import type { FlowId } from '../../stack/flow.ts';
import type { Guest } from '../../stack/guest.ts';
import type { Destinations } from '../flows/destinations.ts';
import type { AcceptedFirst, Via, WhenSpliceOver } from '../flows/via.ts';
import type { NameCheck } from '../inspect/name-check.ts';
import type { GuestPolicy, Judged, PolicyTarget } from '../policy/guest-policy.ts';
import { PolicyCheck, type Stating } from '../policy/policy-check.ts';
import type { PumpContext } from '../stream/stream-pump.ts';
import { RelayedSplice } from './relayed-splice.ts';
import type { RouteDeps } from './route-deps.ts';
import type { RelayClient, RouteStep } from './route-step.ts';

export interface ExplicitDeps {
  readonly routes: RouteDeps;
  readonly rules: () => ProxyRules;
  readonly destinations: Pick<Destinations, 'decide'>;
  readonly policy: GuestPolicy;
  /** Whether the name is one of our own. */
  readonly isOurs: (name: string) => boolean;
  /** The addresses that the guest would get for a name. */
  readonly resolve: (owner: Guest, name: string) => Promise<readonly IpAddress[]>;
}

/** An address of the Internet that no rule is for (RFC 5737). */
const ANYWHERE = ipv4(0xc000_0201 | 0);

const targetAt = (port: number): PolicyTarget => ({
  ...{ protocol: 'tcp', kind: 'outside', remote: ANYWHERE, address: ANYWHERE, port },
});

export class ExplicitRoute implements Pick<Via, 'accept'>, RelayClient {
  readonly isExplicit = true;
  private readonly own: ExplicitDeps;
  private readonly owner: Guest;
  private readonly words = new Int32Array(4);

  constructor(own: ExplicitDeps, owner: Guest) {
    this.own = own;
    this.owner = owner;
  }

  accept(context: PumpContext, id: FlowId, whenOver: WhenSpliceOver): AcceptedFirst {
    const { relay, count } = this.own.routes;
    count('explicit');
    return new RelayedSplice(relay, this, context, id, whenOver);
  }

  async stepOf(host: string | undefined, port: number): Promise<RouteStep> {
    if (host === undefined) return denied('the request names no host');
    const address = parseAddress(host.replace(/^\[|\]$/g, ''));
    if (address !== undefined) return this.stepByAddress(address, port, undefined);
    const { isOurs, rules } = this.own;
    if (isOurs(host) || rules().exclude.hasName(host, port) || this.serverFor(port) === undefined) {
      return await this.stepByLookup(host, port);
    }
    return this.stepByName(host, port);
  }

  /** A name that a rule of names has allowed is held to, as on every other way. */
  checkIn(host: string, port: number): NameCheck | undefined {
    const { own, owner } = this;
    const { policy } = own;
    const { engine } = policy;
    const judged = this.judge(host, port);
    if (engine?.mode !== 'enforce' || judged?.verdict.byName !== true) return undefined;
    const onStatedDenied = (_: Stating, why: string, name: string | undefined): void => {
      policy.counts.add('denied-by-inspection');
      const text = `${why}, in a tunnel to ${host}`;
      this.lists(engine, name ?? host, port, judged.place, text);
      this.deny(text);
    };
    const reports = { onStatedAllowed: () => {}, onStatedDenied };
    return new PolicyCheck({ policy, engine, owner, target: targetAt(port), judged, reports });
  }

  /** @returns undefined: there is no policy */
  private judge(name: string, port: number): Judged | undefined {
    const { policy } = this.own;
    const { engine } = policy;
    return engine && policy.judgeBy(engine, policy.callsOf(this.owner), targetAt(port), [name]);
  }

  /** Whatever the port, a client of a proxy has asked for one. */
  private serverFor(port: number): ProxyServer | undefined {
    const rules = this.own.rules();
    return (
      proxyFor(rules, 'tcp', port) ?? (port === 443 ? rules.https : (rules.http ?? rules.https))
    );
  }

  private stepByName(name: string, port: number): RouteStep {
    const { policy } = this.own;
    const { engine } = policy;
    const judged = this.judge(name, port);
    if (engine === undefined || judged === undefined) return this.proxied(name, port);
    const { verdict, place } = judged;
    if (verdict.action !== 'allow') {
      const why = `${name}: ${verdict.text}`;
      const isDenied = this.lists(engine, name, port, place, why);
      policy.counts.add(isDenied ? 'denied' : 'observed');
      if (isDenied) return this.deny(why);
    }
    return this.proxied(name, port);
  }

  /** A name that was stated is listed as denied. @returns whether it is, and not only observed */
  private lists(
    engine: PolicyEngine,
    name: string,
    port: number,
    place: PolicyPlace,
    why: string,
  ): boolean {
    const { owner } = this;
    const tried = { name, address: undefined, port, place, why, isStated: true } as const;
    return this.own.policy.deny(engine, { ...tried, owner, protocol: 'tcp' });
  }

  private async stepByLookup(name: string, port: number): Promise<RouteStep> {
    const addresses = await this.own.resolve(this.owner, name);
    let last: RouteStep = { kind: 'failed', why: `${name} cannot be resolved` };
    for (const address of addresses) {
      last = this.stepByAddress(address, port, name);
      if (last.kind !== 'denied') return last;
    }
    return last;
  }

  /** @param name by which it was found, and which is not for the proxy */
  private stepByAddress(address: IpAddress, port: number, name: string | undefined): RouteStep {
    setWords(this.words, address);
    const to = this.own.destinations.decide(this.owner, 'tcp', this.words, 0, port);
    if (to.kind === 'gateway') return this.deny(`${address} is the gateway itself`);
    if (to.kind === 'dns') return this.deny(`${address} is a resolver: ${to.verdict.rule}`);
    if (to.kind === 'refused') return this.deny(`${address} is not to be reached: ${to.why}`);
    const claim = { by: 'http', name: name ?? address.toString(), hello: undefined } as const;
    const why = to.check?.onClaim(claim);
    if (why !== undefined) return this.deny(why);
    if (to.via !== undefined && name === undefined) return this.proxied(to.address, port);
    return { kind: 'direct', address: to.address, port };
  }

  private proxied(host: string, port: number): RouteStep {
    const server = this.serverFor(port);
    if (server === undefined) return { kind: 'failed', why: 'there is no upstream proxy any more' };
    return { kind: 'proxy', server, target: { host, port } };
  }

  private deny(why: string): Denied {
    this.own.routes.count('denied');
    return denied(why);
  }
}

type Denied = Extract<RouteStep, { readonly kind: 'denied' }>;

const denied = (why: string): Denied => ({ kind: 'denied', why });
