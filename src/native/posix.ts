/**
 * The native calls that Node lacks, in one place: TAP devices, packet and ping sockets, the error
 * queue of a socket, descriptors passed between processes.
 *
 * They need the optional package koffi, which is loaded at the first call of `loadPosix` (load.ts), and never
 * without one. Everything here is synchronous, but for what waits in the kernel: koffi's asynchronous calls
 * keep no reference to their buffers and block the thread pool. Descriptors are non-blocking and
 * close-on-exec; they belong to the caller.
 */
import type { IpAddress } from '../base/ip-address.ts';
import type { Slab } from '../base/slab.ts';

export interface TapOptions {
  /** Interface name; it is created when absent, and then lives as long as the descriptor. */
  readonly name: string;
  /** A name under /run/netns, or a path such as /proc/123/ns/net. Absent: the current one. */
  readonly netns?: string | undefined;
  /** Frames carry a virtio-net header, so that checksums and segmentation are left to the kernel. */
  readonly vnetHdr: boolean;
  readonly mtu: number;
  /** Whether it is brought up, with its MTU. Default: yes. */
  readonly up?: boolean | undefined;
  /** Also do what a guest does by itself otherwise. Default: no. */
  readonly guest?: TapGuest | undefined;
}

/** Settings of the interface, which is the guest's. */
export interface TapGuest {
  /** Default: one that is made from the names. */
  readonly mac: Uint8Array | undefined;
  /** Of IPv4. */
  readonly address: IpAddress;
  readonly prefixLen: number;
  /** The default route. */
  readonly gateway: IpAddress;
}

/**
 * Descriptors by which a TAP is made. They are of the network namespace in which they were opened, also in a process that
 * they were passed to; that needs CAP_NET_ADMIN over the namespace, which the user has who made its user namespace.
 */
export interface TapTools {
  /** Of /dev/net/tun. */
  readonly tunnel: number;
  /** A socket. */
  readonly control: number;
}

export interface Tap {
  readonly fd: number;
  readonly ifName: string;
  /** Bytes before each frame, read and written; 0 without `vnetHdr`. */
  readonly vnetHdrLen: number;
}

/** One entry of a socket's error queue (ip(7), IP_RECVERR). */
export interface QueuedError {
  /** The error that `send` would have failed with, as a name: `ECONNREFUSED`, `EHOSTUNREACH`, `EMSGSIZE`. */
  readonly code: string;
  readonly origin: 'local' | 'icmp' | 'icmp6' | 'other';
  /** Type and code of the ICMP message; 0 for other origins. */
  readonly icmpType: number;
  readonly icmpCode: number;
  /** For `EMSGSIZE`: the path MTU. */
  readonly info: number;
  /** The router or host that reported it. */
  readonly offender: IpAddress | undefined;
  /** The destination of the datagram that caused it. */
  readonly destination: IpAddress | undefined;
  readonly destinationPort: number;
  /** Start of its payload: after the UDP header; on a ping socket, from the ICMP header. A copy. */
  readonly payload: Uint8Array;
}

export type SocketPairType = 'stream' | 'dgram' | 'seqpacket';

/** Datagrams gathered for one system call. Start with `clear`. */
export interface DatagramBatch {
  readonly capacity: number;
  /** Datagrams added since `clear`. */
  readonly length: number;
  /** Whether the first message holds several datagrams, to be segmented by the kernel. */
  readonly segmented: boolean;
  /** @param segments consecutive datagrams of equal length may be one message; only for UDP sockets */
  clear(segments: boolean): void;
  /**
   * @param bytes the datagram is their first `len`; not copied but held, so that they must stay as they are
   * @param name a `struct sockaddr`; datagrams with the same object are to the same address
   * @param source control message with the address to send from; the same for the same `name`
   * @param joins whether it may be one message with those before it
   * @returns false when it is full
   */
  add(
    bytes: Uint8Array,
    len: number,
    name: Uint8Array,
    source?: Uint8Array,
    joins?: boolean,
  ): boolean;
  /**
   * @returns how many datagrams the kernel accepted, from the first; less than all when it refused the
   *   next, whose error is lost. Or -errno when it refused the first message.
   */
  send(fd: number): number;
}

