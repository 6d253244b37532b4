/**
 * What systemd-resolved and systemd-networkd keep of one link: its name servers, and the domains that these know. Both
 * write `KEY=values` in lines; a domain with `~` in front, or in ROUTE_DOMAINS, is not searched, and `.` is every name.
 */
import { parseAddress } from '../address-text.ts';
import { DNS_PORT } from './message.ts';
import type { DnsUpstream, DomainUpstream } from './resolv-conf.ts';

export interface LinkState {
  readonly servers: readonly DnsUpstream[];
  /** Lower case, without the last dot; '' is every name. */
  readonly domains: readonly string[];
  /** Whether its servers are for names in no domain. */
  readonly isDefault: boolean;
}

/** Of a link. */
const MAX_SERVERS = 8;
const MAX_DOMAINS = 256;
/** An address, perhaps in brackets with a port, with a zone, with the name of its certificate. */
const SERVER = /^(?:\[([^\]]+)\]|([^[\]%#]+?))(?::(\d{1,5}))?(%[\w.-]+)?(?:#.*)?$/;
const IPV6_SERVER = /^([0-9a-f:.]*:[0-9a-f:.]*:[0-9a-f:.]*)(%[\w.-]+)?(?:#.*)?$/i;

/** Never fails: what cannot be read is left out. */
export function parseLinkState(text: string): LinkState {
  const values = new Map<string, readonly string[]>();
  for (const line of text.split('\n')) {
    const [, key, value = ''] = /^([A-Z_]+)=(.*)$/.exec(line) ?? [];
    if (key !== undefined)
      values.set(
        key,
        value.split(/\s+/).filter((word) => word !== ''),
      );
  }
  const of = (key: string): readonly string[] => values.get(key) ?? [];
  const named = [...of('DOMAINS'), ...of('ROUTE_DOMAINS').map((domain) => `~${domain}`)];
  const [given] = [...of('DEFAULT_ROUTE'), ...of('DNS_DEFAULT_ROUTE')];
  const isRouted = named.some((domain) => domain.startsWith('~'));
  return {
    servers: [...of('SERVERS'), ...of('DNS')].flatMap(parseServer).slice(0, MAX_SERVERS),
    domains: [...new Set(named.map(domainName))].slice(0, MAX_DOMAINS),
    isDefault: given === undefined ? !isRouted : given === 'yes',
  };
}

/**
 * @param general servers of all links together
 * @returns those for names in no domain, and those of domains
 */
export function routesOfLinks(
  links: readonly LinkState[],
  general: readonly DnsUpstream[],
): { readonly general: readonly DnsUpstream[]; readonly domains: readonly DomainUpstream[] } {
  const domains = links.flatMap(({ servers, domains: names }) =>
    names.flatMap((domain) => servers.map((upstream) => ({ domain, upstream }))),
  );
  const isIn = (link: LinkState, { address, port }: DnsUpstream): boolean =>
    link.servers.some((server) => server.address === address && server.port === port);
  const others = general.filter((server) => {
    const owners = links.filter((link) => isIn(link, server));
    return owners.length === 0 || owners.some(({ isDefault }) => isDefault);
  });
  return { general: others.length > 0 ? others : general, domains };
}

const domainName = (text: string): string =>
  text.replace(/^~/, '').replace(/\.$/, '').toLowerCase();

function parseServer(text: string): readonly DnsUpstream[] {
  const [, ipv6, ipv6Zone = ''] = IPV6_SERVER.exec(text) ?? [];
  const [, bracketed, plain, digits, zone = ''] =
    ipv6 === undefined ? (SERVER.exec(text) ?? []) : [];
  const address = ipv6 ?? bracketed ?? plain ?? '';
  const port = digits === undefined ? DNS_PORT : Number(digits);
  const family = parseAddress(address)?.family;
  if (family === undefined || port < 1 || port > 65_535) return [];
  return [{ address: address + (family === 6 ? ipv6Zone + zone : ''), port }];
}
