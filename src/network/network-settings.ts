/** The valid values of each option of the network, for library, command line and YAML alike. */
import { KEEPALIVE_MAX_S } from '../native/stream/keepalive-options.ts';
import { OTHER_RESOLVERS, type OtherResolvers } from '../proxy/policy/other-resolvers.ts';
import { SOURCE_ADDRESSES, type SourceAddress } from '../proxy/ports/publish-spec.ts';
import { UNNAMED_RULES, type UnnamedRule } from '../services/upstream-proxy/proxy-rules.ts';
import { MACHINE_MEMORY, type MachineMemory } from '../transports/vhost-user/machine-memory.ts';
import {
  AUDIT_USES,
  type AuditUse,
  DNS_FAMILIES,
  type DnsDomain,
  type DnsFamily,
  type DnsUpstream,
  type DnsZone,
  IPV6_MODES,
  IPV6_USES,
  type Ipv6Mode,
  type Ipv6Use,
  type LeaseRange,
  NAT64_USES,
  type Nat64Use,
  type StaticLease,
  type VpnkitMac,
} from './config.ts';
import { parseAllowedAddress } from './guest-separation.ts';
import { parseIpv4, parseNetwork } from './ipv4-text.ts';
import { parseIpv6, parseSubnet6 } from './ipv6-text.ts';
import {
  integer,
  list,
  numberOrOneOf,
  oneOf,
  oneOfOnOff,
  onOff,
  type Schemas,
  socketMode,
  text,
  textAsIs,
  yesNo,
} from './option-schema.ts';
import {
  parseDnsDomain,
  parseDomain,
  parseGatewayMac,
  parseHostIp,
  parseIp,
  parseLink,
  parseMux,
  parseMuxTarget,
  parseOrigin,
  parsePath,
  parsePublication,
  parseRange,
  parseRule,
  parseStaticLease,
  parseUpstream,
  parseVpnkitMac,
  parseZone,
} from './option-values.ts';
import type { NetworkOptions } from './options.ts';
import { parseRuleText } from './policy/rule-text.ts';
import {
  PROXY_NAMES,
  type ProxyNamesUse,
  parseNoProxy,
  parseUpstreamProxy,
} from './upstream-proxy/proxy-options.ts';

export const MTU_MIN = 576;
export const MTU_MAX = 65_520;
export const BUSY_POLL_MAX_US = 10_000;
/** A TiB. */
const AUDIT_SIZE_MAX_MIB = 1024 * 1024;
/** A day. */
const LINK_GRACE_MAX_S = 86_400;

/** {@link NetworkOptions}, each checked by itself; absent keys were not set. */
export interface NetworkSettings extends Readonly<Record<keyof NetworkOptions, unknown>> {
  readonly listen: readonly string[] | undefined;
  readonly subnet: string | undefined;
  readonly gateway: string | undefined;
  readonly gatewayMac: string | undefined;
  /** `none` or an address. */
  readonly hostIp: string | undefined;
  /** A /64, `host` or `none`. */
  readonly subnet6: string | undefined;
  readonly gateway6: string | undefined;
  readonly ipv6: Ipv6Use | undefined;
  readonly ipv6Mode: Ipv6Mode | undefined;
  readonly nat64: Nat64Use | undefined;
  readonly nat64Private: boolean | undefined;
  readonly ipv6Mostly: boolean | undefined;
  readonly mtu: number | undefined;
  readonly publish: readonly string[] | undefined;
  readonly sourceAddress: SourceAddress | undefined;
  readonly keepalive: number | undefined;
  readonly outboundAddress: readonly string[] | undefined;
  readonly guestApi: boolean | undefined;
  readonly guestApiBind: readonly string[] | undefined;
  readonly mux: readonly string[] | undefined;
  readonly muxAllow: readonly string[] | undefined;
  readonly dns: readonly DnsUpstream[] | undefined;
  readonly dnsDomain: readonly DnsDomain[] | undefined;
  readonly dnsServer: boolean | undefined;
  readonly dnsAddress: readonly string[] | undefined;
  readonly dnsFamily: DnsFamily | undefined;
  readonly dnsCanaries: boolean | undefined;
  readonly dnsOther: OtherResolvers | undefined;
  readonly dnsSearch: readonly string[] | undefined;
  readonly dnsZone: readonly DnsZone[] | undefined;
  readonly hosts: string | undefined;
  readonly resolvConf: string | undefined;
  readonly leaseFile: string | undefined;
  readonly dhcpRange: LeaseRange | undefined;
  readonly staticLease: readonly StaticLease[] | undefined;
  readonly policy: string | undefined;
  readonly allow: readonly string[] | undefined;
  readonly deny: readonly string[] | undefined;
  readonly upstreamProxy: readonly string[] | undefined;
  readonly proxyExclude: readonly string[] | undefined;
  readonly proxyAuthFile: string | undefined;
  readonly proxyUnnamed: UnnamedRule | undefined;
  readonly proxyNames: ProxyNamesUse | undefined;
  readonly wsOrigin: readonly string[] | undefined;
  readonly socketMode: number | undefined;
  readonly isolateGuests: boolean | undefined;
  readonly trustGuests: boolean | undefined;
  readonly allowAddress: readonly string[] | undefined;
  readonly hostAccess: boolean | undefined;
  readonly allowMetadata: boolean | undefined;
  readonly vhostMemory: MachineMemory | undefined;
  readonly verifyChecksums: boolean | undefined;
  readonly busyPoll: number | undefined;
  readonly linkGrace: number | undefined;
  readonly vpnkitMac: readonly VpnkitMac[] | undefined;
  readonly auditLog: string | undefined;
  readonly audit: AuditUse | undefined;
  readonly auditSize: number | undefined;
  readonly pcap: string | undefined;
}

