/** The help of `hawser-vpnkit`. */

export const VPNKIT_HELP = `Usage: hawser-vpnkit --ethernet=PATH [OPTION]...
The command line of vpnkit, served by hawser.

--ethernet=PATH|fd:N            where virtual machines attach (VMN3T); required
--port=PATH|fd:N                control API over HTTP: /forwards/*, and hawser's own (repeatable)
--port-forwards=PATH            socket of the virtual machine for the multiplexer of published ports
--vsock-path=PATH               the same
--gateway-ip=IP                 default 192.168.65.1; DNS is there
--host-ip=IP                    stands for the host's loopback (192.168.65.2); 0.0.0.0: none
--lowest-ip=IP --highest-ip=IP  addresses of clients (192.168.65.3 to 192.168.65.254)
--mtu=BYTES                     default 1500
--dns=FILE                      servers in the form of resolv.conf, followed live (default: the host's)
--hosts=FILE                    followed live; '' for none (/etc/hosts)
--host-names=NAMES              default host.internal
--gateway-names=NAMES           default gateway.internal
--vm-names=NAMES                default vm.internal: the client at --lowest-ip
--server-macaddr=MAC           of the gateway
--domain=NAME                   search domain for clients
--dhcp-path=FILE                JSON: searchDomains, domainName
--tcpv4-forwards=LIST           PORT:IP:PORT,...: ports of the gateway that lead to the host's network
--udpv4-forwards=LIST           the same for UDP
--gateway-forwards=FILE         JSON: protocol, external_port, internal_ip, internal_port; followed live
--forwards=FILE                 JSON: protocol, dst_prefix, dst_port, path: connections to networks that
                                lead through servers on Unix sockets; followed live
--http=FILE                     JSON, followed live: http, https, exclude, transparent_http_ports, transparent_https_ports;
                                also served to clients at the gateway, ports 3128 and 3129
--http-api-path=PATH|fd:N       GET and POST /http_proxy.json
--allowed-bind-addresses=LIST   where ports may be published; 0.0.0.0 for anywhere (default)
--diagnostics=PATH|fd:N         each client of this socket is sent the state of the network as JSON
--introspection=PATH|fd:N       the same
--pcap=PATH|fd:N                each client of this socket is sent frames as they pass, in the format of pcap
--pcap-snaplen=BYTES            of a frame in these, at most (128)
--debug                         log more

Accepted without effect: --gc-compact-interval, --listen-backlog, --max-connections, --port-max-idle-time
(idle connections are kept). Not served: 9P, Hyper-V sockets.
HAWSER_API=on in the environment: hawser's own commands find it as vpnkit-PID. HAWSER_UPSTREAM_PROXY,
HAWSER_PROXY_EXCLUDE, HAWSER_PROXY_AUTH_FILE: as --upstream-proxy and so on of hawser run.
`;
