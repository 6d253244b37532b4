/** What upstream proxies need of a network: loaded and made when there is one for the first time. */
import { encode } from 'dns-packet';
import type { IpAddress } from '../../base/ip-address.ts';
import type { Log } from '../../base/log.ts';
import type { Budget } from '../../base/shares/budget.ts';
import type { Clock } from '../../base/time.ts';
import type { ConnectOptions } from '../../native/stream/connect-stream.ts';
import type { DnsForwarder } from '../../proxy/dns/forwarder.ts';
import type { ProxiedNames } from '../../proxy/dns/proxied-names.ts';
import type { ProxyChoice } from '../../proxy/flows/proxied-destinations.ts';
import { HostLookup } from '../../proxy/host-lookup.ts';
import { type ExplicitDeps, ExplicitRoute } from '../../proxy/upstream-proxy/explicit-route.ts';
import { ProxiedDns } from '../../proxy/upstream-proxy/proxied-dns.ts';
import { ProxiedFlows } from '../../proxy/upstream-proxy/proxied-flows.ts';
import { ProxyReach } from '../../proxy/upstream-proxy/proxy-reach.ts';
import { RelayedDatagrams } from '../../proxy/upstream-proxy/relayed-datagrams.ts';
import { addressAnswers } from '../../services/dns/address-answers.ts';
import type { LocalNames } from '../../services/dns/local-names.ts';
import { readQuery } from '../../services/dns/message.ts';
import { NO_RULES, type ProxyRules } from '../../services/upstream-proxy/proxy-rules.ts';
import type { FlowId } from '../../stack/flow.ts';
import type { Guest } from '../../stack/guest.ts';
import type { DataPath } from '../data-path.ts';
import { flowFields } from '../notes.ts';

export interface ProxyPartsDeps {
  readonly dataPath: DataPath;
  readonly dns: DnsForwarder;
  readonly names: LocalNames;
  readonly gateway: readonly IpAddress[];
  /** Of the DNS forwarder. */
  readonly dnsProxied: { current: ProxiedNames | undefined };
  readonly options: ConnectOptions;
  readonly clock: Clock;
  readonly log: Log;
}

export class ProxyParts {
  private readonly deps: ProxyPartsDeps;
  readonly reach: ProxyReach;
  private readonly flows: ProxiedFlows;
  private readonly relays: RelayedDatagrams;
  private readonly proxiedDns: ProxiedDns;
  private readonly explicit: ExplicitDeps;
  private readonly listening = new Map<number, () => void>();

  constructor(deps: ProxyPartsDeps, rules: ProxyRules) {
    const { dataPath, options, clock, log, names } = deps;
    this.deps = deps;
    this.reach = new ProxyReach(log);
    const dial = { names: new HostLookup(), options, reach: this.reach };
    const onFailed = (id: FlowId, reason: string): void =>
      log.debug(flowFields(id, reason), 'proxied connection failed');
    this.relays = new RelayedDatagrams({ ...dataPath.shared, dial, onEnded: onFailed });
    dataPath.serveTime(this.relays);
    const { relays } = this;
    this.flows = new ProxiedFlows(
      {
        ...{ clock, dial, relays, onFailed, isHost: dataPath.isHost },
        names: dataPath.book.names,
      },
      rules,
    );
    this.proxiedDns = new ProxiedDns({
      ...{ names: this.flows.synthetic, dial, rules: () => this.flows.rules },
      ourselves: dataPath.stack.guests.nobody,
    });
    const { flows } = this;
    this.explicit = {
      routes: flows.routes,
      rules: () => flows.rules,
      destinations: dataPath.destinations,
      policy: dataPath.policy,
      isOurs: (name) => {
        const query = readQuery(queryFor(name, 'A'));
        return typeof query !== 'string' && names.answer(query) !== undefined;
      },
      resolve: (owner, name) => this.resolve(owner, name),
    };
  }

  get counts(): ProxiedFlows['counts'] {
    return this.flows.counts;
  }

  /**
   * @param rules undefined: everything goes by itself from now on
   * @param ports where the gateway is a proxy
   */
  use(rules: ProxyRules | undefined, ports: readonly number[]): void {
    this.flows.rules = rules ?? NO_RULES;
    this.reach.clear();
    const choice: ProxyChoice | undefined = rules === undefined ? undefined : this.flows;
    const { proxies } = this.deps.dataPath;
    proxies.current = choice;
    proxies.relays = choice === undefined ? undefined : this.relays;
    this.relays.closeAll('the upstream proxy has changed');
    this.deps.dnsProxied.current = rules?.resolvesNames === true ? this.proxiedDns : undefined;
    const wanted = rules === undefined ? [] : ports;
    for (const port of this.listening.keys()) if (!wanted.includes(port)) this.stop(port);
    for (const port of wanted) this.listen(port);
  }

  get budgets(): readonly Budget[] {
    return [this.relays.places, this.flows.synthetic.budget];
  }

  get relayed(): RelayedDatagrams['counts'] {
    return this.relays.counts;
  }

  forget(owner: Guest): void {
    this.flows.synthetic.forget(owner);
  }

  close(): void {
    this.relays.closeAll('closed');
    for (const port of this.listening.keys()) this.stop(port);
  }

  private listen(port: number): void {
    const { dataPath, gateway, log } = this.deps;
    if (this.listening.has(port)) return;
    try {
      const stop = dataPath.listeners.serve(gateway, port, (_now, request) => {
        dataPath.tcp.accept(request, new ExplicitRoute(this.explicit, request.owner));
      });
      this.listening.set(port, stop);
    } catch (error) {
      log.warn({ error, port }, 'the proxy at the gateway is not served');
    }
  }

  private stop(port: number): void {
    this.listening.get(port)?.();
    this.listening.delete(port);
  }

  /** As a guest would: what it may not ask for is not found, and what was found is remembered. */
  private async resolve(owner: Guest, name: string): Promise<readonly IpAddress[]> {
    const found = await Promise.all([this.ask(owner, name, 'A'), this.ask(owner, name, 'AAAA')]);
    return found.flat();
  }

  private ask(owner: Guest, name: string, type: 'A' | 'AAAA'): Promise<readonly IpAddress[]> {
    const { dns, dataPath, clock } = this.deps;
    return new Promise((resolve) => {
      const isAsked = dns.query(queryFor(name, type), 'tcp', owner, (reply) => {
        dataPath.book.names.learn(clock.now(), owner, reply);
        resolve(addressAnswers(reply)?.addresses.map(({ address }) => address) ?? []);
      });
      if (!isAsked) resolve([]);
    });
  }
}

const RECURSION_DESIRED = 0x0100;

const queryFor = (name: string, type: 'A' | 'AAAA'): Uint8Array =>
  new Uint8Array(
    encode({ type: 'query', id: 0, flags: RECURSION_DESIRED, questions: [{ name, type }] }),
  );
