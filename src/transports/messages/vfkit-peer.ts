/** One guest of a `vfkit:` link: whoever sends from one path. Answers go there from the listening socket, which others share. */
import { lstatSync } from 'node:fs';
import { fileIdentity } from '../../native/file-identity.ts';
import type { Posix } from '../../native/posix.ts';
import { unixPathOf } from '../../native/sockaddr.ts';
import { inodeOfSocket } from '../../native/unix-table.ts';
import type { FrameReader } from '../../stack/link.ts';
import type { LinkContext } from '../link-context.ts';
import type { LinkStats } from '../link-stats.ts';
import { FrameQueue } from './frame-queue.ts';
import { messageCalls, warnRefused } from './message-calls.ts';

export interface SharedSocket {
  readonly posix: Posix;
  readonly fd: number;
  readonly stats: LinkStats;
  /** What each guest may leave unread of what there is room for, in bytes. */
  readonly allowance: number;
  /** What all but `peer` may not have read. */
  unreadBeside(peer: VfkitPeer): number;
  /** Of a guest's socket; undefined where the system does not tell. */
  hasUnread(inode: number): boolean | undefined;
  /** The guest's link has ended. */
  onDown(peer: VfkitPeer): void;
}

export class VfkitPeer {
  readonly link: string;
  /** Frames of it were delivered in this batch. */
  isTouched = false;
  backlogLen = 0;
  private readonly socket: SharedSocket;
  private readonly context: LinkContext;
  /** Its `struct sockaddr_un`. */
  private readonly name: Uint8Array;
  private readonly path: string | undefined;
  private readonly identity: string | undefined;
  private readonly inode: number | undefined;
  private readonly queue: FrameQueue;
  private attached: FrameReader | undefined = undefined;

  constructor(link: string, name: Uint8Array, socket: SharedSocket, context: LinkContext) {
    this.link = link;
    this.name = name;
    this.socket = socket;
    this.context = context;
    this.path = unixPathOf(name);
    this.identity = identityOf(this.path);
    this.inode = this.path === undefined ? undefined : inodeOfSocket(this.path);
    this.queue = new FrameQueue({
      batch: messageCalls(socket.posix).batch,
      fd: socket.fd,
      name,
      stats: socket.stats,
      room: (wanted) => this.room(wanted),
      onRoom: () => this.attached?.onWritable(context.clock.now()),
      onGone: () => this.close(),
      onRefused: (errno) => warnRefused(context.log, link, errno),
    });
  }

  get reader(): FrameReader | undefined {
    return this.attached;
  }

  /** @returns false when the segment has no room for it */
  start(): boolean {
    const { link, context, socket, queue } = this;
    const { acceptor, clock, log } = context;
    this.attached = acceptor.attach(clock.now(), link, queue, undefined, ownerOf(this.path));
    if (this.attached === undefined) {
      socket.stats.drops.add('too-many-links');
      log.warn({ link }, 'guest refused: too many links');
      queue.close();
      queue.release();
      return false;
    }
    socket.stats.linksOpen++;
    socket.stats.linksOpened++;
    log.info({ link, path: this.path }, 'guest link up');
    return true;
  }

  /** Whether the name at `off` is this guest's. */
  isNamed(bytes: Uint8Array, off: number, len: number): boolean {
    const { name } = this;
    if (name.length !== len) return false;
    // Names of one directory differ at their end.
    for (let i = len - 1; i >= 0; i--) if (name[i] !== bytes[off + i]) return false;
    return true;
  }

  /** Whether its socket is the one that it was first heard from: a machine that is started anew makes another. */
  get isSame(): boolean {
    return identityOf(this.path) === this.identity;
  }

  /** Whether the socket that it was heard from is still there. */
  get isAlive(): boolean {
    return this.isSame && this.socket.posix.messageSockets.isServed(this.name);
  }

  close(): void {
    const { attached, context, socket, link, queue } = this;
    if (attached === undefined) return;
    this.attached = undefined;
    queue.close();
    socket.stats.linksOpen--;
    context.log.info({ link }, 'guest link down');
    attached.onLinkDown(context.clock.now());
    setImmediate(() => queue.release()); // not now: a frame may be being built in it
    socket.onDown(this);
  }

  get unread(): number {
    return this.queue.unread;
  }

  /**
   * All that a socket has sent and that is unread counts against its one buffer: who does not read would stop the others.
   * Of the sum the kernel says how much it is, of a guest whether it has read everything. Where it does not say that, what
   * the others may have unread is taken off the sum.
   */
  private room(wanted: number): number {
    const { socket, queue, inode } = this;
    const { allowance, posix, fd } = socket;
    if (queue.unread + wanted <= allowance) return allowance - queue.unread;
    const sum = posix.messageSockets.unread(fd);
    const hasUnread = inode === undefined ? undefined : socket.hasUnread(inode);
    if (hasUnread === false) queue.unread = 0;
    else if (hasUnread === undefined) queue.unread = Math.max(0, sum - socket.unreadBeside(this));
    else queue.unread = Math.min(queue.unread, sum);
    return allowance - queue.unread;
  }
}

const identityOf = (path: string | undefined): string | undefined =>
  path === undefined ? undefined : fileIdentity(path);

/** The user who has made the socket. */
const ownerOf = (path: string | undefined): number | undefined =>
  path === undefined ? undefined : lstatSync(path, { throwIfNoEntry: false })?.uid;
