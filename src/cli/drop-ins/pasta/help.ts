/** The help of `hawser-pasta`. */

export const PASTA_HELP = `Usage: hawser-pasta [OPTION]... PID
       hawser-pasta [OPTION]... --netns PATH|NAME
The command line of pasta as podman 5 uses it, served by hawser.

--config-net                set up the interface: address, default route, MTU
-a, --address=IPv4          of the guest (10.0.2.100); -n, --netmask=MASK|BITS (24)
-g, --gateway=IPv4          its router (the second address of the network)
-m, --mtu=BYTES             default=65520
-I, --ns-ifname=NAME        the interface (eth0); --ns-mac-addr=MAC its Ethernet address
-M, --mac-addr=MAC          Ethernet address of the gateway
--dns-forward=ADDRESS       where DNS answers, beside the gateway
--no-map-gw                 the gateway does not stand for the host's loopback
--map-host-loopback=IPv4    this address does
--map-guest-addr=IPv4       this address stands for the host's own
-o, --outbound=ADDRESS      source address of connections to other hosts
--outbound-if4=NAME         the address of an interface; --outbound-if6=NAME
-t, --tcp-ports=SPEC        none, or [ADDRESS/]PORTS[:PORTS],...: ports of the host that lead to the guest
-u, --udp-ports=SPEC        the same for UDP
-T, --tcp-ns=none           ports of the guest that lead to the host are not served
-U, --udp-ns=none           the same
-4, --ipv4-only             no IPv6
--userns=PATH               the user namespace to enter (default with a PID: its own)
--no-netns-quit             do not end with the namespace
-f, --foreground            do not run in the background
--ready-fd=FD               hawser's own: write 1 to this descriptor when the network serves
-P, --pid=FILE              write the process id there
-l, --log-file=FILE, -p, --pcap=FILE, -d, --debug, --trace, -q, --quiet
-h, --help, --version

In the background it is once its network serves: until then it waits. It ends when the namespace is removed.
HAWSER_API=on in the environment: hawser's own commands find it as pasta-PID.
`;
