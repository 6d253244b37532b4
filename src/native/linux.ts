/** {@link Posix} on Linux: the small calls here, the larger ones in files of their own. */

import type { IpAddress } from '../base/ip-address.ts';
import { LinuxBoundSockets } from './bound-sockets.ts';
import * as n from './constants.ts';
import { LinuxDatagramBatch } from './datagram-batch.ts';
import { LinuxDatagramReader } from './datagram-reader.ts';
import { openDatagramSocket } from './datagram-socket.ts';
import { discardPages } from './discard-pages.ts';
import { readErrorQueue } from './error-queue.ts';
import { PosixError } from './errors.ts';
import { LinuxEventCounters } from './event-counters.ts';
import { LinuxFdReceiver, recvFd, sendFd, sendWithFds } from './fd-passing.ts';
import { LinuxFrameBatch } from './frame-batch.ts';
import type { Libc } from './libc.ts';
import { openListenEvents } from './listen-events.ts';
import { Message } from './message.ts';
import { LinuxMessageSockets } from './message-sockets.ts';
import { inNetns } from './netns.ts';
import { openPacketSocket } from './packet-socket.ts';
import { peerUid } from './peer-uid.ts';
import type {
  BoundSockets,
  DatagramBatch,
  DatagramReader,
  DatagramRoom,
  EventCounters,
  FdReceiver,
  FrameBatch,
  ListenEvents,
  MessageSockets,
  Posix,
  QueuedError,
  SharedMapping,
  SocketPairType,
  Tap,
  TapOptions,
  TapTools,
  UnreadSockets,
} from './posix.ts';
import { DescriptorRoom } from './reserve-descriptors.ts';
import { openRouteEvents } from './route-events.ts';
import { mapShared } from './shared-mapping.ts';
import { setSendBuffer } from './socket-buffer.ts';
import { openSocketEnds } from './socket-ends.ts';
import { makeTap, openTap, openTapTools } from './tap.ts';
import { LinuxUnreadSockets } from './unread-sockets.ts';

const SOCKET_TYPES: Readonly<Record<SocketPairType, number>> = {
  stream: n.SOCK_STREAM,
  dgram: n.SOCK_DGRAM,
  seqpacket: n.SOCK_SEQPACKET,
};

const SOCKET_PAIR_TYPES = ['stream', 'dgram', 'seqpacket'] as const;
const SOCKET_TYPE_LEN = 4;

export class LinuxPosix implements Posix {
  private readonly c: Libc;
  private readonly word = new Uint8Array(8);
  private readonly wordView = new DataView(this.word.buffer);

  private readonly room: DescriptorRoom;
  private ownMessage: Message | undefined = undefined;
  private ownCounters: LinuxEventCounters | undefined = undefined;
  private ownMessageSockets: LinuxMessageSockets | undefined = undefined;

  constructor(c: Libc) {
    this.c = c;
    this.room = new DescriptorRoom(c);
  }

  openTap(options: TapOptions): Tap {
    return openTap(this.c, options);
  }

  openTapTools(netns?: string): TapTools {
    return openTapTools(this.c, netns);
  }

  makeTap(tools: TapTools, options: TapOptions): Tap {
    return makeTap(this.c, tools, options);
  }

  openPacketSocket(ifName: string, netns?: string, vnetHdr = false): number {
    return openPacketSocket(this.c, ifName, netns, vnetHdr);
  }

  openPingSocket(family: 4 | 6): number {
    const domain = family === 4 ? n.AF_INET : n.AF_INET6;
    const protocol = family === 4 ? n.IPPROTO_ICMP : n.IPPROTO_ICMPV6;
    const fd = this.c.socket(domain, n.SOCK_DGRAM | n.SOCK_NONBLOCK | n.SOCK_CLOEXEC, protocol);
    if (fd < 0) {
      throw new PosixError(
        'cannot open a ping socket',
        this.c.errno(),
        'allow our group with `sysctl net.ipv4.ping_group_range="0 2147483647"`',
      );
    }
    return fd;
  }

  openRouteEvents(): number {
    return openRouteEvents(this.c);
  }

  makeDatagramBatch(): DatagramBatch {
    return new LinuxDatagramBatch(this.c);
  }

  makeDatagramReader(room?: DatagramRoom): DatagramReader {
    return new LinuxDatagramReader(this.c, room);
  }

  makeFrameBatch(): FrameBatch {
    return new LinuxFrameBatch(this.c);
  }

  openUnreadSockets(): UnreadSockets {
    return new LinuxUnreadSockets(this.c);
  }

  openBoundSockets(withUdp: boolean): BoundSockets {
    return new LinuxBoundSockets(this.c, withUdp);
  }

  openListenEvents(): ListenEvents {
    return openListenEvents(this.c);
  }

  openSocketEnds(): number {
    return openSocketEnds(this.c);
  }

  get messageSockets(): MessageSockets {
    this.ownMessageSockets ??= new LinuxMessageSockets(this.c);
    return this.ownMessageSockets;
  }

  openDatagramSocket(
    address: IpAddress,
    port: number,
    dualStack: boolean,
  ): { readonly fd: number; readonly port: number } {
    return openDatagramSocket(this.c, address, port, dualStack);
  }

  reportDestinations(fd: number, family: 4 | 6): void {
    if (family === 4) this.setSocketOption(fd, n.SOL_IP, n.IP_PKTINFO, 1);
    else this.setSocketOption(fd, n.SOL_IPV6, n.IPV6_RECVPKTINFO, 1);
  }

