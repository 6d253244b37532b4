/** From checked settings to the effective configuration: fill in defaults, then check values against each other. */

import { devNull } from 'node:os';
import { resolve } from 'node:path';
import { DEFAULT_BIND_RULES } from '../control/ports/bind-rules.ts';
import { KEEPALIVE_DEFAULT_S } from '../native/stream/keepalive-options.ts';
import { PRIVATE_SOCKET_MODE } from '../native/unix-listener.ts';
import { parsePublish } from '../proxy/ports/publish-text.ts';
import { descriptorsOf, listensAt, parseLinkSpec } from '../transports/link-spec.ts';
import { muxLinkListensAt, parseMuxLink } from '../transports/mux/mux-link-spec.ts';
import type { AuditConfig, NetworkConfig } from './config.ts';
import { guestAddressFaults, OWN } from './guest-address.ts';
import { splitAllowedAddress } from './guest-separation.ts';
import {
  firstUsable,
  formatNetwork,
  isLinkLocal4,
  isUsable,
  lastUsable,
  networkOf,
} from './ipv4-text.ts';
import { MIN_IPV6_MTU, uniqueLocalSubnet } from './ipv6-text.ts';
import type { NetworkSettings } from './network-settings.ts';
import type { OptionProblem } from './option-problem.ts';
import { parseLink } from './option-values.ts';
import { dnsAddressProblems, gateway6Problems, outboundProblems } from './own-address-problems.ts';

const DEFAULT_SUBNET = '192.168.127.0/24';
/** Of an instance that was given none. */
export const DEFAULT_NAME = 'default';
/** As gvproxy and VPNKit have it. */
export const GATEWAY_MAC = '5a:94:ef:e4:0c:dd';
const DEFAULT_MTU = 1_500;
const DEFAULT_LINK_GRACE_S = 60;
const AUDIT_SIZE_MIB = 64;
export const MIB: number = 1024 * 1024;

/** A Unix socket or file of the configuration, and the option that it comes from. */
export interface ConfiguredPath {
  readonly key: string;
  readonly index?: number | undefined;
  readonly path: string;
}

/**
 * @param settings as returned by `checkSettings`
 * @param name of the instance
 */
export function effectiveConfig(
  settings: Partial<NetworkSettings>,
  name: string = DEFAULT_NAME,
): NetworkConfig {
  const subnet = settings.subnet ?? DEFAULT_SUBNET;
  const network = networkOf(subnet);
  const hostAccess = settings.hostAccess ?? true;
  const uniqueLocal = uniqueLocalSubnet(name);
  const hostIp = settings.hostIp ?? (hostAccess ? lastUsable(network) : 'none');
  return {
    listen: settings.listen?.map(absoluteLink) ?? [],
    subnet,
    gateway: settings.gateway ?? firstUsable(network),
    gatewayMac: settings.gatewayMac ?? GATEWAY_MAC,
    hostIp: hostIp === 'none' ? undefined : hostIp,
    ipv6: {
      use: settings.ipv6 ?? 'auto',
      subnet: settings.subnet6 ?? uniqueLocal,
      gateway: settings.gateway6,
      uniqueLocal,
      mode: settings.ipv6Mode ?? 'both',
    },
    nat64: {
      use: settings.nat64 ?? 'auto',
      isForPrivate: settings.nat64Private ?? false,
      isIpv6Mostly: settings.ipv6Mostly ?? false,
    },
    mtu: settings.mtu ?? DEFAULT_MTU,
    publish: settings.publish ?? [],
    sourceAddress: settings.sourceAddress ?? 'preserve',
    keepaliveS: settings.keepalive ?? KEEPALIVE_DEFAULT_S,
    mux: { links: settings.mux ?? [], allow: settings.muxAllow ?? [] },
    outbound: settings.outboundAddress ?? [],
    guestApi: {
      enabled: settings.guestApi ?? false,
      bind: settings.guestApiBind ?? DEFAULT_BIND_RULES,
    },
    dns: {
      isServed: settings.dnsServer ?? true,
      upstreams: settings.dns,
      domains: settings.dnsDomain ?? [],
      addresses: settings.dnsAddress ?? [],
      family: settings.dnsFamily ?? 'auto',
      hasCanaries: settings.dnsCanaries ?? false,
      others: settings.dnsOther ?? (settings.dnsServer === false ? 'allow' : 'redirect'),
      search: settings.dnsSearch,
      zones: settings.dnsZone ?? [],
      hostsFile: absolutePath(settings.hosts),
      resolvConf: absolutePath(settings.resolvConf),
    },
    leases: {
      file: absolutePath(settings.leaseFile),
      range: settings.dhcpRange,
      static: (settings.staticLease ?? []).map(({ link, ...lease }) => ({
        ...lease,
        link: link === undefined ? undefined : absoluteName(link),
      })),
    },
    policy: {
      file: absolutePath(settings.policy),
      allow: settings.allow ?? [],
      deny: settings.deny ?? [],
    },
    upstreamProxy: {
      servers: settings.upstreamProxy ?? [],
      exclude: settings.proxyExclude ?? [],
      authFile: absolutePath(settings.proxyAuthFile),
      unnamed: settings.proxyUnnamed ?? 'connect',
      names: settings.proxyNames,
    },
    separation: {
      isolate: settings.isolateGuests ?? false,
      trust: settings.trustGuests ?? false,
      allowed: settings.allowAddress?.map(absoluteAllowedAddress) ?? [],
    },
    wsOrigins: settings.wsOrigin ?? [],
    socketMode: settings.socketMode ?? PRIVATE_SOCKET_MODE,
    hostAccess,
    allowMetadata: settings.allowMetadata ?? false,
    vhostMemory: settings.vhostMemory ?? 'sealed',
    verifyChecksums: settings.verifyChecksums ?? true,
    busyPollUs: settings.busyPoll,
    linkGraceMs: (settings.linkGrace ?? DEFAULT_LINK_GRACE_S) * 1000,
    vpnkitMacs: settings.vpnkitMac ?? [],
    audit: auditOf(settings),
    pcapFile: absolutePath(settings.pcap),
  };
}

