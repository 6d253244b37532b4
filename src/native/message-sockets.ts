/** Unix sockets that keep the boundaries of messages (unix(7)): SOCK_DGRAM and SOCK_SEQPACKET. */
import * as n from './constants.ts';
import { PosixError } from './errors.ts';
import type { Libc } from './libc.ts';
import type { MessageSockets, MessageSocketType } from './posix.ts';
import { unixSockaddr } from './sockaddr.ts';
import { setReceiveBuffer, setSendBuffer } from './socket-buffer.ts';
import { makePrivately } from './unix-listener.ts';

const BACKLOG = 128;
const TYPES: Readonly<Record<MessageSocketType, number>> = {
  dgram: n.SOCK_DGRAM,
  seqpacket: n.SOCK_SEQPACKET,
};
const FLAGS = n.SOCK_NONBLOCK | n.SOCK_CLOEXEC;

export class LinuxMessageSockets implements MessageSockets {
  private readonly c: Libc;
  private readonly value = new Uint8Array(4);
  private readonly valueLen = new Uint8Array(4);

  constructor(c: Libc) {
    this.c = c;
  }

  open(type: MessageSocketType, path: string, mode: number): number {
    const { c } = this;
    const fd = c.socket(n.AF_UNIX, TYPES[type] | FLAGS, 0);
    if (fd < 0) throw new PosixError('cannot open a Unix socket', c.errno());
    const name = unixSockaddr(path);
    try {
      makePrivately(path, mode, () => {
        if (c.bind(fd, name, name.length) < 0) {
          throw new PosixError(`cannot bind a socket to ${path}`, c.errno());
        }
        return true;
      });
      if (type === 'seqpacket' && c.listen(fd, BACKLOG) < 0) {
        throw new PosixError(`cannot listen on ${path}`, c.errno());
      }
    } catch (error) {
      c.close(fd);
      throw error;
    }
    return fd;
  }

  accept(fd: number): number {
    const accepted = this.c.accept4(fd, 0, 0, FLAGS);
    return accepted < 0 ? -this.c.errno() : accepted;
  }

  connect(fd: number, path: string): number {
    const name = unixSockaddr(path);
    return this.c.connect(fd, name, name.length) < 0 ? -this.c.errno() : 0;
  }

  disconnect(fd: number): void {
    this.c.connect(fd, new Uint8Array(2), 2); // AF_UNSPEC
  }

  duplicate(fd: number): number {
    const duplicate = this.c.fcntl(fd, n.F_DUPFD_CLOEXEC, 0);
    return duplicate < 0 ? -this.c.errno() : duplicate;
  }

  /** By connecting, which sends nothing. A socket that is connected to another, as clients are to us, refuses with EPERM. */
  isServed(name: Uint8Array): boolean {
    const { c } = this;
    const fd = c.socket(n.AF_UNIX, n.SOCK_DGRAM | FLAGS, 0);
    if (fd < 0) return true;
    const errno = c.connect(fd, name, name.length) < 0 ? c.errno() : 0;
    c.close(fd);
    return errno !== n.ECONNREFUSED && errno !== n.ENOENT && errno !== n.EPROTOTYPE;
  }

  typeOf(fd: number): MessageSocketType | undefined {
    if (this.option(fd, n.SO_DOMAIN) !== n.AF_UNIX) return undefined;
    const type = this.option(fd, n.SO_TYPE);
    if (type === n.SOCK_DGRAM) return 'dgram';
    return type === n.SOCK_SEQPACKET ? 'seqpacket' : undefined;
  }

  isListening(fd: number): boolean {
    return this.option(fd, n.SO_ACCEPTCONN) === 1;
  }

  setBuffers(fd: number, sendBytes: number, receiveBytes: number): number {
    setSendBuffer(this.c, fd, sendBytes);
    setReceiveBuffer(this.c, fd, receiveBytes);
    return this.option(fd, n.SO_SNDBUF) ?? 0;
  }

  unread(fd: number): number {
    const { c, value } = this;
    return c.ioctl(fd, n.SIOCOUTQ, value) < 0 ? 0 : new DataView(value.buffer).getInt32(0, true);
  }

  private option(fd: number, option: number): number | undefined {
    new DataView(this.valueLen.buffer).setInt32(0, this.value.length, true);
    const { c, value, valueLen } = this;
    if (c.getsockopt(fd, n.SOL_SOCKET, option, value, valueLen) < 0) return undefined;
    return new DataView(value.buffer).getInt32(0, true);
  }
}
