/** Which Unix sockets of other processes have something that was not read, by the kernel's socket diagnosis (sock_diag(7)). */
import { AF_NETLINK, AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_RAW } from './constants.ts';
import type { Libc } from './libc.ts';
import type { UnreadSockets } from './posix.ts';

const NETLINK_SOCK_DIAG = 4;
const SOCK_DIAG_BY_FAMILY = 20;
const NLM_F_REQUEST = 1;
/** struct nlmsghdr, then struct unix_diag_req. */
const REQUEST_LEN = 40;
const FAMILY = 16;
const INODE = 24;
const SHOW = 28;
const COOKIE = 32;
const SHOW_QUEUE_LENGTHS = 0x10;
const ANY_COOKIE = 0xffff_ffff;
/** struct nlmsghdr, struct unix_diag_msg, then attributes. */
const TYPE = 4;
const ATTRIBUTES = 32;
const ATTRIBUTE_VALUE = 4;
const QUEUE_LENGTHS = 4;
const ROOM = 256;

export class LinuxUnreadSockets implements UnreadSockets {
  private readonly c: Libc;
  private readonly fd: number;
  private readonly request = new Uint8Array(REQUEST_LEN);
  private readonly requestView = new DataView(this.request.buffer);
  private readonly answer = new Uint8Array(ROOM);
  private readonly answerView = new DataView(this.answer.buffer);

  constructor(c: Libc) {
    this.c = c;
    this.fd = c.socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    const { requestView: view } = this;
    view.setUint32(0, REQUEST_LEN, true);
    view.setUint16(TYPE, SOCK_DIAG_BY_FAMILY, true);
    view.setUint16(TYPE + 2, NLM_F_REQUEST, true);
    view.setUint8(FAMILY, AF_UNIX);
    view.setUint32(SHOW, SHOW_QUEUE_LENGTHS, true);
    view.setUint32(COOKIE, ANY_COOKIE, true);
    view.setUint32(COOKIE + 4, ANY_COOKIE, true);
  }

  hasUnread(inode: number): boolean | undefined {
    const { c, fd, request, answer, answerView: view } = this;
    if (fd < 0) return undefined;
    this.requestView.setUint32(INODE, inode, true);
    // The kernel answers within the call.
    if (c.write(fd, request, REQUEST_LEN) < 0) return undefined;
    const len = c.read(fd, answer, ROOM);
    if (len < ATTRIBUTES || view.getUint16(TYPE, true) !== SOCK_DIAG_BY_FAMILY) return undefined;
    for (let at = ATTRIBUTES; at + ATTRIBUTE_VALUE + 4 <= len; ) {
      const attributeLen = view.getUint16(at, true);
      if (view.getUint16(at + 2, true) === QUEUE_LENGTHS) {
        return view.getUint32(at + ATTRIBUTE_VALUE, true) > 0;
      }
      at += Math.max((attributeLen + 3) & ~3, ATTRIBUTE_VALUE);
    }
    return undefined;
  }

  close(): void {
    if (this.fd >= 0) this.c.close(this.fd);
  }
}