function auditOf({
  auditLog,
  audit,
  auditSize = AUDIT_SIZE_MIB,
}: Partial<NetworkSettings>): AuditConfig {
  const maxBytes = auditSize * MIB;
  return { file: absolutePath(auditLog), isRequired: audit === 'required', maxBytes };
}

export const absolutePath = (path: string | undefined): string | undefined =>
  path === undefined ? undefined : resolve(path);

function absoluteLink(text: string): string {
  const spec = parseLinkSpec(text);
  if ('remote' in spec) return `${spec.scheme}:${resolve(spec.path)},${resolve(spec.remote)}`;
  if (spec.scheme === 'ws') return text;
  if ('path' in spec) return `${spec.scheme}:${resolve(spec.path)}`;
  return 'address' in spec && 'path' in spec.address
    ? `${spec.scheme}:${resolve(spec.address.path)}`
    : text;
}

/** Of a link, which may be one that the embedding program names. */
const absoluteName = (text: string): string =>
  'value' in parseLink(text) ? absoluteLink(text) : text;

function absoluteAllowedAddress(text: string): string {
  const [link, address] = splitAllowedAddress(text);
  const known = parseLink(link);
  return 'value' in known ? `${absoluteLink(link)}=${address}` : text;
}

/** @returns contradictions between addresses and publications */
export function addressProblems(config: NetworkConfig): OptionProblem[] {
  const { gateway, hostIp, hostAccess, publish, mux } = config;
  const network = networkOf(config.subnet);
  const subnet = formatNetwork(network);
  const isInside = (address: string): boolean => isUsable(network, address);
  const problems: OptionProblem[] = [];
  const inside = `must be inside the subnet ${subnet}, and neither its first nor its last address`;
  if (!isInside(gateway)) problems.push({ key: 'gateway', value: gateway, why: inside });
  if (hostIp !== undefined && !isInside(hostIp) && !isLinkLocal4(hostIp)) {
    problems.push({ key: 'hostIp', value: hostIp, why: inside });
  }
  if (hostIp !== undefined && !hostAccess) {
    const why = 'must be none, or left out, where guests have no access to the host';
    problems.push({ key: 'hostIp', value: hostIp, why });
  }
  const { range } = config.leases;
  if (range !== undefined && !(isInside(range.first) && isInside(range.last))) {
    problems.push({ key: 'dhcpRange', value: `${range.first}-${range.last}`, why: inside });
  }
  problems.push(...dnsAddressProblems(config), ...outboundProblems(config));
  for (const [index, text] of publish.entries()) {
    const guest = parsePublish(text)[0]?.guestAddress;
    if (guest === undefined) continue;
    for (const fault of guestAddressFaults(config, guest)) {
      if (fault !== OWN && mux.links.length > 0) continue;
      problems.push({ key: 'publish', index, value: text, why: `the guest's address ${fault}` });
    }
  }
  return problems;
}