/** Datagrams received by one system call, until the next. */
export interface DatagramReader {
  /** Datagrams of one call at most. */
  readonly capacity: number;
  readonly bytes: Uint8Array;
  /** A `struct sockaddr` each. */
  readonly names: Slab;
  /** @returns how many there are; -errno when there are none */
  receive(fd: number): number;
  off(i: number): number;
  len(i: number): number;
  nameOff(i: number): number;
  nameLen(i: number): number;
  /**
   * The host's address that it was sent to, IPv4 as v4-mapped.
   *
   * @returns false when the kernel did not report it
   */
  local(i: number, words: Int32Array): boolean;
}

/** Where datagrams are received to. */
export interface DatagramRoom {
  /** Divided among the messages. */
  readonly data: Slab;
  readonly messages: number;
  /** Of the longest address. */
  readonly nameLen: number;
}

/** Frames of one slab for one system call, each a message of its own. Start with `begin`. */
export interface FrameBatch {
  readonly capacity: number;
  /**
   * @param bytes where the frames are; they must stay as they are until sent
   * @param name the receiver's `struct sockaddr`, the same object for the same receiver; none on a connected socket
   */
  begin(bytes: Uint8Array, name: Uint8Array | undefined): void;
  add(off: number, len: number): void;
  /** @returns how many frames the kernel took, from the first; -errno when it refused the first */
  send(fd: number): number;
}

/** Which Unix sockets of other processes, in this network namespace, have something that was not read. */
export interface UnreadSockets {
  /** @returns undefined where the system does not tell */
  hasUnread(inode: number): boolean | undefined;
  close(): void;
}

/** A socket that waits for peers. */
export interface BoundSocket {
  readonly protocol: 'tcp' | 'udp';
  /** As it is bound. */
  readonly address: IpAddress;
  readonly port: number;
  /** Of one of IPv6: whether clients of IPv4 do not reach it. Undefined: it is not known. */
  readonly v6Only: boolean | undefined;
  readonly inode: number;
}

/** Whether a socket that was there is known to have ended. */
export type HasEnded = (socket: BoundSocket) => boolean;

/** Sockets of this network namespace that wait for peers: TCP that listens, UDP that is not connected. */
export interface BoundSockets {
  /**
   * Read them again.
   *
   * @param hasEnded asked once for each of those of the last time that are missing: of one that has ended nothing has to be
   * made sure
   * @returns `same`: there are the same as before. Undefined: they cannot be read now
   */
  read(hasEnded?: HasEnded): readonly BoundSocket[] | 'same' | undefined;
  close(): void;
}

/** A TCP socket that began to listen, or that listened and has ended; of any network namespace. */
export interface ListenEvent {
  readonly kind: 'begun' | 'ended';
  /** The same for both, and later for another. */
  readonly socket: number;
  readonly port: number;
  /** When it is drained. */
  readonly ageMs: number;
}

export interface ListenEvents {
  /** Readable when there is something to drain; each says so once. They are the caller's. */
  readonly fds: readonly number[];
  /** Whether there is something to drain. */
  hasSome(): boolean;
  /** @returns what has happened since the last time, in order; `isWhole`: nothing was lost */
  drain(): { readonly events: readonly ListenEvent[]; readonly isWhole: boolean };
  /** Before the descriptors are closed. It cannot be drained any more. */
  unmap(): void;
}

export type MessageSocketType = 'dgram' | 'seqpacket';