  setSocketOption(fd: number, level: number, option: number, value: number): void {
    this.wordView.setInt32(0, value, true);
    if (this.c.setsockopt(fd, level, option, this.word, 4) < 0) {
      throw new PosixError(`cannot set socket option ${level}/${option}`, this.c.errno());
    }
  }

  socketType(fd: number): SocketPairType | undefined {
    const len = new Uint8Array(Int32Array.of(SOCKET_TYPE_LEN).buffer);
    if (this.c.getsockopt(fd, n.SOL_SOCKET, n.SO_TYPE, this.word, len) < 0) return undefined;
    const type = this.wordView.getInt32(0, true);
    return SOCKET_PAIR_TYPES.find((name) => SOCKET_TYPES[name] === type);
  }

  peerUid(fd: number): number | undefined {
    return peerUid(this.c, fd);
  }

  setSendBuffer(fd: number, bytes: number): void {
    setSendBuffer(this.c, fd, bytes);
  }

  enableErrorQueue(fd: number, family: 4 | 6): void {
    if (family === 4) this.setSocketOption(fd, n.SOL_IP, n.IP_RECVERR, 1);
    else this.setSocketOption(fd, n.SOL_IPV6, n.IPV6_RECVERR, 1);
  }

  readErrorQueue(fd: number): QueuedError | undefined {
    return readErrorQueue(this.message(), fd);
  }

  read(fd: number, bytes: Uint8Array, off: number, len: number): number {
    const got = this.c.read(fd, off === 0 ? bytes : bytes.subarray(off), len);
    return got < 0 ? -this.c.errno() : got;
  }

  write(fd: number, bytes: Uint8Array, off: number, len: number): number {
    const put = this.c.write(fd, off === 0 ? bytes : bytes.subarray(off), len);
    return put < 0 ? -this.c.errno() : put;
  }

  isBroken(fd: number): boolean {
    this.wordView.setInt32(0, fd, true);
    this.wordView.setInt32(n.POLLFD_EVENTS, 0, true); // `events` and, after it, `revents`
    if (this.c.poll(this.word, 1, 0) <= 0) return false;
    return (this.wordView.getInt16(n.POLLFD_REVENTS, true) & (n.POLLERR | n.POLLHUP)) !== 0;
  }

  readFailure(fd: number): number {
    if (this.c.recv(fd, this.word, 1, n.MSG_PEEK | n.MSG_DONTWAIT) >= 0) return 0;
    const errno = this.c.errno();
    return errno === n.EAGAIN || errno === n.ENOTSOCK ? 0 : -errno;
  }

  close(fd: number): void {
    this.c.close(fd);
  }

  lockFile(fd: number): number {
    return this.c.flock(fd, n.LOCK_EX | n.LOCK_NB) < 0 ? -this.c.errno() : 0;
  }

  reserveDescriptors(count: number): void {
    this.room.reserve(count);
  }

  socketPair(type: SocketPairType): readonly [number, number] {
    const flags = n.SOCK_NONBLOCK | n.SOCK_CLOEXEC;
    if (this.c.socketpair(n.AF_UNIX, SOCKET_TYPES[type] | flags, 0, this.word) < 0) {
      throw new PosixError(`cannot make a ${type} socket pair`, this.c.errno());
    }
    return [this.wordView.getInt32(0, true), this.wordView.getInt32(4, true)];
  }

  sendFd(socketFd: number, fd: number): void {
    sendFd(this.c, socketFd, fd);
  }

  recvFd(socketFd: number): number | undefined {
    return recvFd(this.c, socketFd);
  }

  makeFdReceiver(socketFd: number): FdReceiver {
    return new LinuxFdReceiver(this.message(), socketFd);
  }

  sendWithFds(socketFd: number, bytes: Uint8Array, fds: readonly number[]): number {
    return sendWithFds(this.message(), socketFd, bytes, fds);
  }

  endWriting(socketFd: number): boolean {
    return this.c.shutdown(socketFd, n.SHUT_WR) === 0;
  }

  shutdown(socketFd: number): void {
    this.c.shutdown(socketFd, n.SHUT_RDWR);
  }

  refuseDescriptors(socketFd: number): boolean {
    this.wordView.setInt32(0, 0, true);
    return this.c.setsockopt(socketFd, n.SOL_SOCKET, n.SO_PASSRIGHTS, this.word, 4) === 0;
  }

  sealSize(fd: number): boolean {
    const seals = this.c.fcntl(fd, n.F_GET_SEALS, 0);
    if (seals < 0) return false;
    if ((seals & n.F_SEAL_SHRINK) !== 0) return true;
    return this.c.fcntl(fd, n.F_ADD_SEALS, n.F_SEAL_SHRINK) === 0;
  }

  isMemoryFile(fd: number): boolean {
    return this.c.fcntl(fd, n.F_GET_SEALS, 0) >= 0;
  }

  get eventCounters(): EventCounters {
    this.ownCounters ??= new LinuxEventCounters(this.c);
    return this.ownCounters;
  }

  mapShared(fd: number, offset: number, len: number): SharedMapping {
    return mapShared(this.c, fd, offset, len);
  }

  discard(bytes: Uint8Array): void {
    discardPages(this.c, bytes);
  }

  trimAllocator(): void {
    this.c.mallocTrim(0);
  }

  inNetns<T>(netns: string, run: () => T): T {
    return inNetns(this.c, netns, run);
  }

  private message(): Message {
    this.ownMessage ??= new Message(this.c);
    return this.ownMessage;
  }
}
