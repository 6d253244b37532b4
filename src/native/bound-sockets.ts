/**
 * Sockets that wait for peers: TCP sockets that listen, UDP sockets that are bound and not connected. Of this network
 * namespace, by the kernel's socket diagnosis (sock_diag(7)), which filters them by state: connections are not walked. The
 * older form of the request lists both families at once, and walks the kernel's table of listeners once, which has one row
 * for each 2 MiB of memory and costs more than what is in it.
 *
 * A dump is kept as bytes beside the one before: where both are equal nothing has changed, and nothing is parsed. Of a
 * socket that was there before, the same object is handed out. There are as many as this machine has.
 */
import { IpAddress, ipv4 } from '../base/ip-address.ts';
import {
  AF_INET,
  AF_INET6,
  AF_NETLINK,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
} from './constants.ts';
import { PosixError } from './errors.ts';
import type { Libc } from './libc.ts';
import type { BoundSocket, BoundSockets, HasEnded } from './posix.ts';

export const NETLINK_SOCK_DIAG = 4;
const TCPDIAG_GETSOCK = 18;
const SOCK_DIAG_BY_FAMILY = 20;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_REQUEST_DUMP = 0x301;
const IPPROTO_TCP = 6;
const IPPROTO_UDP = 17;
/** Bits of states. A UDP socket that is not connected is closed, by its state. */
const LISTEN = 1 << 10;
const CLOSED = 1 << 7;

/** struct nlmsghdr, then struct inet_diag_req_v2; for TCP struct inet_diag_req. */
const REQUEST_LEN = 72;
const OLD_REQUEST_LEN = 76;
const OLD_REQUEST_STATES = 68;
const TYPE = 4;
const FLAGS = 6;
const REQUEST_FAMILY = 16;
const REQUEST_PROTOCOL = 17;
const REQUEST_STATES = 20;
/** struct nlmsghdr, struct inet_diag_msg, then attributes. */
const HEADER_LEN = 16;
const FAMILY = 16;
export const SOURCE_PORT = 20;
const SOURCE = 24;
const INODE = 84;
const ATTRIBUTES = 88;
const ATTRIBUTE_VALUE = 4;
const SKV6ONLY = 11;

const FIRST_ROOM = 128 << 10;
/** The kernel fills at most this in one read. */
const READ_ROOM = 64 << 10;
/** Of a dump that is left: a million sockets. */
const PARTS_MAX = 4_096;

/** Of one protocol and, if it is not 0, one family. */
interface Table {
  readonly protocol: number;
  readonly family: number;
  /** The last dump, and the one before it. */
  bytes: Uint8Array;
  len: number;
  before: Uint8Array;
  beforeLen: number;
  /** By inode, as of the last dump. */
  readonly sockets: Map<number, Entry>;
  /** Whether `sockets` are those of the last dump alone, and were handed out. */
  isSettled: boolean;
  round: number;
}

interface Entry {
  readonly socket: BoundSocket;
  /** In which it was there last. */
  round: number;
}

const tableOf = (protocol: number, family: number): Table => ({
  ...{ protocol, family, len: 0, beforeLen: -1, round: 0, sockets: new Map(), isSettled: false },
  bytes: new Uint8Array(FIRST_ROOM),
  before: new Uint8Array(FIRST_ROOM),
});

type Dumped = 'whole' | 'in-parts' | 'failed';

export class LinuxBoundSockets implements BoundSockets {
  private readonly c: Libc;
  private readonly fd: number;
  private readonly request = new Uint8Array(OLD_REQUEST_LEN);
  private readonly requestView = new DataView(this.request.buffer);
  private readonly tables: readonly Table[];

  /** @throws PosixError */
  constructor(c: Libc, withUdp: boolean) {
    this.c = c;
    this.fd = c.socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (this.fd < 0) throw new PosixError('cannot open a socket for diagnosis', c.errno());
    const udp = withUdp ? [AF_INET, AF_INET6].map((family) => tableOf(IPPROTO_UDP, family)) : [];
    this.tables = [tableOf(IPPROTO_TCP, 0), ...udp];
  }

  read(hasEnded?: HasEnded): readonly BoundSocket[] | 'same' | undefined {
    const read = this.readTables(hasEnded);
    // What one table had found was not handed out, and the rest of a dump would be taken for the next.
    if (read === undefined) {
      for (const table of this.tables) table.isSettled = false;
      this.discard();
    }
    return read;
  }

  private readTables(hasEnded?: HasEnded): readonly BoundSocket[] | 'same' | undefined {
    let isSame = true;
    for (const table of this.tables) {
      const how = this.dump(table);
      if (how === 'failed') return undefined;
      if (table.isSettled && isEqual(table)) continue;
      isSame = false;
      table.isSettled = true;
      table.round++;
      parse(table);
      // Between two parts one may be passed over, if another before it in its bucket goes: it must be missing twice,
      // unless it has ended.
      if (how === 'in-parts' && isAnyMissing(table, hasEnded)) {
        if (this.dump(table) === 'failed') return undefined;
        parse(table);
        table.isSettled = false; // some may be of the first dump alone
      }
      for (const [inode, { round }] of table.sockets) {
        if (round !== table.round) table.sockets.delete(inode);
      }
    }
    if (isSame) return 'same';
    const all: BoundSocket[] = [];
    for (const { sockets } of this.tables) {
      for (const { socket } of sockets.values()) all.push(socket);
    }
    return all;
  }