/** Unix sockets that keep the boundaries of messages. */
export interface MessageSockets {
  /**
   * Bind one to a path, and have it listen if it is of connections.
   *
   * @param mode permission bits of the path, from its first moment on
   * @throws PosixError
   */
  open(type: MessageSocketType, path: string, mode: number): number;
  /** @returns the descriptor, or -errno */
  accept(fd: number): number;
  /** Send to `path`, and receive from it alone. @returns 0, or -errno */
  connect(fd: number, path: string): number;
  /** The opposite. */
  disconnect(fd: number): void;
  /** @returns another descriptor of the same socket, or -errno */
  duplicate(fd: number): number;
  /** Whether a process has a datagram socket of this name, a `struct sockaddr_un`. */
  isServed(name: Uint8Array): boolean;
  /** @returns undefined for what is no such socket */
  typeOf(fd: number): MessageSocketType | undefined;
  isListening(fd: number): boolean;
  /** As large as the system allows, up to this. @returns the size of the one to send from, with the kernel's overhead */
  setBuffers(fd: number, sendBytes: number, receiveBytes: number): number;
  /** Bytes that were sent and not received yet, by anybody, with the kernel's overhead. */
  unread(fd: number): number;
}

/** Receives from a stream socket whose peer passes descriptors, which belong to the caller. */
export interface FdReceiver {
  /** Descriptors of a message that has not been received yet. */
  readonly ahead: readonly number[];
  /**
   * Receive without waiting.
   *
   * @param fds those passed along are added to it, at most 8 for one message
   * @returns bytes received, 0 at the end, or -errno: -ETOOMANYREFS when there are more descriptors, or no room for
   *   them; the message stays in the queue then
   */
  receive(bytes: Uint8Array, off: number, maxLen: number, fds: number[]): number;
}

/**
 * Counters (eventfd(2)) shared with a process that may be hostile. O_NONBLOCK belongs to the counter and not to the
 * descriptor, and the other process can clear it at any time; neither call here ever waits.
 */
export interface EventCounters {
  /** Reset it. @returns its bytes, 8, or -errno: -EAGAIN when it is 0 */
  take(fd: number): number;
  /** Add one. @returns 0, or -errno */
  signal(fd: number): number;
}

/** Memory shared with another process. */
export interface SharedMapping {
  /** `len` bytes from `off`; nothing of it may be touched after `unmap`: the process would crash. */
  view(off: number, len: number): Uint8Array;
  unmap(): void;
}

