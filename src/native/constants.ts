/** Numbers of the Linux ABI; the same on x64 and arm64. */

export const O_RDWR = 0o2;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;

export const EPERM = 1;
export const ENOENT = 2;
export const EIO = 5;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EBUSY = 16;
export const EINVAL = 22;
export const ENFILE = 23;
export const EMFILE = 24;
export const EPIPE = 32;
export const ENOSYS = 38;
export const EMSGSIZE = 90;
export const EPROTOTYPE = 91;
export const EOPNOTSUPP = 95;
export const ECONNABORTED = 103;
export const ECONNRESET = 104;
export const ENOBUFS = 105;
export const ENOTSOCK = 88;
export const ENOTCONN = 107;
export const ETOOMANYREFS = 109;
export const ECONNREFUSED = 111;

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const AF_PACKET = 17;

export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_SEQPACKET = 5;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;

export const IPPROTO_ICMP = 1;
export const IPPROTO_ICMPV6 = 58;

export const SOL_IP = 0;
export const SOL_SOCKET = 1;
export const SOL_TCP = 6;
export const SOL_UDP = 17;
export const SOL_IPV6 = 41;
export const SOL_PACKET = 263;
export const IP_TTL = 2;
export const IP_PKTINFO = 8;
export const IP_RECVERR = 11;
export const IPV6_UNICAST_HOPS = 16;
export const IPV6_RECVERR = 25;
export const IPV6_V6ONLY = 26;
export const IPV6_RECVPKTINFO = 49;
export const IPV6_PKTINFO = 50;
export const UDP_SEGMENT = 103;
export const TCP_KEEPINTVL = 5;
export const TCP_KEEPCNT = 6;
export const SO_TYPE = 3;
export const SO_SNDBUF = 7;
export const SO_PEERCRED = 17;
export const SO_RCVBUF = 8;
export const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;
export const SO_ACCEPTCONN = 30;
export const SO_DOMAIN = 39;
export const PACKET_VNET_HDR = 15;
export const PACKET_IGNORE_OUTGOING = 23;
export const SCM_RIGHTS = 1;

export const SO_PASSRIGHTS = 83;

export const SHUT_WR = 1;
export const SHUT_RDWR = 2;

export const MSG_PEEK = 0x2;
export const MSG_CTRUNC = 0x8;
export const MSG_DONTWAIT = 0x40;
export const MSG_ERRQUEUE = 0x2000;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_CMSG_CLOEXEC = 0x40000000;

export const LOCK_EX = 2;
export const LOCK_NB = 4;

export const F_SETFL = 4;
export const F_DUPFD_CLOEXEC = 1030;
export const F_ADD_SEALS = 1033;
export const F_GET_SEALS = 1034;
export const F_SEAL_SHRINK = 2;

export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const MAP_SHARED = 1;
export const MADV_DONTNEED = 4;

export const ETH_P_ALL = 3;
export const CLONE_NEWNET = 0x40000000;

export const IFNAMSIZ = 16;
/** Size of `struct ifreq`. */
export const IFREQ_LEN = 40;
export const IFF_UP = 1;
export const IFF_TAP = 0x2;
export const IFF_NO_PI = 0x1000;
export const IFF_VNET_HDR = 0x4000;
export const TUNSETIFF = 0x400454ca;
export const TUNSETOFFLOAD = 0x400454d0;
export const TUNSETVNETHDRSZ = 0x400454d8;
export const TUN_F_CSUM = 1;
export const TUN_F_TSO4 = 2;
export const TUN_F_TSO6 = 4;
export const SIOCOUTQ = 0x5411;
export const SIOCADDRT = 0x890b;
export const SIOCGIFFLAGS = 0x8913;
export const SIOCSIFFLAGS = 0x8914;
export const SIOCSIFADDR = 0x8916;
export const SIOCSIFNETMASK = 0x891c;
export const SIOCSIFMTU = 0x8922;
export const SIOCSIFHWADDR = 0x8924;
export const SIOCGIFINDEX = 0x8933;
export const ARPHRD_ETHER = 1;

// `struct rtentry`: a route of IPv4 (SIOCADDRT)
export const RTENTRY_LEN = 120;
export const RTENTRY_DST = 8;
export const RTENTRY_GATEWAY = 24;
export const RTENTRY_GENMASK = 40;
export const RTENTRY_FLAGS = 56;
export const RTF_UP = 1;
export const RTF_GATEWAY = 2;

// poll(2): `struct pollfd` and what it reports without being asked
export const POLLFD_EVENTS = 4;
export const POLLFD_REVENTS = 6;
export const POLLERR = 0x8;
export const POLLHUP = 0x10;