export const NETWORK_SCHEMAS: Schemas<NetworkSettings> = {
  listen: () => list(textAsIs(parseLink)),
  subnet: () => textAsIs(parseNetwork),
  gateway: () => text(parseIpv4),
  gatewayMac: () => text(parseGatewayMac),
  hostIp: () => text(parseHostIp),
  subnet6: () => text(parseSubnet6),
  gateway6: () => text(parseIpv6),
  ipv6: () => oneOfOnOff(IPV6_USES),
  ipv6Mode: () => oneOf(IPV6_MODES),
  nat64: () => oneOfOnOff(NAT64_USES),
  nat64Private: yesNo,
  ipv6Mostly: yesNo,
  mtu: () => integer(MTU_MIN, MTU_MAX),
  publish: () => list(textAsIs(parsePublication)),
  sourceAddress: () => oneOf(SOURCE_ADDRESSES),
  keepalive: () => integer(0, KEEPALIVE_MAX_S),
  outboundAddress: () => list(text(parseIp)),
  guestApi: onOff,
  guestApiBind: () => list(textAsIs(parseRule)),
  mux: () => list(text(parseMux)),
  muxAllow: () => list(textAsIs(parseMuxTarget)),
  dns: () => list(text(parseUpstream), 'must name at least one resolver'),
  dnsDomain: () => list(text(parseDnsDomain)),
  dnsServer: onOff,
  dnsAddress: () => list(text(parseIp)),
  dnsFamily: () => numberOrOneOf(DNS_FAMILIES),
  dnsCanaries: yesNo,
  dnsOther: () => oneOf(OTHER_RESOLVERS),
  dnsSearch: () => list(text(parseDomain)),
  dnsZone: () => list(text(parseZone)),
  hosts: () => text(parsePath),
  resolvConf: () => text(parsePath),
  leaseFile: () => text(parsePath),
  dhcpRange: () => text(parseRange),
  staticLease: () => list(text(parseStaticLease)),
  policy: () => text(parsePath),
  allow: () => list(textAsIs(parseRuleText)),
  deny: () => list(textAsIs(parseRuleText)),
  upstreamProxy: () => list(textAsIs(parseUpstreamProxy)),
  proxyExclude: () => list(textAsIs(parseNoProxy)),
  proxyAuthFile: () => text(parsePath),
  proxyUnnamed: () => oneOf(UNNAMED_RULES),
  proxyNames: () => oneOf(PROXY_NAMES),
  wsOrigin: () => list(text(parseOrigin)),
  socketMode,
  isolateGuests: yesNo,
  trustGuests: yesNo,
  allowAddress: () => list(textAsIs(parseAllowedAddress)),
  hostAccess: yesNo,
  allowMetadata: yesNo,
  vhostMemory: () => oneOf(MACHINE_MEMORY),
  verifyChecksums: yesNo,
  busyPoll: () => integer(0, BUSY_POLL_MAX_US),
  linkGrace: () => integer(0, LINK_GRACE_MAX_S),
  vpnkitMac: () => list(text(parseVpnkitMac)),
  auditLog: () => text(parsePath),
  audit: () => oneOf(AUDIT_USES),
  auditSize: () => integer(0, AUDIT_SIZE_MAX_MIB),
  pcap: () => text(parsePath),
};
