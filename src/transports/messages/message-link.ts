/**
 * One guest on a connected message socket, one frame a message: an accepted one (`bess:`), one that a program passed, or
 * ours that is connected to a machine's (`qemu-dgram:`).
 *
 * A turn of the event loop reads as many messages as one system call takes, and further ones within the link's share. A
 * connection has an end, an empty message; that nobody holds the other end of a pair of datagram sockets any more shows
 * when something is sent.
 */
import { EAGAIN } from '../../native/constants.ts';
import type { Posix } from '../../native/posix.ts';
import { type Watch, watchReadable } from '../../native/watch.ts';
import type { TurnShare, TurnWork } from '../../proxy/turns.ts';
import { Frame } from '../../stack/frame.ts';
import type { FrameReader } from '../../stack/link.ts';
import type { LinkContext } from '../link-context.ts';
import type { LinkStats } from '../link-stats.ts';
import { FrameQueue } from './frame-queue.ts';
import { type MessageCalls, messageCalls, readFrame, warnRefused } from './message-calls.ts';

/** As far as the system allows. */
export const SEND_BUFFER: number = 1 << 20;
export const RECEIVE_BUFFER: number = 4 << 20;
/** System calls in one turn. */
const READS = 8;

export interface MessageLinkOptions {
  readonly posix: Posix;
  /** It belongs to the link from now on. */
  readonly fd: number;
  /** For logs and the API: `bess:/run/x.sock#3`. */
  readonly name: string;
  /** What the link came by; see `LinkAcceptor`. */
  readonly listener: string;
  readonly stats: LinkStats;
  /** The link has ended; not called when {@link MessageLink.start} returns false. */
  readonly onDown: () => void;
}

export class MessageLink implements TurnWork {
  private readonly options: MessageLinkOptions;
  private readonly context: LinkContext;
  private readonly calls: MessageCalls;
  private readonly hasEnd: boolean;
  private readonly share: TurnShare;
  private readonly queue: FrameQueue;
  private readonly frame = new Frame();
  private watch: Watch | undefined = undefined;
  private isPaused = false;
  private reader: FrameReader | undefined = undefined;

  constructor(options: MessageLinkOptions, context: LinkContext) {
    const { posix, fd, listener, stats } = options;
    this.options = options;
    this.context = context;
    this.calls = messageCalls(posix);
    this.hasEnd = posix.messageSockets.typeOf(fd) === 'seqpacket';
    this.share = context.turns.join(this, listener);
    this.queue = new FrameQueue({
      batch: this.calls.batch,
      fd,
      stats,
      sendLater: (bytes, onSent) => this.watch?.sendLater(bytes, onSent) ?? 'cannot',
      onRoom: () => this.reader?.onWritable(context.clock.now()),
      onGone: () => this.close(),
      onRefused: (errno) => warnRefused(context.log, options.name, errno),
    });
  }

  /** Attach the guest. Its socket is closed when the segment has no room for it. */
  start(): boolean {
    const { options, context } = this;
    const { fd, name, listener, stats, posix } = options;
    const uid = posix.peerUid(fd);
    posix.messageSockets.setBuffers(fd, SEND_BUFFER, RECEIVE_BUFFER);
    posix.refuseDescriptors(fd);
    const reader = context.acceptor.attach(context.clock.now(), name, this.queue, listener, uid);
    if (reader === undefined) {
      stats.drops.add('too-many-links');
      context.log.warn({ link: name }, 'guest refused: too many links');
      this.queue.close();
      this.queue.release();
      posix.close(fd);
      return false;
    }
    this.reader = reader;
    stats.linksOpen++;
    stats.linksOpened++;
    context.log.info({ link: name }, 'guest link up');
    this.watch = watchReadable(fd, () => this.onTurn());
    return true;
  }

  onTurn(): void {
    const { share, context, watch } = this;
    const now = context.clock.now();
    if (this.reader === undefined || watch === undefined) return;
    const isLeft = !share.begin(now) || this.read(now);
    if (isLeft !== this.isPaused) {
      this.isPaused = isLeft;
      if (isLeft) watch.pause();
      else watch.resume();
    }
  }

  /** Detach the guest. */
  close(): void {
    const { reader, options, context } = this;
    if (reader === undefined) return;
    this.reader = undefined;
    this.queue.close();
    this.watch?.close();
    options.stats.linksOpen--;
    context.log.info({ link: options.name }, 'guest link down');
    reader.onLinkDown(context.clock.now());
    setImmediate(() => this.queue.release()); // not now: a frame may be being built in it
    options.onDown();
  }

  /** @returns whether it was cut short by the link's share */
  private read(now: number): boolean {
    const { options, share } = this;
    const { reader: messages } = this.calls;
    let isCut = false;
    for (let reads = 0; reads < READS && !isCut && this.reader !== undefined; reads++) {
      const got = messages.receive(options.fd);
      if (got <= 0 && this.hasEnd && got !== -EAGAIN) this.close();
      for (let i = 0; i < got && this.reader !== undefined; i++) {
        this.onMessage(now, i);
        isCut ||= !share.more();
      }
      if (got < messages.capacity) break;
    }
    this.reader?.onBatchEnd(now);
    const isLeft = isCut && this.reader !== undefined;
    share.end(isLeft);
    return isLeft;
  }

  private onMessage(now: number, i: number): void {
    const { calls, options, frame } = this;
    if (this.hasEnd && calls.reader.len(i) === 0) {
      this.close();
      return;
    }
    if (readFrame(calls, i, frame, options.stats)) this.reader?.onFrame(now, frame);
  }
}
