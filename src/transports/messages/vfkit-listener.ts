/**
 * `vfkit:PATH`: a datagram socket that hypervisors of macOS and libkrun send frames to, one a datagram.
 *
 * Theory of operation
 * -------------------
 * A guest is whoever sends from one path. It may introduce itself by the four bytes `VFKT`; from a known path, but
 * another socket, these mean that it was started anew. From the same one they mean nothing: a guest could send them as well. Clients without a name cannot be answered. They connect their sockets to ours and receive
 * from no other, so that answers leave from the listening one, which all guests share: what one leaves unread takes
 * room from the others, and is bounded for each.
 *
 * A datagram socket has no end. That a guest is gone shows when something is sent to it; besides, its socket is looked for
 * now and then. Frames may be of any length, and their checksums undone: see `unsummed.ts`.
 *
 * libkrun has no way back from a full queue: such a frame is lost with its place among those that its card may send. The
 * system bounds the queue twice; see `queue-bounds.ts`. So it is emptied all the time, also while the link has used up its
 * share of the turn, or more comes than is processed: what cannot be processed now waits in a backlog, and is dropped and
 * counted where that is full, never left for the sender to find. That time is the link's as well.
 */

import type { Slab } from '../../base/slab.ts';
import { loadPosix } from '../../native/load.ts';
import type { Posix, UnreadSockets } from '../../native/posix.ts';
import { UNIX_NAME } from '../../native/sockaddr.ts';
import { type Watch, watchReadable } from '../../native/watch.ts';
import type { TurnShare, TurnWork } from '../../proxy/turns.ts';
import { Frame } from '../../stack/frame.ts';
import type { LinkContext, OpenLink } from '../link-context.ts';
import { LinkStats } from '../link-stats.ts';
import { FrameBacklog } from './frame-backlog.ts';
import { type MessageCalls, messageCalls, readFrame } from './message-calls.ts';
import { RECEIVE_BUFFER, SEND_BUFFER } from './message-link.ts';
import { type MessagePlace, openPlace } from './place.ts';
import { queueProblems } from './queue-bounds.ts';
import { markUnsummed } from './unsummed.ts';
import { type SharedSocket, VfkitPeer } from './vfkit-peer.ts';

const HELLO = [0x56, 0x46, 0x4b, 0x54];
/** System calls in one turn, for frames that are processed, and for those that are not: they cost a tenth. */
const READS = 8;
const DRAINS = 16;
const CHECK_MS = 1000;
const RECHECK_MS = 100;
const MIN_PARTS = 4;

export class VfkitListener implements OpenLink, TurnWork, SharedSocket {
  readonly description: string;
  readonly stats: LinkStats = new LinkStats();
  readonly posix: Posix;
  readonly fd: number;
  private readonly context: LinkContext;
  private readonly place: MessagePlace;
  private readonly sendBuffer: number;
  private readonly calls: MessageCalls;
  private readonly watch: Watch;
  private readonly share: TurnShare;
  private readonly unreadSockets: UnreadSockets;
  private readonly frame = new Frame();
  private readonly backlog = new FrameBacklog<VfkitPeer>();
  private readonly peers = new Set<VfkitPeer>();
  /** Who sent the last datagram: nearly always who sends the next. */
  private last: VfkitPeer | undefined = undefined;
  private timer: NodeJS.Timeout | undefined = undefined;
  private checkedAt = Number.NEGATIVE_INFINITY;
  private now = 0;
  private isOpen = true;
  private serial = 0;

  private constructor(path: string, place: MessagePlace, posix: Posix, context: LinkContext) {
    this.description = `vfkit:${path}`;
    this.posix = posix;
    this.fd = place.fd;
    this.place = place;
    this.context = context;
    this.calls = messageCalls(posix);
    this.share = context.turns.join(this, this.description);
    this.sendBuffer = posix.messageSockets.setBuffers(place.fd, SEND_BUFFER, RECEIVE_BUFFER);
    posix.refuseDescriptors(place.fd);
    this.unreadSockets = posix.openUnreadSockets();
    this.watch = watchReadable(place.fd, () => this.onTurn());
  }

  /** @throws NativeUnavailableError, LinkError, LinkInUseError */
  static async open(path: string, context: LinkContext): Promise<VfkitListener> {
    const posix = loadPosix(`open vfkit:${path}`, 'use a qemu: link instead');
    const place = await openPlace('dgram', path, context.socketMode, posix);
    for (const problem of queueProblems()) {
      context.log.warn({ link: `vfkit:${path}` }, problem);
    }
    return new VfkitListener(path, place, posix, context);
  }

  async close(): Promise<void> {
    this.isOpen = false;
    for (const peer of this.peers) peer.close();
    this.watch.close();
    setImmediate(() => this.backlog.release()); // not now: a frame of it may be at hand
    this.unreadSockets.close();
    this.place.remove();
  }