  close(): void {
    this.c.close(this.fd);
  }

  private discard(): void {
    const bytes = new Uint8Array(READ_ROOM);
    for (let parts = 0; parts < PARTS_MAX; parts++) {
      if (this.c.read(this.fd, bytes, READ_ROOM) <= 0) return;
    }
  }

  private dump(table: Table): Dumped {
    const { c, fd, request, requestView: view } = this;
    const isTcp = table.protocol === IPPROTO_TCP;
    const requestLen = isTcp ? OLD_REQUEST_LEN : REQUEST_LEN;
    request.fill(0);
    view.setUint32(0, requestLen, true);
    view.setUint16(FLAGS, NLM_F_REQUEST_DUMP, true);
    if (isTcp) {
      view.setUint16(TYPE, TCPDIAG_GETSOCK, true);
      view.setUint32(OLD_REQUEST_STATES, LISTEN, true);
    } else {
      view.setUint16(TYPE, SOCK_DIAG_BY_FAMILY, true);
      view.setUint8(REQUEST_FAMILY, table.family);
      view.setUint8(REQUEST_PROTOCOL, table.protocol);
      view.setUint32(REQUEST_STATES, CLOSED, true);
    }
    swap(table);
    if (c.write(fd, request, requestLen) < 0) return 'failed';
    // The kernel answers within the calls.
    for (let parts = 0; ; parts++) {
      if (table.bytes.length - table.len < READ_ROOM) grow(table);
      const len = c.read(fd, table.bytes.subarray(table.len), READ_ROOM);
      if (len < 0) return 'failed';
      const from = table.len;
      table.len += len;
      switch (endOf(table, from)) {
        case 'done':
          return parts === 0 ? 'whole' : 'in-parts';
        case 'error': // without IPv6 there is no such table
          table.len = 0;
          return table.family === AF_INET6 ? 'whole' : 'failed';
        case 'more':
      }
    }
  }
}

function swap(table: Table): void {
  const { bytes, before, len } = table;
  table.bytes = before;
  table.before = bytes;
  table.beforeLen = len;
  table.len = 0;
}

function grow(table: Table): void {
  const bytes = new Uint8Array(2 * table.bytes.length);
  bytes.set(table.bytes.subarray(0, table.len));
  table.bytes = bytes;
}

/** Of the messages from `from` on. */
function endOf({ bytes, len }: Table, from: number): 'done' | 'error' | 'more' {
  const view = viewOf(bytes);
  for (let at = from; at + HEADER_LEN <= len; at += lenAt(view, at)) {
    const type = view.getUint16(at + TYPE, true);
    if (type === NLMSG_DONE) return 'done';
    if (type === NLMSG_ERROR) return 'error';
  }
  return 'more';
}

export const viewOf = ({ buffer, byteOffset, byteLength }: Uint8Array): DataView =>
  new DataView(buffer, byteOffset, byteLength);

/** Of a message, with what aligns the next. */
const lenAt = (view: DataView, at: number): number =>
  Math.max((view.getUint32(at, true) + 3) & ~3, HEADER_LEN);

const isEqual = ({ bytes, len, before, beforeLen }: Table): boolean =>
  len === beforeLen && Buffer.compare(bytes.subarray(0, len), before.subarray(0, len)) === 0;

function isAnyMissing({ sockets, round: now }: Table, hasEnded?: HasEnded): boolean {
  for (const { socket, round } of sockets.values()) {
    if (round !== now && hasEnded?.(socket) !== true) return true;
  }
  return false;
}

function parse({ bytes, len, protocol, sockets, round }: Table): void {
  const view = viewOf(bytes);
  for (let at = 0; at + HEADER_LEN <= len; at += lenAt(view, at)) {
    const type = view.getUint16(at + TYPE, true);
    if (type !== SOCK_DIAG_BY_FAMILY && type !== TCPDIAG_GETSOCK) continue;
    const inode = view.getUint32(at + INODE, true);
    const port = view.getUint16(at + SOURCE_PORT);
    if (inode === 0 || port === 0) continue; // it is being closed
    const known = sockets.get(inode);
    if (known?.socket.port === port) known.round = round;
    else sockets.set(inode, { socket: socketAt(view, at, protocol, inode), round });
  }
}

function socketAt(view: DataView, at: number, protocol: number, inode: number): BoundSocket {
  const word = (i: number): number => view.getInt32(at + SOURCE + 4 * i);
  const is6 = view.getUint8(at + FAMILY) === AF_INET6;
  return {
    protocol: protocol === IPPROTO_TCP ? 'tcp' : 'udp',
    address: is6 ? new IpAddress(word(0), word(1), word(2), word(3)) : ipv4(word(0)),
    port: view.getUint16(at + SOURCE_PORT),
    v6Only: is6 ? v6OnlyAt(view, at) : false,
    inode,
  };
}

function v6OnlyAt(view: DataView, at: number): boolean | undefined {
  const end = at + view.getUint32(at, true);
  for (let next = at + ATTRIBUTES; next + ATTRIBUTE_VALUE < end; ) {
    if (view.getUint16(next + 2, true) === SKV6ONLY) {
      return view.getUint8(next + ATTRIBUTE_VALUE) !== 0;
    }
    next += Math.max((view.getUint16(next, true) + 3) & ~3, ATTRIBUTE_VALUE);
  }
  return undefined;
}
