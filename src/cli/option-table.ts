/**
 * The options of `hawser run`, for the command line's parser and its help. Keys are commander's names of
 * the flags and the keys of the YAML file. No validation here: this is loaded by `--help` too.
 */

export interface OptionRow {
  readonly key: string;
  /** As commander takes it. */
  readonly flags: string;
  readonly description: string;
  /** May be given several times; in YAML a list or one value. */
  readonly repeatable?: true;
  /** An integer. */
  readonly isNumber?: true;
}

export const RUN_OPTIONS: readonly OptionRow[] = [
  {
    key: 'listen',
    flags: '-l, --listen <link>',
    description:
      'where guests attach: qemu:PATH, qemu:IP:PORT, vpnkit:PATH, vhost-user:PATH, vfkit:PATH, bess:PATH, qemu-dgram:LOCAL,REMOTE, fd-socket:PATH, tap:NAME[@NETNS], ws:IP:PORT[/PATH][?framing=qemu], stdio, fd:N[:FRAMING], or where QEMU listens: qemu-connect:PATH or IP:PORT (default: qemu:<runtime dir>/hawser/<name>/qemu.sock)',
    repeatable: true,
  },
  {
    key: 'name',
    flags: '--name <name>',
    description: 'instance; decides default paths (default: default)',
  },
  {
    key: 'subnet',
    flags: '--subnet <cidr>',
    description: "the guests' network (default: 192.168.127.0/24)",
  },
  {
    key: 'gateway',
    flags: '--gateway <ip>',
    description: 'router, DNS, DHCP, NTP (default: first of the subnet)',
  },
  {
    key: 'gatewayMac',
    flags: '--gateway-mac <mac>',
    description: 'its Ethernet address (default: 5a:94:ef:e4:0c:dd)',
  },
  {
    key: 'hostIp',
    flags: '--host-ip <ip>',
    description:
      "address of the host's loopback, or none; may be the gateway, whose services come first (default: last of the subnet)",
  },
  {
    key: 'subnet6',
    flags: '--subnet6 <cidr|host|none>',
    description:
      "the guests' IPv6 network, a /64; host: the one of the host's own address (default: a unique local one, made from the name)",
  },
  {
    key: 'gateway6',
    flags: '--gateway6 <ip>',
    description: "the gateway's IPv6 address (default: ::1 of --subnet6)",
  },
  {
    key: 'ipv6',
    flags: '--ipv6 <auto|on|off>',
    description:
      'auto: guests have a default route while the host has one; on: always (default: auto; off with an MTU below 1280)',
  },
  {
    key: 'ipv6Mode',
    flags: '--ipv6-mode <mode>',
    description: 'how guests get their IPv6 addresses: slaac, dhcp, both (default: both)',
  },
  {
    key: 'nat64',
    flags: '--nat64 [auto|on|off]',
    description:
      'translate IPv6 to public IPv4 addresses, of 64:ff9b::/96, with DNS64; auto: while the host has IPv6 only (default: auto; --nat64 alone: on)',
  },
  {
    key: 'nat64Private',
    flags: '--nat64-private',
    description: 'with NAT64: to private IPv4 addresses too, of 64:ff9b:1::/48',
  },
  {
    key: 'ipv6Mostly',
    flags: '--ipv6-mostly',
    description:
      'with NAT64: guests that can do without IPv4 get no address of it (DHCP option 108, RFC 8925)',
  },
  {
    key: 'mtu',
    flags: '--mtu <bytes>',
    description: '576..65520 (default: 1500)',
    isNumber: true,
  },
  {
    key: 'publish',
    flags: '-p, --publish <port>',
    description:
      '[HOSTIP:]HOSTPORT:[GUEST:]GUESTPORT[/tcp|udp], ports or ranges; unix:HOSTPATH:GUESTIP:PORT, through the agent unix:HOSTPATH:GUESTPATH, or by SSH unix:HOSTPATH:ssh-tunnel://USER@GUEST[:PORT]/PATH?key=FILE',
    repeatable: true,
  },
  {
    key: 'sourceAddress',
    flags: '--source-address <how>',
    description:
      'what guests see as the client of a published port: preserve, gateway (default: preserve)',
  },
  {
    key: 'keepalive',
    flags: '--keepalive <seconds>',
    description:
      'idle time before TCP sockets of the host, dialled and accepted, are probed; 0: never (default: 120)',
    isNumber: true,
  },
  {
    key: 'outboundAddress',
    flags: '--outbound-address <ip>',
    description:
      "source address for what guests send to other hosts by TCP and UDP; one of each family (default: as the host's routes have it)",
    repeatable: true,
  },
  {
    key: 'mux',
    flags: '--mux <link>',
    description:
      'link to `hawser agent` in the guest: unix:PATH, connect:unix:PATH, guest:PORT, hybrid-vsock:PATH:PORT, vsock:CID:PORT, vhost-vsock:PATH:PORT',
    repeatable: true,
  },
  {
    key: 'muxAllow',
    flags: '--mux-allow <target>',
    description:
      "what agents' --forward-to-host may lead to: tcp:ADDRESS:PORT or unix:PATH (default: nothing)",
    repeatable: true,
  },
  {
    key: 'guestApi',
    flags: '--guest-api <on|off>',
    description: 'let guests publish ports of theirs through http://GATEWAY/ (default: off)',
  },
  {
    key: 'guestApiBind',
    flags: '--guest-api-bind <rule>',
    description:
      'where: ADDRESS:PORTS, * for every address (default: 127.0.0.0/8 and ::1, ports 1024-65535)',
    repeatable: true,
  },
  {
    key: 'dns',
    flags: '--dns <server>',
    description:
      "upstream resolver: IP, IP#PORT, over TLS tls://IP#NAME, over HTTPS https://NAME/PATH (default: the host's, followed live)",
    repeatable: true,
  },
  {
    key: 'dnsDomain',
    flags: '--dns-domain <domain=server>',
    description: 'a resolver, as of --dns, for a domain and all below it',
    repeatable: true,
  },
  {
    key: 'dnsServer',
    flags: '--dns-server <on|off>',
    description: 'whether the gateway serves DNS to guests (default: on)',
  },
  {
    key: 'dnsAddress',
    flags: '--dns-address <ip>',
    description:
      'another address of the gateway, which guests are given as DNS server; one of each family (default: none, DNS is at the gateway)',
    repeatable: true,
  },
  {
    key: 'dnsFamily',
    flags: '--dns-family <auto|4|6|both>',
    description:
      'addresses of public names for guests; auto: of IPv6 only while guests have a route there (default: auto)',
  },
  {
    key: 'dnsCanaries',
    flags: '--dns-canaries',
    description:
      'have browsers use no resolver of their own: use-application-dns.net and the like do not exist',
  },
  {
    key: 'dnsOther',
    flags: '--dns-other <allow|redirect|refuse>',
    description:
      "other resolvers, where a policy denies something; redirect: the gateway's DNS answers, over TLS and QUIC they are refused (default: redirect)",
  },
  {
    key: 'dnsSearch',
    flags: '--dns-search <domain>',
    description: "search domain (default: the host's)",
    repeatable: true,
  },
  {
    key: 'dnsZone',
    flags: '--dns-zone <zone=ip>',
    description: 'a zone and all below it at one address of each family',
    repeatable: true,
  },
  { key: 'hosts', flags: '--hosts <file>', description: 'hosts file, followed live' },
  {
    key: 'resolvConf',
    flags: '--resolv-conf <file>',
    description:
      'resolver configuration, followed live; nameserver IP#PORT for another port (default: /etc/resolv.conf)',
  },
  { key: 'leaseFile', flags: '--lease-file <file>', description: 'keep DHCP leases over restarts' },
  {
    key: 'dhcpRange',
    flags: '--dhcp-range <first-last>',
    description: 'the IPv4 addresses that DHCP gives out (default: all of the subnet)',
  },
  {
    key: 'staticLease',
    flags: '--static-lease <mac=ip[,hostname[,link]]>',
    description: 'a fixed address for a guest; its name on that link, for rules of a policy',
    repeatable: true,
  },
  {
    key: 'api',
    flags: '--api <where>',
    description:
      'control API: unix:PATH or tcp:IP:PORT (default: unix:<runtime dir>/hawser/<name>/api.sock)',
  },
  {
    key: 'apiTokenFile',
    flags: '--api-token-file <file>',
    description: 'bearer token for an API over TCP',
  },
  {
    key: 'pidFile',
    flags: '--pid-file <file>',
    description: 'holds the process id while the daemon runs',
  },
  {
    key: 'readyFd',
    flags: '--ready-fd <n>',
    description: 'write one line of JSON to this descriptor when ready',
    isNumber: true,
  },
  {
    key: 'exitWithGuest',
    flags: '--exit-with-guest',
    description: 'end when the last guest has left',
  },
  {
    key: 'guestTimeout',
    flags: '--guest-timeout <s>',
    description:
      'with --exit-with-guest: fail when no guest has come after so many seconds; 0 for never (default: 300)',
    isNumber: true,
  },
  {
    key: 'exitWithParent',
    flags: '--exit-with-parent [pid]',
    description:
      'end when the process that started hawser is gone; with its process id, also when it was gone before hawser looked',
    isNumber: true,
  },
  {
    key: 'exitWithReadyFd',
    flags: '--exit-with-ready-fd',
    description: 'keep the descriptor of --ready-fd open, and end when its reader is gone',
  },
  {
    key: 'user',
    flags: '--user <name>',
    description: 'take on the rights of this user, by name or number, before anything is served',
  },
  {
    key: 'sandbox',
    flags: '--sandbox <mode>',
    description:
      'give up what is not needed (capabilities, files, system calls): on as far as this system can, strict all of it or fail, off (default: on)',
  },
  {
    key: 'sandboxAllow',
    flags: '--sandbox-allow <dir>',
    description:
      'a directory where the daemon may make sockets that are published later, such as by `hawser expose unix:...`',
    repeatable: true,
  },
  {
    key: 'wsOrigin',
    flags: '--ws-origin <origin>',
    description:
      'web pages that may attach guests by ws:, such as https://vm.example (default: those of the same host, where that is an address or localhost)',
    repeatable: true,
  },
  {
    key: 'socketMode',
    flags: '--socket-mode <mode>',
    description:
      'of the Unix sockets where guests and agents attach: who may connect, as for chmod (default: 0600)',
  },
  {
    key: 'policy',
    flags: '--policy <file>',
    description: 'where guests may go, as a document of YAML or JSON; see docs/policy.md',
  },
  {
    key: 'allow',
    flags: '--allow <rule>',
    description:
      'before those of --policy, a rule: TARGET[:PORTS][/tcp|udp|icmp], such as *.example.com:443/tcp, 10.0.0.0/8, host:5432; without --policy everything else is denied',
    repeatable: true,
  },
  {
    key: 'deny',
    flags: '--deny <rule>',
    description: 'before those of --allow, a rule of what guests may not do',
    repeatable: true,
  },
  {
    key: 'upstreamProxy',
    flags: '--upstream-proxy <url>',
    description:
      'a proxy between the host and the Internet for what guests send there: http://HOST:PORT for TCP to ports 80 and 443, socks5://HOST:PORT (socks5h: it alone resolves names) for TCP and UDP; http= or https= in front: for that port alone; env: those of the environment; see docs/upstream-proxies.md',
    repeatable: true,
  },
  {
    key: 'proxyExclude',
    flags: '--proxy-exclude <list>',
    description:
      'what is not for the proxy: names, addresses, networks, *, each with :PORT perhaps',
    repeatable: true,
  },
  {
    key: 'proxyAuthFile',
    flags: '--proxy-auth-file <file>',
    description: 'holds USER:PASSWORD for the proxy',
  },
  {
    key: 'proxyUnnamed',
    flags: '--proxy-unnamed <connect|direct>',
    description:
      'connections that state no name: ask the proxy by address, or go without it (default: connect)',
  },
  {
    key: 'proxyNames',
    flags: '--proxy-names <host|proxy>',
    description:
      'who resolves the names that guests ask for; proxy: guests get synthetic addresses (default: proxy with socks5h, else host)',
  },
  {
    key: 'isolateGuests',
    flags: '--isolate-guests',
    description: 'let no frame pass between guests',
  },
  {
    key: 'trustGuests',
    flags: '--trust-guests',
    description:
      'let guests use the addresses of each other, as on a plain switch (default: an address belongs to the link that leased or first used it)',
  },
  {
    key: 'allowAddress',
    flags: '--allow-address <link=address>',
    description:
      'an address that moves between guests (keepalived, MetalLB), and a link that may take it: LINK as in --listen; IPv4, IPv6, a prefix, or an Ethernet address',
    repeatable: true,
  },
  {
    key: 'hostAccess',
    flags: '--no-host-access',
    description:
      "close all of the host's own addresses to guests, of both families; --host-ip none closes its loopback alone",
  },
  {
    key: 'allowMetadata',
    flags: '--allow-metadata',
    description:
      'let guests reach link-local addresses, and those where clouds serve metadata and credentials to this host (default: no)',
  },
  {
    key: 'vhostMemory',
    flags: '--vhost-memory <kind>',
    description:
      'of machines with vhost-user: or vhost-vsock:: sealed, or any, by which a machine can end hawser (default: sealed)',
  },
  {
    key: 'verifyChecksums',
    flags: '--no-verify-checksums',
    description: "trust TCP and UDP checksums of guests' frames",
  },
  {
    key: 'busyPoll',
    flags: '--busy-poll <us>',
    description:
      'microseconds to poll before sleeping while requests come and go; 0 for never (default: 200, or 0 on one CPU)',
    isNumber: true,
  },
  {
    key: 'linkGrace',
    flags: '--link-grace <seconds>',
    description:
      'how long flows of a guest whose link is gone wait for it; new ones are refused at once (default: 60)',
    isNumber: true,
  },
  {
    key: 'vpnkitMac',
    flags: '--vpnkit-mac <uuid=mac>',
    description:
      'the Ethernet address of the guest with this UUID on a vpnkit: link (default: made of the UUID)',
    repeatable: true,
  },
  {
    key: 'auditLog',
    flags: '--audit-log <file>',
    description:
      'append every event to this file, a line of JSON each: flows, refusals, leases, ports (opened again at SIGHUP)',
  },
  {
    key: 'audit',
    flags: '--audit <how>',
    description:
      'required: no new flow without a record of it in --audit-log; best-effort: what cannot be written is counted (default: best-effort)',
  },
  {
    key: 'auditSize',
    flags: '--audit-size <MiB>',
    description: 'rotate the audit log after so many, 0: never (default: 64)',
    isNumber: true,
  },
  {
    key: 'pcap',
    flags: '--pcap <file>',
    description: "write all of the guests' frames to this file, for Wireshark and tcpdump",
  },
  {
    key: 'logLevel',
    flags: '--log-level <level>',
    description: 'debug, info, warn, error, silent (default: info)',
  },
  {
    key: 'logFormat',
    flags: '--log-format <format>',
    description:
      'pretty, json, or logfmt: key=value, as logrus writes (default: pretty on a terminal, else json)',
  },
  {
    key: 'logFile',
    flags: '--log-file <file>',
    description: 'append the log to this file, opened again at SIGHUP (default: stderr)',
  },
];

/** Keys whose values are numbers. */
export const NUMBERS: ReadonlySet<string> = new Set(
  RUN_OPTIONS.filter((row) => row.isNumber).map(({ key }) => key),
);

/** The long flag of a key: `--host-ip` of `hostIp`. */
export function flagOf(key: string): string {
  const row = RUN_OPTIONS.find((option) => option.key === key);
  return /--[a-z0-9-]+/.exec(row?.flags ?? '')?.[0] ?? `--${key}`;
}