export function auditProblems({ audit }: Pick<NetworkConfig, 'audit'>): OptionProblem[] {
  if (!audit.isRequired || audit.file !== undefined) return [];
  return [{ key: 'audit', value: 'required', why: 'needs auditLog (--audit-log), the file' }];
}

/** @returns contradictions between the options of IPv6 */
export function ipv6Problems(config: NetworkConfig): OptionProblem[] {
  const { ipv6, nat64, mtu } = config;
  const problems = gateway6Problems(config);
  if (ipv6.use === 'on' && ipv6.subnet === 'none') {
    problems.push({ key: 'subnet6', value: 'none', why: 'contradicts ipv6: on' });
  }
  if (ipv6.use === 'on' && mtu < MIN_IPV6_MTU) {
    const why = `must be ${MIN_IPV6_MTU} or more with ipv6: on (RFC 8200)`;
    problems.push({ key: 'mtu', value: mtu, why });
  }
  if (nat64.use === 'on' && (ipv6.use === 'off' || ipv6.subnet === 'none')) {
    problems.push({ key: 'nat64', value: 'on', why: 'needs IPv6 for guests, which is off' });
  }
  if (nat64.use === 'off' && nat64.isForPrivate) {
    problems.push({ key: 'nat64Private', why: 'contradicts nat64: off' });
  }
  if (nat64.use === 'off' && nat64.isIpv6Mostly) {
    const why = 'needs NAT64, by which such guests reach IPv4: it contradicts nat64: off';
    problems.push({ key: 'ipv6Mostly', why });
  }
  return problems;
}

/** @returns links whose path is too long once it is absolute, and those on one descriptor */
export function linkProblems({ listen }: NetworkConfig): OptionProblem[] {
  const problems: OptionProblem[] = [];
  const taken = new Set<number>();
  for (const [index, text] of listen.entries()) {
    const link = parseLink(text);
    const about = { key: 'listen', index, value: text };
    if ('problem' in link) {
      problems.push({ ...about, why: link.problem });
      continue;
    }
    const descriptors = descriptorsOf(link.value);
    if (descriptors.some((fd) => taken.has(fd))) {
      problems.push({ ...about, why: 'must be on a descriptor that no other link has' });
    }
    for (const fd of descriptors) taken.add(fd);
  }
  return problems;
}

export function configuredSockets({
  listen,
  mux,
}: Pick<NetworkConfig, 'listen' | 'mux'>): ConfiguredPath[] {
  const sockets: ConfiguredPath[] = [];
  for (const [index, text] of listen.entries()) {
    const link = parseLink(text);
    const at = 'value' in link ? listensAt(link.value) : undefined;
    if (at !== undefined && 'path' in at) sockets.push({ key: 'listen', index, path: at.path });
  }
  for (const [index, text] of mux.links.entries()) {
    const path = muxLinkListensAt(parseMuxLink(text));
    if (path !== undefined) sockets.push({ key: 'mux', index, path });
  }
  return sockets;
}

export const configuredFiles = ({
  dns,
  leases,
  pcapFile,
  policy,
  audit,
  upstreamProxy,
}: NetworkConfig): ConfiguredPath[] =>
  namedFiles({
    ...{ hosts: dns.hostsFile, resolvConf: dns.resolvConf },
    ...{ leaseFile: leases.file, pcap: pcapFile, policy: policy.file },
    auditLog: audit.file,
    proxyAuthFile: upstreamProxy.authFile,
  });

/** By the option. */
export const namedFiles = (files: Readonly<Record<string, string | undefined>>): ConfiguredPath[] =>
  Object.entries(files).flatMap(([key, path]) => (path === undefined ? [] : [{ key, path }]));

export function pathProblems(paths: readonly ConfiguredPath[]): OptionProblem[] {
  const problems: OptionProblem[] = [];
  const seen = new Set<string>();
  const why = 'must not be used twice: each socket and file needs a path of its own';
  for (const { key, index, path } of paths) {
    if (seen.has(path)) problems.push({ key, index, value: path, why });
    if (path !== devNull) seen.add(path);
  }
  return problems;
}
