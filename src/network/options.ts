/** The options of a network, with the keys of the configuration file of `hawser run`. */
import type { OtherResolvers } from '../proxy/policy/other-resolvers.ts';
import type { SourceAddress } from '../proxy/ports/publish-spec.ts';
import type { UnnamedRule } from '../services/upstream-proxy/proxy-rules.ts';
import type { MachineMemory } from '../transports/vhost-user/machine-memory.ts';
import type { AuditUse, DnsFamily, Ipv6Mode, Ipv6Use, Nat64Use } from './config.ts';
import type { ProxyNamesUse } from './upstream-proxy/proxy-options.ts';

/** A list, or a single value. */
export type OneOrMore = string | readonly string[];

/**
 * The options of {@link createNetwork}, all of them optional. Text has the forms of the options of `hawser run`;
 * paths may be relative to the working directory.
 */
export interface NetworkOptions {
  /**
   * Where guests attach from outside: `qemu:PATH`, `qemu:IP:PORT`, `qemu-connect:PATH`, `qemu-connect:IP:PORT`,
   * `vpnkit:PATH`, `vpnkit:IP:PORT`, `vhost-user:PATH`, `vfkit:PATH`, `bess:PATH`,
   * `qemu-dgram:LOCAL,REMOTE`, `fd-socket:PATH`, `tap:NAME[@NETNS]`, `ws:IP:PORT[/PATH][?framing=qemu]`,
   * `fd:N[:FRAMING]`, `stdio`. Default: nowhere.
   */
  readonly listen?: OneOrMore | undefined;
  /** The guests' network: IPv4, a prefix of /8 to /29. Default: `192.168.127.0/24`. */
  readonly subnet?: string | undefined;
  /** Router, DNS, DHCP and NTP server. Default: the first address of the subnet. */
  readonly gateway?: string | undefined;
  /** Its Ethernet address. Default: `5a:94:ef:e4:0c:dd`, that of gvproxy and VPNKit. */
  readonly gatewayMac?: string | undefined;
  /**
   * Represents the loopback of the host; `none` closes that to guests. It may be the gateway, whose own services come
   * first then, in both families. Default: the last address of the subnet.
   */
  readonly hostIp?: string | undefined;
  /**
   * The guests' IPv6 network: a /64; `host`, that of the host's own address; or `none`. Default: a unique local one (RFC 4193)
   * that is the same each time.
   */
  readonly subnet6?: string | undefined;
  /** The gateway's IPv6 address, of `subnet6`. Default: the first one, `::1`. */
  readonly gateway6?: string | undefined;
  /**
   * IPv6 for guests: `on`; `auto`, without a default route while the host has none; or `off`. With an MTU below 1280 it is off.
   * Default: `auto`.
   */
  readonly ipv6?: Ipv6Use | boolean | undefined;
  /** Where guests have their IPv6 addresses from: `slaac`, `dhcp`, or `both`. Default: `both`. */
  readonly ipv6Mode?: Ipv6Mode | undefined;
  /**
   * Translate from IPv6 to the public IPv4 addresses of `64:ff9b::/96` (NAT64), and answer names that have none but IPv4
   * addresses by these (DNS64): `on`, `off`, or `auto`, while the host has IPv6 only. Default: `auto`.
   */
  readonly nat64?: Nat64Use | boolean | undefined;
  /** With NAT64: private IPv4 addresses too, by `64:ff9b:1::/48`. Default: no. */
  readonly nat64Private?: boolean | undefined;
  /** With NAT64: guests that can do without IPv4 are to do so (DHCP option 108, RFC 8925). Default: no. */
  readonly ipv6Mostly?: boolean | undefined;
  /** Bytes of an IP packet: 576 to 65520. Default: 1500. */
  readonly mtu?: number | undefined;
  /** Ports to publish from the start, in the form of `parsePublish`. Default: none. */
  readonly publish?: OneOrMore | undefined;
  /** The client address of a published port that guests see. Default: `preserve`, the client's own address. */
  readonly sourceAddress?: SourceAddress | undefined;
  /** Idle seconds before TCP sockets of the host, dialled and accepted, are probed; 0: never. Default: 120. */
  readonly keepalive?: number | undefined;
  /**
   * Source addresses of the host for what guests send to other hosts by TCP and UDP, of each family at most one. Default: as
   * the host's routes have it.
   */
  readonly outboundAddress?: OneOrMore | undefined;
  /** Whether guests may publish ports through `http://GATEWAY/`. Default: no. */
  readonly guestApi?: boolean | 'on' | 'off' | undefined;
  /** Where they may: `ADDRESS:PORTS`, `*` for every address. Default: 127.0.0.0/8 and ::1, ports 1024 to 65535. */
  readonly guestApiBind?: OneOrMore | undefined;
  /**
   * Links to `hawser agent` in guests: `unix:PATH`, `connect:unix:PATH`, `guest:PORT`, `hybrid-vsock:PATH:PORT`,
   * `vsock:CID:PORT`, `vhost-vsock:PATH:PORT`. Default: none.
   */
  readonly mux?: OneOrMore | undefined;
  /** Targets on the host that agents may have dialled: `tcp:ADDRESS:PORT`, `unix:PATH`. Default: none. */
  readonly muxAllow?: OneOrMore | undefined;
  /**
   * Upstream resolvers: `IP`, `IP#PORT`, over TLS `tls://IP#NAME`, over HTTPS `https://NAME/PATH`, `https://IP/PATH#NAME`.
   * Default: those of the host, followed live.
   */
  readonly dns?: OneOrMore | undefined;
  /** `DOMAIN=RESOLVER`: names of a domain, and of all below it, are asked there alone. Default: none. */
  readonly dnsDomain?: OneOrMore | undefined;
  /** Whether the gateway serves DNS, and names itself as the server. Default: yes. */
  readonly dnsServer?: boolean | 'on' | 'off' | undefined;
  /**
   * Another address of the gateway, of each family at most one, which guests are given as their DNS server. Default:
   * none, DNS is at the gateway.
   */
  readonly dnsAddress?: OneOrMore | undefined;
  /**
   * Which addresses of public names guests get: those of IPv4 (`4`), of IPv6 (`6`), `both`, or `auto`: those of IPv6 only
   * while they have a route there. Default: `auto`.
   */
  readonly dnsFamily?: DnsFamily | undefined;
  /**
   * Names by which browsers decide for resolvers of their own, such as `use-application-dns.net`, do not exist. Default:
   * they do.
   */
  readonly dnsCanaries?: boolean | undefined;
  /**
   * Resolvers other than the gateway's, asked while a policy denies something: `redirect`, answered by the gateway's DNS,
   * and refused over TLS and QUIC; `refuse`; or `allow`, as the rules say. A rule for a resolver as such is obeyed.
   * Default: `redirect`; `allow` where the gateway serves no DNS.
   */
  readonly dnsOther?: OtherResolvers | undefined;
  /** Search domains for guests. Default: those of the host. */
  readonly dnsSearch?: OneOrMore | undefined;
  /** `ZONE=IP`: a zone and every name below it at one address, of each family. Default: none. */
  readonly dnsZone?: OneOrMore | undefined;
  /** A hosts file, followed live. Default: none. */
  readonly hosts?: string | undefined;
  /**
   * The resolver configuration that is followed where `dns` names no servers, in the form of resolv.conf(5), with
   * `nameserver IP#PORT` for another port. Default: `/etc/resolv.conf`.
   */
  readonly resolvConf?: string | undefined;
  /** The file that keeps DHCP leases over restarts; its directory is made. Default: they are not kept. */
  readonly leaseFile?: string | undefined;
  /** `FIRST-LAST`: the IPv4 addresses that DHCP gives out. Default: all of the subnet. */
  readonly dhcpRange?: string | undefined;
  /** `MAC=IP[,HOSTNAME]`: fixed addresses, of either family. Default: none. */
  readonly staticLease?: OneOrMore | undefined;
  /** No frame passes between guests. Default: no. */
  readonly isolateGuests?: boolean | undefined;
  /** The guests' network is a plain switch: each guest may use the addresses of others. Default: no. */
  readonly trustGuests?: boolean | undefined;
  /**
   * `LINK=ADDRESS`: an address or prefix that moves between guests, and a link that may take it from others. LINK is one
   * of `listen`, or the name of an attachment; ADDRESS is IPv4, IPv6, a prefix of these, or an Ethernet address.
   * Default: none.
   */
  readonly allowAddress?: OneOrMore | undefined;
  /** A policy document, of YAML or JSON: where guests may go; see docs/policy.md. Default: none. */
  readonly policy?: string | undefined;
  /**
   * Rules in front of those of `policy`: `TARGET[:PORTS][/PROTOCOL]`, such as `*.example.com:443/tcp`, `10.0.0.0/8`, `host:5432`.
   * Without `policy`, everything else is denied. Default: none.
   */
  readonly allow?: OneOrMore | undefined;
  /** Likewise, in front of those of `allow`: what guests may not do. Default: none. */
  readonly deny?: OneOrMore | undefined;
  /**
   * Proxies between the host and the Internet, for what guests send there: `http://HOST:PORT` for TCP to ports 80 and 443,
   * `socks5://HOST:PORT` for all of TCP and UDP, `http=` or `https=` in front of one for that port alone; `env` for the
   * proxies of the environment. Default: none.
   */
  readonly upstreamProxy?: OneOrMore | undefined;
  /** Destinations that are not for the proxy: names, addresses, networks, `*`, each with `:PORT` perhaps. Default: none. */
  readonly proxyExclude?: OneOrMore | undefined;
  /** A file whose first line is `USER:PASSWORD`, for the proxy. Default: the URL's. */
  readonly proxyAuthFile?: string | undefined;
  /** What becomes of connections that state no name: the proxy is asked by address, or they go `direct`. Default: `connect`. */
  readonly proxyUnnamed?: UnnamedRule | undefined;
  /**
   * Who resolves the names that guests ask for: the `host`, or the `proxy` alone, and guests get synthetic addresses.
   * Default: `proxy` with `socks5h://`, else `host`.
   */
  readonly proxyNames?: ProxyNamesUse | undefined;
  /**
   * Web pages that may attach guests by `ws:`, by their `Origin`: `https://vm.example`. Default: those of the same host,
   * where that is an address or localhost.
   */
  readonly wsOrigin?: OneOrMore | undefined;
  /**
   * Permission bits of the Unix sockets where guests and agents attach: a number, or text in octal digits. Default:
   * `0600`, for this user alone.
   */
  readonly socketMode?: number | string | undefined;
  /**
   * Whether guests reach the host's own addresses, of both families. `false` closes them altogether, where `hostIp: 'none'`
   * closes its loopback alone. Default: yes.
   */
  readonly hostAccess?: boolean | undefined;
  /** Let guests reach link-local addresses and those where clouds serve metadata to this host. Default: no. */
  readonly allowMetadata?: boolean | undefined;
  /**
   * Which memory of machines with `vhost-user:` or `vhost-vsock:` is used: `sealed`, which cannot be taken away from this
   * process, or `any`, by which a machine can end it. Default: `sealed`.
   */
  readonly vhostMemory?: MachineMemory | undefined;
  /** Verify TCP and UDP checksums of frames whose link does not vouch for them. Default: yes. */
  readonly verifyChecksums?: boolean | undefined;
  /**
   * Microseconds to poll before sleeping while requests come and go: 0 to 10000, 0 for never. Default: 200, or 0 on
   * one CPU.
   */
  readonly busyPoll?: number | undefined;
  /**
   * Seconds that the flows of a guest whose link is gone wait for a re-attach: 0 to 86400. New ones are refused at
   * once. Default: 60.
   */
  readonly linkGrace?: number | undefined;
  /** `UUID=MAC`: the Ethernet address of a guest of a `vpnkit:` link. Default: made of its UUID. */
  readonly vpnkitMac?: OneOrMore | undefined;
  /**
   * A file to append every event to, but for queries of DNS: a line of JSON each, readable by this user alone. With
   * `auditSize` it becomes `FILE.1` and so on, four of them. Default: none.
   */
  readonly auditLog?: string | undefined;
  /**
   * `required`: no new flow begins of which the audit log cannot have a record. `best-effort`: what cannot be written is
   * counted and told, and nothing waits. Default: `best-effort`.
   */
  readonly audit?: AuditUse | undefined;
  /** MiB after which the audit log is rotated: 0 to 1048576, 0 for never. Default: 64. */
  readonly auditSize?: number | undefined;
  /** A pcap file to write all frames of guests to, with their Ethernet headers; what it held is lost. Default: none. */
  readonly pcap?: string | undefined;
}
