/** What launchers look for in the help, and read of the version. */

export const SLIRP_HELP = `Usage: hawser-slirp4netns [OPTION]... PID|PATH|FD [TAPNAME]
The command line of slirp4netns, served by hawser.

-c, --configure          bring up the interface, with an address and a default route
-e, --exit-fd=FD         end when the other end of this descriptor is closed
-r, --ready-fd=FD        write 1 to this descriptor when the network serves
-m, --mtu=MTU            default=1500, max=65521
-6, --enable-ipv6        enable IPv6 (fd00::/64)
-a, --api-socket=PATH    serve add_hostfwd, list_hostfwd and remove_hostfwd there
--cidr=CIDR              the network (default=10.0.2.0/24): 2 is the gateway, 3 DNS, 100 the guest
--disable-host-loopback  prohibit connecting to 127.0.0.1:* on the host namespace
--netns-type=TYPE        type of the network namespace ([path|pid|tapfd], default=pid)
--userns-path=PATH       the user namespace to enter (default with a PID: its own)
--enable-sandbox         give up files, capabilities and system calls that are not needed
--enable-seccomp         the same
--outbound-addr=IPv4     source address of connections to other hosts, or an interface
--outbound-addr6=IPv6    the same for IPv6
--disable-dns            no DNS server for the guest
--macaddress=MAC         of the TAP (only valid with -c)
--target-type=TYPE       type of the target ([netns|bess], default=netns)
-h, --help               show this help and exit
-v, --version            show version and exit

As an ordinary user it needs nsenter (util-linux) to enter a user namespace.
HAWSER_API=on in the environment: hawser's own commands find it as slirp4netns-PID, as in
"hawser status --name slirp4netns-4711".
`;

/** Of slirp4netns, whose command line this is. */
const LIKE_VERSION = '1.3.2';

export const slirpVersion = (version: string): string =>
  `slirp4netns version ${LIKE_VERSION}\nhawser: ${version}\n`;
