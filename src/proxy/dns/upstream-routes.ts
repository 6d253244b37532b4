/**
 * Which servers a query goes to: those of the longest domain that its name is in, whatever becomes of it there, else the
 * others. Domains that the user gave go before those of the host's links.
 *
 * systemd-resolved's stub knows the domains of links itself. It answers for clients without DNSSEC; queries of those with it
 * go to its pass-through first, and to the stub where there is none (systemd before 250).
 */
import type { Instant } from '../../base/time.ts';
import { type DnsQuery, FLAG_CD } from '../../services/dns/message.ts';
import type { DnsUpstream, DomainUpstream } from '../../services/dns/resolv-conf.ts';
import { passThroughOf } from '../../services/dns/resolved-stub.ts';
import type { SecureDeps } from './secure/secure-connection.ts';
import { type UpstreamState, Upstreams } from './upstreams.ts';

type Table = ReadonlyMap<string, Upstreams>;

export class UpstreamRoutes {
  private readonly deps: SecureDeps;
  private readonly general: Upstreams;
  /** With the pass-through in front; empty without one. */
  private readonly passThrough: Upstreams;
  private readonly given: Table;
  private ofLinks: Table = new Map();

  constructor(deps: SecureDeps, given: readonly DomainUpstream[]) {
    this.deps = deps;
    this.general = new Upstreams(deps);
    this.passThrough = new Upstreams(deps);
    this.given = this.table(given);
  }

  /** For what is in no domain. */
  get servers(): readonly DnsUpstream[] {
    return this.general.servers;
  }

  /** Of domains, the user's first. */
  get domains(): readonly DomainUpstream[] {
    return [...this.given, ...this.ofLinks].flatMap(([domain, { servers }]) =>
      servers.map((upstream) => ({ domain, upstream })),
    );
  }

  replace(servers: readonly DnsUpstream[]): void {
    this.general.replace(servers);
    const passThrough = passThroughOf(servers);
    this.passThrough.replace(passThrough === undefined ? [] : [passThrough, ...servers]);
  }

  replaceLinks(domains: readonly DomainUpstream[]): void {
    for (const upstreams of this.ofLinks.values()) upstreams.close();
    this.ofLinks = this.table(domains);
  }

  /**
   * @param query undefined: it cannot be read
   * @param rotate start with the next server each time
   */
  inOrder(query: DnsQuery | undefined, now: Instant, rotate: boolean): readonly UpstreamState[] {
    const name = query?.name ?? '';
    const own = match(this.given, name) ?? match(this.ofLinks, name);
    if (own !== undefined) return own.inOrder(now);
    const wantsAll = query?.edns?.dnssecOk === true || ((query?.flags ?? 0) & FLAG_CD) !== 0;
    if (wantsAll && this.passThrough.servers.length > 0) return this.passThrough.inOrder(now);
    return this.general.inOrder(now, rotate);
  }

  close(): void {
    this.general.close();
    this.passThrough.close();
    for (const table of [this.given, this.ofLinks]) {
      for (const upstreams of table.values()) upstreams.close();
    }
  }

  private table(domains: readonly DomainUpstream[]): Table {
    const table = new Map<string, Upstreams>();
    for (const [domain, servers] of grouped(domains)) {
      const upstreams = new Upstreams(this.deps);
      upstreams.replace(servers);
      table.set(domain, upstreams);
    }
    return table;
  }
}

function grouped(domains: readonly DomainUpstream[]): ReadonlyMap<string, DnsUpstream[]> {
  const groups = new Map<string, DnsUpstream[]>();
  for (const { domain, upstream } of domains) {
    const group = groups.get(domain);
    if (group === undefined) groups.set(domain, [upstream]);
    else group.push(upstream);
  }
  return groups;
}

/** The longest domain that `name` is or is below; '' is every name. */
function match(table: Table, name: string): Upstreams | undefined {
  if (table.size === 0) return undefined;
  for (let domain = name; domain !== ''; ) {
    const found = table.get(domain);
    if (found !== undefined) return found;
    const dot = domain.indexOf('.');
    domain = dot < 0 ? '' : domain.slice(dot + 1);
  }
  return table.get('');
}
