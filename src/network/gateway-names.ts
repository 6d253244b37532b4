/** The gateway's DNS: hawser's own names, the forwarder to the host's servers, and their service to guests. */
import type { IpAddress } from '../base/ip-address.ts';
import type { Log } from '../base/log.ts';
import type { Budget } from '../base/shares/budget.ts';
import type { Clock } from '../base/time.ts';
import {
  type AskAboutName,
  DnsForwarder,
  type DnsForwarderOptions,
} from '../proxy/dns/forwarder.ts';
import { DNS_PORT, GatewayDns } from '../proxy/dns/gateway-dns.ts';
import type { ProxiedNames } from '../proxy/dns/proxied-names.ts';
import type { DnsPolicy } from '../proxy/policy/dns-policy.ts';
import type { Prefix } from '../services/address-text.ts';
import { LocalNames, type UserZone } from '../services/dns/local-names.ts';
import { type Addresses, requiredAddress } from './addresses.ts';
import type { DnsConfig, DnsZone, NetworkConfig } from './config.ts';
import type { DataPath } from './data-path.ts';
import { gatewayAddresses } from './gateway.ts';
import type { GuestDirectory } from './guest-directory.ts';
import type { GuestLeases } from './guest-leases.ts';
import type { Ipv6Service } from './ipv6-service.ts';
import { namedGuests } from './named-guests.ts';
import { noteName } from './notes.ts';

/** @param networks of guests */
export const makeLocalNames = (
  config: NetworkConfig,
  { gateway, host, ipv6 }: Addresses,
  networks: readonly Prefix[],
  directory: GuestDirectory,
): LocalNames =>
  new LocalNames({
    gateway: present(gateway, ipv6?.gateway),
    host: present(host, ipv6?.host),
    zones: userZones(config.dns.zones),
    networks,
    hasCanaries: config.dns.hasCanaries,
    guests: config.separation.isolate ? undefined : namedGuests(directory),
  });

export interface DnsParts {
  readonly config: NetworkConfig;
  readonly names: LocalNames;
  readonly ipv6: Ipv6Service;
  readonly leases: GuestLeases;
  readonly sockets: Budget;
  readonly policy: DnsPolicy;
  readonly ask: AskAboutName | undefined;
  readonly onAnswer: DnsForwarderOptions['onAnswer'];
  readonly proxied: { readonly current: ProxiedNames | undefined };
  readonly clock: Clock;
  readonly log: Log;
}

export function makeDns({
  config,
  names,
  ipv6,
  leases,
  sockets,
  clock,
  policy,
  ask,
  onAnswer,
  proxied,
  log,
}: DnsParts): DnsForwarder {
  const { dns } = config;
  return new DnsForwarder({
    names,
    log,
    now: () => clock.now(),
    families: ipv6.families,
    upstreams: dns.upstreams,
    domains: dns.domains,
    hostsFile: dns.hostsFile,
    resolvConf: dns.resolvConf,
    onFailure: (query, rcode) => noteName(query, rcode, log),
    sockets,
    policy,
    ask,
    onAnswer,
    proxied,
    onNameServers: () => ipv6.onNameServers(),
    onSearch: (search) => {
      if (dns.search !== undefined) return;
      leases.setSearch(search);
      ipv6.onSearch(search);
    },
  });
}

export function serveDns(
  dns: DnsForwarder,
  dataPath: DataPath,
  addresses: Addresses,
  { isServed }: DnsConfig,
  clock: Clock,
): GatewayDns {
  const { stack, flusher, book, listeners } = dataPath;
  const served = new GatewayDns(dns, stack, clock, flusher, book);
  dataPath.serveTime(served);
  dataPath.ownDns.current = served;
  if (!isServed) return served;
  stack.serveUdp(DNS_PORT, served.onDatagram);
  listeners.serve(gatewayAddresses(addresses), DNS_PORT, (now, request) =>
    served.onRequest(now, request),
  );
  return served;
}

const present = (...addresses: readonly (IpAddress | undefined)[]): readonly IpAddress[] =>
  addresses.filter((address) => address !== undefined);

export const userZones = (zones: readonly DnsZone[]): UserZone[] =>
  zones.map(({ zone, address }) => ({ zone, address: requiredAddress(address) }));