export interface Posix {
  /**
   * Open a TAP device and bring it up with its MTU.
   *
   * @throws PosixError
   */
  openTap(options: TapOptions): Tap;
  /** @throws PosixError */
  openTapTools(netns?: string): TapTools;
  /**
   * As {@link openTap}.
   *
   * @param tools of the TAP's network namespace; they belong to the call
   * @throws PosixError
   */
  makeTap(tools: TapTools, options: TapOptions): Tap;
  /**
   * A raw packet socket on an interface: whole Ethernet frames; own frames are not echoed.
   *
   * @param vnetHdr each frame is preceded by 10 bytes of virtio-net header, in both directions
   */
  openPacketSocket(ifName: string, netns?: string, vnetHdr?: boolean): number;
  /**
   * An unprivileged ping socket: an ICMP echo message per datagram, without the IP header; the
   * kernel sets identifier and checksum. Drive it with {@link Posix} calls or, better, with
   * `dgram.createSocket(...).bind({ fd })`.
   *
   * @throws PosixError `EACCES` where net.ipv4.ping_group_range leaves out our group
   */
  openPingSocket(family: 4 | 6): number;
  /** A socket that becomes readable when links, addresses or routes of the host have changed. */
  openRouteEvents(): number;
  makeDatagramBatch(): DatagramBatch;
  /** @param room by default, that of UDP */
  makeDatagramReader(room?: DatagramRoom): DatagramReader;
  makeFrameBatch(): FrameBatch;
  openUnreadSockets(): UnreadSockets;
  /** @throws PosixError */
  openBoundSockets(withUdp: boolean): BoundSockets;
  /** A socket that is readable when sockets without a peer have ended. @throws PosixError */
  openSocketEnds(): number;
  /** @throws PosixError, Error: the kernel, or our rights, do not allow it */
  openListenEvents(): ListenEvents;
  readonly messageSockets: MessageSockets;
  /**
   * A UDP socket that reports the destination address of each datagram.
   *
   * @param port 0: the system picks one
   * @param dualStack of `::`: IPv4 too
   * @throws PosixError
   */
  openDatagramSocket(
    address: IpAddress,
    port: number,
    dualStack: boolean,
  ): { readonly fd: number; readonly port: number };
  /** Have a bound UDP socket report the destination address of each datagram. */
  reportDestinations(fd: number, family: 4 | 6): void;
  setSocketOption(fd: number, level: number, option: number, value: number): void;
  /** Undefined for what is no socket, or of another type. */
  socketType(fd: number): SocketPairType | undefined;
  /** The user at the other end of a Unix socket; undefined for another socket. */
  peerUid(fd: number): number | undefined;
  /** Set the socket's send buffer to `bytes`, or as many as the system allows. */
  setSendBuffer(fd: number, bytes: number): void;
  /** Queue ICMP errors on the socket for {@link readErrorQueue}. */
  enableErrorQueue(fd: number, family: 4 | 6): void;
  /** @returns the oldest queued error, or undefined when there is none */
  readErrorQueue(fd: number): QueuedError | undefined;
  /** @returns bytes read, 0 at the end, or -errno */
  read(fd: number, bytes: Uint8Array, off: number, len: number): number;
  /** @returns bytes written, or -errno */
  write(fd: number, bytes: Uint8Array, off: number, len: number): number;
  close(fd: number): void;
  /**
   * Lock a file (flock(2)) for this open file description alone, without waiting.
   *
   * @returns 0, or -errno: -EAGAIN while another one has it
   */
  lockFile(fd: number): number;
  /** Make room for so many descriptors, soon, in a thread of the pool; one that cannot be had does without. */
  reserveDescriptors(count: number): void;
  /** Whether `fd` is one end of a pipe or connection whose other end is closed. */
  isBroken(fd: number): boolean;
  /** What has failed the socket `fd`: -errno. 0: nothing, and a read would have bytes, or the end, or wait. */
  readFailure(fd: number): number;
  socketPair(type: SocketPairType): readonly [number, number];
  /** Pass a descriptor with one byte of data. */
  sendFd(socketFd: number, fd: number): void;
  /** @returns the descriptor passed, or undefined when none is waiting or the peer has closed */
  recvFd(socketFd: number): number | undefined;
  /** @param socketFd a stream socket; nobody else receives from it */
  makeFdReceiver(socketFd: number): FdReceiver;
  /** Send up to 2 KiB and descriptors. @returns bytes sent, or -errno */
  sendWithFds(socketFd: number, bytes: Uint8Array, fds: readonly number[]): number;
  /** No more is sent: the peer hears of it after what was. @returns false when it is not connected any more */
  endWriting(socketFd: number): boolean;
  /** No more is received or sent; what has arrived can still be received. */
  shutdown(socketFd: number): void;
  /** Have the kernel refuse messages with descriptors to a Unix socket, and to those it accepts. @returns false before Linux 6.16 */
  refuseDescriptors(socketFd: number): boolean;
  /**
   * Have a memory file (memfd_create(2)) never shrink again, so that a mapping of it has pages as long as it exists.
   *
   * @returns false for one that does not allow seals, and any other kind of file
   */
  sealSize(fd: number): boolean;
  /** Whether it is a file in memory: a memfd, or one of tmpfs or hugetlbfs. No file system is asked. */
  isMemoryFile(fd: number): boolean;
  readonly eventCounters: EventCounters;
  /**
   * Map part of a file that another process writes too. The descriptor may be closed afterwards.
   *
   * @param offset a multiple of the page size
   * @throws PosixError
   */
  mapShared(fd: number, offset: number, len: number): SharedMapping;
  /**
   * Give the pages that lie in `bytes`, memory of this process alone, back to the system. They hold zeros afterwards, or
   * where the system refuses what they held.
   */
  discard(bytes: Uint8Array): void;
  /** Have the C library give back what it keeps of freed memory, where it can: some milliseconds. */
  trimAllocator(): void;
  /**
   * Run `run` with this thread in another network namespace, and return to the current one. Sockets keep the
   * namespace they were created in.
   */
  inNetns<T>(netns: string, run: () => T): T;
}
