/** The effective configuration: every default filled in, every value checked. */
import type { OtherResolvers } from '../proxy/policy/other-resolvers.ts';
import type { SourceAddress } from '../proxy/ports/publish-spec.ts';
import type { UnnamedRule } from '../services/upstream-proxy/proxy-rules.ts';
import type { MachineMemory } from '../transports/vhost-user/machine-memory.ts';
import type { ProxyNamesUse } from './upstream-proxy/proxy-options.ts';

export interface AuditConfig {
  /** Has a line for each event; undefined: there is none. */
  readonly file: string | undefined;
  /** No record, no new flow. */
  readonly isRequired: boolean;
  /** It is rotated when it has so many; 0: never. */
  readonly maxBytes: number;
}

export const AUDIT_USES = ['best-effort', 'required'] as const;
export type AuditUse = (typeof AUDIT_USES)[number];

export interface PolicyConfig {
  readonly file: string | undefined;
  /** Rules in front of the file's, those that deny first. */
  readonly allow: readonly string[];
  readonly deny: readonly string[];
}

/** Proxies between the host and the Internet. */
export interface UpstreamProxyConfig {
  /** As given; `parseUpstreamProxy` of `upstream-proxy/proxy-options.ts` accepts each. Empty: none. */
  readonly servers: readonly string[];
  readonly exclude: readonly string[];
  /** Holds `USER:PASSWORD`. */
  readonly authFile: string | undefined;
  readonly unnamed: UnnamedRule;
  /** Undefined: as the scheme of the proxy has it. */
  readonly names: ProxyNamesUse | undefined;
}

export interface NetworkConfig {
  readonly policy: PolicyConfig;
  readonly upstreamProxy: UpstreamProxyConfig;
  /** Link specifications; `parseLinkSpec` of `transports/link-spec.ts` accepts each. */
  readonly listen: readonly string[];
  /** IPv4 CIDR in canonical form (host bits zero), prefix /8 to /29. */
  readonly subnet: string;
  readonly gateway: string;
  /** Its Ethernet address: lower case, colons. */
  readonly gatewayMac: string;
  /** Undefined: the host's loopback is closed to guests. */
  readonly hostIp: string | undefined;
  readonly ipv6: Ipv6Config;
  readonly nat64: Nat64Config;
  /** 576..65520. */
  readonly mtu: number;
  /** Publications as given; `parsePublish` of `proxy/ports/publish-text.ts` accepts each. */
  readonly publish: readonly string[];
  /** The client address of a published port that guests see, where the port has no setting of its own. */
  readonly sourceAddress: SourceAddress;
  /** Idle time before host TCP sockets, dialled and accepted, are probed, in s; 0: never. */
  readonly keepaliveS: number;
  /** Where guests' connections and datagrams to other hosts come from, of each family at most one; without: as the host's routes say. */
  readonly outbound: readonly string[];
  readonly guestApi: GuestApiConfig;
  readonly mux: MuxLinkConfig;
  readonly dns: DnsConfig;
  readonly leases: LeaseConfig;
  readonly separation: GuestSeparation;
  /** Web pages that may attach guests by `ws:`; none: those of the same host. */
  readonly wsOrigins: readonly string[];
  /** Permission bits of the Unix sockets where guests and agents attach. */
  readonly socketMode: number;
  /** Guests reach addresses of the host itself; without, `hostIp` is undefined too. */
  readonly hostAccess: boolean;
  /** Guests reach link-local and metadata addresses. */
  readonly allowMetadata: boolean;
  /** Of machines whose devices are served by vhost-user. */
  readonly vhostMemory: MachineMemory;
  /** Verify TCP and UDP checksums of links that do not vouch for them. */
  readonly verifyChecksums: boolean;
  /** How long to poll before sleeping, in us; undefined: `defaultWindowUs` of `proxy/busy-poll.ts`. */
  readonly busyPollUs: number | undefined;
  /** How long the flows of a guest whose link is gone wait for a re-attach. */
  readonly linkGraceMs: number;
  /** Guests of `vpnkit:` links whose Ethernet address is given, not made of their UUID. */
  readonly vpnkitMacs: readonly VpnkitMac[];
  readonly audit: AuditConfig;
  /** A capture of all frames of guests. */
  readonly pcapFile: string | undefined;
}

export const IPV6_USES = ['auto', 'on', 'off'] as const;
/** `auto`: guests have a default route while the host has one. */
export type Ipv6Use = (typeof IPV6_USES)[number];

export const IPV6_MODES = ['slaac', 'dhcp', 'both'] as const;
/** Where guests have their addresses from. */
export type Ipv6Mode = (typeof IPV6_MODES)[number];