  /** Half of the buffer is for who comes next, and for what estimates miss. */
  get allowance(): number {
    const { sendBuffer, peers } = this;
    const parts = peers.size < 2 ? 1 : Math.max(peers.size, MIN_PARTS);
    return Math.floor(sendBuffer / 2 / parts);
  }

  hasUnread(inode: number): boolean | undefined {
    return this.unreadSockets.hasUnread(inode);
  }

  unreadBeside(peer: VfkitPeer): number {
    let sum = 0;
    for (const other of this.peers) if (other !== peer) sum += other.unread;
    return sum;
  }

  onDown(peer: VfkitPeer): void {
    this.peers.delete(peer);
    if (this.last === peer) this.last = undefined;
    if (this.peers.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
  }

  onTurn(): void {
    const { share, context } = this;
    if (!this.isOpen) return;
    this.now = context.clock.now();
    const isAllRead = share.begin(this.now) && this.read();
    if (!isAllRead && this.isOpen) this.drain();
  }

  /** @returns whether nothing is left in the kernel's queue */
  private read(): boolean {
    const { share, fd, now, backlog } = this;
    const { reader } = this.calls;
    let isCut = false;
    while (!backlog.isEmpty && !isCut && this.isOpen) {
      backlog.take(this.deliver);
      isCut = !share.more();
    }
    let isAllRead = false;
    for (let reads = 0; reads < READS && !isCut && !isAllRead && this.isOpen; reads++) {
      const got = reader.receive(fd);
      for (let i = 0; i < got && this.isOpen; i++) {
        this.onDatagram(i, true);
        isCut ||= !share.more();
      }
      isAllRead = got < reader.capacity;
    }
    for (const peer of this.peers) {
      if (!peer.isTouched) continue;
      peer.isTouched = false;
      peer.reader?.onBatchEnd(now);
    }
    share.end(isCut && this.isOpen);
    return isAllRead;
  }

  /** Leave nothing in the kernel's queue. */
  private drain(): void {
    const { share, fd, context, backlog } = this;
    const { reader } = this.calls;
    const begin = context.clock.now();
    for (let reads = 0; reads < DRAINS && this.isOpen; reads++) {
      const got = reader.receive(fd);
      for (let i = 0; i < got && this.isOpen; i++) this.onDatagram(i, false);
      if (got < reader.capacity) break;
    }
    share.charge(context.clock.now() - begin);
    if (!backlog.isEmpty) share.wait();
  }

  /** @param isProcessed now; else later */
  private onDatagram(i: number, isProcessed: boolean): void {
    const { calls, frame, stats, now, backlog } = this;
    const { reader } = calls;
    if (reader.nameLen(i) <= UNIX_NAME) {
      stats.drops.add('foreign-sender');
      return;
    }
    let peer = this.peerOf(i);
    const isHello = this.isHello(i);
    if (isHello && peer !== undefined && !peer.isSame) {
      peer.close();
      peer = undefined;
    }
    peer ??= this.attach(now, i);
    if (isHello || peer === undefined) return;
    if (!readFrame(calls, i, frame, stats)) return;
    const { slab, off, len } = frame;
    if (isProcessed) this.deliver(peer, slab, off, len);
    else if (!backlog.add(peer, slab.bytes, off, len)) stats.drops.add('host-queue-full');
  }

  private readonly deliver = (peer: VfkitPeer, slab: Slab, off: number, len: number): void => {
    const { frame, context } = this;
    frame.set(slab, off, len);
    markUnsummed(frame, context.mtu);
    peer.isTouched = true;
    peer.reader?.onFrame(this.now, frame);
  };

  private isHello(i: number): boolean {
    const { reader } = this.calls;
    const off = reader.off(i);
    return (
      reader.len(i) === HELLO.length && HELLO.every((byte, at) => reader.bytes[off + at] === byte)
    );
  }

  private peerOf(i: number): VfkitPeer | undefined {
    const { reader } = this.calls;
    const { bytes } = reader.names;
    const off = reader.nameOff(i);
    const len = reader.nameLen(i);
    if (this.last?.isNamed(bytes, off, len) === true) return this.last;
    for (const peer of this.peers) {
      if (!peer.isNamed(bytes, off, len)) continue;
      this.last = peer;
      return peer;
    }
    return undefined;
  }

  private attach(now: number, i: number): VfkitPeer | undefined {
    const { reader } = this.calls;
    const off = reader.nameOff(i);
    const name = reader.names.bytes.slice(off, off + reader.nameLen(i));
    const link = `${this.description}#${++this.serial}`;
    const peer = new VfkitPeer(link, name, this, this.context);
    if (!peer.start()) return undefined;
    // A machine that is started anew may send from another path: its addresses are free at once.
    if (this.peers.size > 0 && now - this.checkedAt >= RECHECK_MS) this.check();
    this.peers.add(peer);
    this.last = peer;
    this.timer ??= setInterval(() => this.check(), CHECK_MS);
    return peer;
  }

  private check(): void {
    this.checkedAt = this.context.clock.now();
    for (const peer of this.peers) if (!peer.isAlive) peer.close();
  }
}
