/**
 * Which flows of guests go through an upstream proxy, by the rules in force; they may be replaced at any time, and are
 * then those of new flows. Where no proxy is configured nothing of this is asked.
 */
import { Counters } from '../../base/counters.ts';
import type { Clock, Instant } from '../../base/time.ts';
import { parseAddress } from '../../services/address-text.ts';
import {
  bypassesProxy,
  type ProxyRules,
  proxyFor,
  waitsForGuest,
} from '../../services/upstream-proxy/proxy-rules.ts';
import type { ProxyServer } from '../../services/upstream-proxy/proxy-server.ts';
import type { Datagram } from '../../stack/flow.ts';
import type { Outside } from '../flows/destination.ts';
import type { GuestNames } from '../flows/guest-names.ts';
import type { ProxyChoice, ProxyQuestion } from '../flows/proxied-destinations.ts';
import { HttpRelay } from './http-relay.ts';
import { ProxiedRoute } from './proxied-route.ts';
import type { ProxyDialDeps } from './proxy-dial.ts';
import type { RelayedDatagrams } from './relayed-datagrams.ts';
import type { RouteDeps } from './route-deps.ts';
import type { ProxiedCount } from './route-step.ts';
import { isSynthetic, SyntheticNames } from './synthetic-names.ts';

/** A client of TLS or HTTP that is a round trip away speaks within it; one that waits for the server does not speak at all. */
const WAIT_MS = 500;

export interface ProxiedFlowsDeps {
  readonly clock: Pick<Clock, 'now'>;
  readonly names: GuestNames;
  readonly dial: ProxyDialDeps;
  readonly onFailed: RouteDeps['onFailed'];
  readonly relays: RelayedDatagrams;
  /** Whether an address is one of the host's own. */
  readonly isHost: (address: string) => boolean;
  readonly waitMs?: number | undefined;
}

export class ProxiedFlows implements ProxyChoice {
  readonly counts: Counters<ProxiedCount> = new Counters();
  readonly routes: RouteDeps;
  readonly synthetic: SyntheticNames = new SyntheticNames();
  rules: ProxyRules;
  private readonly deps: ProxiedFlowsDeps;

  constructor(deps: ProxiedFlowsDeps, rules: ProxyRules) {
    this.deps = deps;
    this.rules = rules;
    const { dial, onFailed, waitMs = WAIT_MS } = deps;
    const count = (what: ProxiedCount): void => this.counts.add(what);
    this.routes = {
      ...{ dial, count, onFailed, waitMs },
      relay: new HttpRelay(dial, count),
      isKnown: ({ owner, remote }, name) =>
        deps.names.all(deps.clock.now(), owner, remote).includes(name),
    };
  }

  choose(question: ProxyQuestion): Outside | undefined {
    const { rules } = this;
    const { protocol, port, to, remote, owner } = question;
    if (rules.resolvesNames && isSynthetic(remote)) {
      const name = this.synthetic.nameAt(this.deps.clock.now(), owner, remote);
      return name === undefined ? undefined : this.through(question, name, true);
    }
    if (protocol === 'icmp') return to;
    const address = parseAddress(to.address) ?? remote;
    if (rules.exclude.hasAddress(address, port) || this.isOurs(to, port)) return to;
    const known = this.knownName(question);
    const isExcluded = known !== undefined && rules.exclude.hasName(known, port);
    const waits = protocol === 'tcp' && waitsForGuest(rules, port);
    if (isExcluded && !waits) return to;
    if (proxyFor(rules, protocol, port) !== undefined) return this.through(question, known, false);
    return protocol === 'udp' && bypassesProxy(rules, port) ? undefined : to;
  }

  /** @returns undefined where no proxy can do that */
  private through(
    question: ProxyQuestion,
    known: string | undefined,
    isSynthetic: boolean,
  ): Outside | undefined {
    const { rules, routes } = this;
    const { protocol, port, to } = question;
    if (protocol === 'icmp') return undefined;
    const { http, https, other } = rules;
    const anyOf = protocol === 'tcp' && isSynthetic ? (https ?? http ?? other) : undefined;
    const server = proxyFor(rules, protocol, port) ?? anyOf;
    if (server === undefined) return undefined;
    if (protocol === 'tcp') {
      const via = new ProxiedRoute(routes, rules, server, question, known, isSynthetic);
      return { ...to, via };
    }
    const host = known ?? to.address;
    const { relays } = this.deps;
    const relay = (now: Instant, datagram: Datagram): void =>
      relays.relay(now, datagram, server, host, question);
    return { ...to, relay: { relay } };
  }

  /** The host itself, and the proxies: what is on this side of them. */
  private isOurs({ address }: Outside, port: number): boolean {
    const { http, https, other } = this.rules;
    const { names } = this.deps.dial;
    const isAt = (server: ProxyServer | undefined): boolean =>
      server?.port === port && names.isAddressOf(server.host, address);
    return isAt(other) || isAt(https) || isAt(http) || this.deps.isHost(address);
  }

  /** By which the guest has found the address: the last that a policy allows too. */
  private knownName({ owner, remote, objectionTo }: ProxyQuestion): string | undefined {
    const { names, clock } = this.deps;
    const now = clock.now();
    if (objectionTo === undefined) return names.find(now, owner, remote);
    return names.all(now, owner, remote).findLast((name) => objectionTo(name) === undefined);
  }
}