export const DNS_FAMILIES = ['auto', '4', '6', 'both'] as const;
/** Addresses of public names; `auto`: of IPv6 while guests have a default route. */
export type DnsFamily = (typeof DNS_FAMILIES)[number];

export const NAT64_USES = ['auto', 'on', 'off'] as const;
/** `auto`: while the host has IPv6 only. */
export type Nat64Use = (typeof NAT64_USES)[number];

/** As configured: see `ipv6AddressesOf` of `addresses.ts` for what comes of it. */
export interface Ipv6Config {
  readonly use: Ipv6Use;
  /** A /64 in canonical form; `host`: that of the host's own address, found at start; `none`. */
  readonly subnet: string;
  /** Of the gateway; undefined: the first of the subnet. */
  readonly gateway: string | undefined;
  /** The /64 of the instance's name: the default, and in place of `host` where the host has none. */
  readonly uniqueLocal: string;
  readonly mode: Ipv6Mode;
}

export interface Nat64Config {
  readonly use: Nat64Use;
  /** Private IPv4 addresses are translated too, with a prefix of their own. */
  readonly isForPrivate: boolean;
  /** Guests that can do without IPv4 have no address of it, while there is NAT64. */
  readonly isIpv6Mostly: boolean;
}

/** How guests are separated from each other; at most one of `isolate` and `trust`. */
export interface GuestSeparation {
  readonly isolate: boolean;
  readonly trust: boolean;
  /** Addresses that links may take; `parseAllowedAddress` of `guest-separation.ts` accepts each. */
  readonly allowed: readonly string[];
}

/** Whether guests may publish ports through `http://GATEWAY/`, and where. */
export interface GuestApiConfig {
  readonly enabled: boolean;
  /** Rules; `parseBindRule` of `control/ports/bind-rules.ts` accepts each. */
  readonly bind: readonly string[];
}

/** The multiplexer to agents in guests. */
export interface MuxLinkConfig {
  /** Links; `parseMuxLink` of `transports/mux/mux-link-spec.ts` accepts each. */
  readonly links: readonly string[];
  /** Targets on the host that guests may have dialled; `parseTargetRule` accepts each. Empty: none. */
  readonly allow: readonly string[];
}

export interface DnsConfig {
  /** Whether there is a server for guests. */
  readonly isServed: boolean;
  /** Undefined: the host's resolver configuration, followed live. */
  readonly upstreams: readonly DnsUpstream[] | undefined;
  /** In front of them, for names of their domains. */
  readonly domains: readonly DnsDomain[];
  /** Where guests are to ask, of each family at most one; without one: at the gateway, which answers in any case. */
  readonly addresses: readonly string[];
  readonly family: DnsFamily;
  /** Names by which browsers decide for resolvers of their own do not exist. */
  readonly hasCanaries: boolean;
  /** Other resolvers, where a policy denies something. */
  readonly others: OtherResolvers;
  /** Undefined: the host's. */
  readonly search: readonly string[] | undefined;
  readonly zones: readonly DnsZone[];
  readonly hostsFile: string | undefined;
  /** In place of /etc/resolv.conf. */
  readonly resolvConf: string | undefined;
}

export interface DnsUpstream {
  /** Over TLS also a name, which the host resolves. */
  readonly address: string;
  readonly port: number;
  /** Over TLS alone: what its certificate has to name, which may be the address. */
  readonly tlsName?: string | undefined;
  /** Over HTTPS (RFC 8484) with this path; undefined: over TLS without it (RFC 7858). */
  readonly httpsPath?: string | undefined;
}

/** A server for the names of `domain`: itself, and all below it. Lower case, no trailing dot. */
export interface DnsDomain {
  readonly domain: string;
  readonly upstream: DnsUpstream;
}

/** `zone` itself and every name below it resolve to `address`. Lower case, no trailing dot. */
export interface DnsZone {
  readonly zone: string;
  readonly address: string;
}

export interface LeaseConfig {
  readonly file: string | undefined;
  /** Of IPv4; undefined: all of the subnet. */
  readonly range: LeaseRange | undefined;
  readonly static: readonly StaticLease[];
}

/** Both addresses are part of it. */
export interface LeaseRange {
  readonly first: string;
  readonly last: string;
}

export interface VpnkitMac {
  /** Lower case. */
  readonly uuid: string;
  /** Lower case, colons. */
  readonly mac: string;
}

export interface StaticLease {
  /** Lower case, colons. */
  readonly mac: string;
  readonly address: string;
  readonly hostname: string | undefined;
  /** Where the host name is the guest's for rules of a policy; undefined: nowhere. */
  readonly link: string | undefined;
}
