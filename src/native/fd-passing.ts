import * as n from './constants.ts';
import { PosixError } from './errors.ts';
import type { Libc } from './libc.ts';
import { CMSG_HDR_LEN, Message } from './message.ts';
import type { FdReceiver } from './posix.ts';

/** Descriptors with one message. */
const MAX_FDS = 8;

/** CMSG_SPACE. */
const spaceFor = (fds: number): number => CMSG_HDR_LEN + ((4 * fds + 7) & ~7);

/** See `Posix.sendFd`. */
export function sendFd(c: Libc, socketFd: number, fd: number): void {
  const message = new Message(c);
  const view = message.control.view;
  view.setBigUint64(0, BigInt(CMSG_HDR_LEN + 4), true);
  view.setInt32(8, n.SOL_SOCKET, true);
  view.setInt32(12, n.SCM_RIGHTS, true);
  view.setInt32(CMSG_HDR_LEN, fd, true);
  const sent = message.send(socketFd, 1, spaceFor(1), n.MSG_NOSIGNAL);
  if (sent < 0) throw new PosixError('cannot pass a descriptor', -sent);
}

/**
 * See `FdReceiver`. Descriptors are peeked before their message is received: the kernel gives up those that find no room,
 * and to give up the last reference to a socket that lingers is to wait for it.
 *
 * A peek reports the next descriptors in the queue, which may be those of a later message. What was received had some if
 * the kernel says that it had no room for them.
 */
export class LinuxFdReceiver implements FdReceiver {
  readonly ahead: number[] = [];
  private readonly message: Message;
  private readonly socketFd: number;

  constructor(message: Message, socketFd: number) {
    this.message = message;
    this.socketFd = socketFd;
  }

  receive(bytes: Uint8Array, off: number, maxLen: number, fds: number[]): number {
    const { message, socketFd, ahead } = this;
    const flags = n.MSG_DONTWAIT | n.MSG_CMSG_CLOEXEC;
    const space = ahead.length === 0 ? spaceFor(MAX_FDS) : 0;
    const len = message.receive(socketFd, flags | n.MSG_PEEK, maxLen, space);
    if (len <= 0) return len;
    if (space > 0) {
      takeDescriptors(message, ahead);
      if ((message.flags & n.MSG_CTRUNC) !== 0) return -n.ETOOMANYREFS;
    }
    message.receive(socketFd, flags, len, 0);
    bytes.set(message.data.bytes.subarray(0, len), off);
    if ((message.flags & n.MSG_CTRUNC) !== 0) fds.push(...ahead.splice(0));
    return len;
  }
}

function takeDescriptors(message: Message, fds: number[]): void {
  const at = message.findControl(n.SOL_SOCKET, n.SCM_RIGHTS);
  if (at < 0) return;
  const { view } = message.control;
  const end = at + Number(view.getBigUint64(at, true));
  for (let p = at + CMSG_HDR_LEN; p < end; p += 4) fds.push(view.getInt32(p, true));
}

/** See `Posix.sendWithFds`. */
export function sendWithFds(
  message: Message,
  socketFd: number,
  bytes: Uint8Array,
  fds: readonly number[],
): number {
  const view = message.control.view;
  const controlLen = CMSG_HDR_LEN + 4 * fds.length;
  view.setBigUint64(0, BigInt(controlLen), true);
  view.setInt32(8, n.SOL_SOCKET, true);
  view.setInt32(12, n.SCM_RIGHTS, true);
  fds.forEach((fd, i) => {
    view.setInt32(CMSG_HDR_LEN + 4 * i, fd, true);
  });
  message.data.bytes.set(bytes);
  const space = fds.length === 0 ? 0 : spaceFor(fds.length);
  return message.send(socketFd, bytes.length, space, n.MSG_NOSIGNAL);
}

/** See `Posix.recvFd`. */
export function recvFd(c: Libc, socketFd: number): number | undefined {
  const message = new Message(c);
  const flags = n.MSG_DONTWAIT | n.MSG_CMSG_CLOEXEC;
  const len = message.receive(socketFd, flags, 1, spaceFor(1));
  if (len === -n.EAGAIN || len === 0) return undefined;
  if (len < 0) throw new PosixError('cannot receive a descriptor', -len);
  const fds: number[] = [];
  takeDescriptors(message, fds);
  return fds[0];
}
