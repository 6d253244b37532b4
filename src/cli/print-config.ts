import { stringify } from 'yaml';
import { MIB } from '../network/effective-config.ts';
import { domainText, upstreamText } from '../services/dns/upstream-text.ts';
import type { DaemonConfig } from './daemon-config.ts';

function apiText(api: DaemonConfig['api']): string | undefined {
  switch (api.kind) {
    case 'unix':
      return `unix:${api.path}`;
    case 'tcp':
      return `tcp:${api.address.includes(':') ? `[${api.address}]` : api.address}:${api.port}`;
    case 'none':
      return undefined;
  }
}

/** The effective configuration as YAML that `--config` reads back to the same. */
export function printConfig(options: DaemonConfig): string {
  const { dns, leases, api, log, policy, separation, audit, upstreamProxy } = options;
  const settings = {
    name: options.name,
    listen: options.listen,
    subnet: options.subnet,
    gateway: options.gateway,
    gatewayMac: options.gatewayMac,
    hostIp: options.hostIp ?? 'none',
    subnet6: options.ipv6.subnet,
    gateway6: options.ipv6.gateway,
    ipv6: options.ipv6.use,
    ipv6Mode: options.ipv6.mode,
    nat64: options.nat64.use,
    nat64Private: options.nat64.isForPrivate,
    ipv6Mostly: options.nat64.isIpv6Mostly,
    mtu: options.mtu,
    publish: options.publish,
    sourceAddress: options.sourceAddress,
    keepalive: options.keepaliveS,
    outboundAddress: options.outbound,
    mux: options.mux.links,
    muxAllow: options.mux.allow,
    guestApi: options.guestApi.enabled ? 'on' : 'off',
    guestApiBind: options.guestApi.bind,
    dns: dns.upstreams?.map(upstreamText),
    dnsDomain: dns.domains.map(domainText),
    dnsServer: dns.isServed ? 'on' : 'off',
    dnsAddress: dns.addresses,
    dnsFamily: dns.family,
    dnsCanaries: dns.hasCanaries,
    dnsOther: dns.others,
    dnsSearch: dns.search,
    dnsZone: dns.zones.map(({ zone, address }) => `${zone}=${address}`),
    hosts: dns.hostsFile,
    resolvConf: dns.resolvConf,
    leaseFile: leases.file,
    dhcpRange: leases.range && `${leases.range.first}-${leases.range.last}`,
    staticLease: leases.static.map(
      ({ mac, address, hostname, link }) =>
        `${mac}=${[address, hostname, link].filter((part) => part !== undefined).join()}`,
    ),
    api: apiText(api),
    apiTokenFile: api.kind === 'tcp' ? api.tokenFile : undefined,
    pidFile: options.pidFile,
    readyFd: options.readyFd,
    exitWithGuest: options.exitWithGuest,
    guestTimeout: options.guestTimeoutS,
    exitWithParent: options.exitWithParent,
    exitWithReadyFd: options.exitWithReadyFd,
    user: options.user,
    sandbox: options.sandbox,
    sandboxAllow: options.sandboxAllow,
    wsOrigin: options.wsOrigins,
    socketMode: options.socketMode.toString(8).padStart(4, '0'),
    policy: policy.file,
    allow: policy.allow,
    deny: policy.deny,
    upstreamProxy: upstreamProxy.servers,
    proxyExclude: upstreamProxy.exclude,
    proxyAuthFile: upstreamProxy.authFile,
    proxyUnnamed: upstreamProxy.unnamed,
    proxyNames: upstreamProxy.names,
    isolateGuests: separation.isolate,
    trustGuests: separation.trust,
    allowAddress: separation.allowed,
    hostAccess: options.hostAccess,
    allowMetadata: options.allowMetadata,
    vhostMemory: options.vhostMemory,
    verifyChecksums: options.verifyChecksums,
    busyPoll: options.busyPollUs,
    linkGrace: options.linkGraceMs / 1000,
    vpnkitMac: options.vpnkitMacs.map(({ uuid, mac }) => `${uuid}=${mac}`),
    auditLog: audit.file,
    audit: audit.isRequired ? 'required' : 'best-effort',
    auditSize: audit.maxBytes / MIB,
    pcap: options.pcapFile,
    logLevel: log.level,
    logFormat: log.format,
    logFile: log.file,
  };
  return stringify(settings, { keepUndefined: false });
}
