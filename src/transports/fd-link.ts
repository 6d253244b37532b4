/**
 * A guest on a descriptor that moves one frame per system call: a TAP or a packet socket, with or
 * without virtio-net headers before the frames.
 *
 * Reading: the event loop reads the first frame of a burst, the rest is drained here by direct
 * calls, up to a bound and within the link's share of the turn, and the burst ends with one `onBatchEnd`. Writing: each frame goes out when
 * it is committed, while it is in the cache; a frame that the kernel has no room for is dropped and
 * counted, as by a network card. The descriptor belongs to the Node socket that wraps it and is not
 * used once that is destroyed, because its number may be in use again.
 */
import type { Socket } from 'node:net';
import { assert } from '../base/assert.ts';
import { makePacketSlab, releaseSlab, type Slab } from '../base/slab.ts';
import { adoptReadable } from '../native/adopt.ts';
import { EAGAIN, ENOBUFS } from '../native/constants.ts';
import type { Posix } from '../native/posix.ts';
import { emitPlainHeader, emitWorkHeader, readVnetHeader } from '../native/vnet-header.ts';
import type { TurnShare, TurnWork } from '../proxy/turns.ts';
import { Frame, type FrameWork } from '../stack/frame.ts';
import type { FrameReader, FrameWriter } from '../stack/link.ts';
import { ETHERNET_HEADER_LEN } from '../wire/ethernet.ts';
import { MAX_FRAME_LEN } from './framing.ts';
import { type LinkContext, LinkError, type OpenLink } from './link-context.ts';
import { LinkStats } from './link-stats.ts';

/** Frames per burst: bounds how long the guest keeps the event loop. */
const BURST_FRAMES = 64;
/** Longest frame with its vnet header, rounded up. */
const SLAB_LEN = 66 << 10;

export interface FdLinkOptions {
  readonly posix: Posix;
  readonly fd: number;
  /** 0, or 10 when frames carry a virtio-net header. */
  readonly vnetHdrLen: number;
  /** For logs and the API: `tap:tap0@guest`. */
  readonly description: string;
}

export class FdLink implements OpenLink, FrameWriter, TurnWork {
  readonly description: string;
  readonly stats: LinkStats = new LinkStats();
  readonly slab: Slab = makePacketSlab(SLAB_LEN);
  readonly offload: boolean;
  /** The queue is the kernel's, which does not tell. */
  readonly isCrowded = false;
  failure: string | undefined = undefined;
  private readonly posix: Posix;
  private readonly fd: number;
  private readonly vnetHdrLen: number;
  private readonly context: LinkContext;
  private readonly received: Slab = makePacketSlab(SLAB_LEN);
  private readonly frame = new Frame();
  private readonly socket: Socket;
  readonly closed: Promise<void>;
  private readonly share: TurnShare;
  private reader: FrameReader | undefined;
  /** Frames may be sent: from the attaching on, which sends some. */
  private isUp = true;
  /** Of a frame in `received` that waits for its turn. */
  private heldLen = 0;
  /** The vnet header in `slab` requests no offload. False at first: a new slab is not zeroed. */
  private plain: boolean;

  /**
   * @param options its descriptor belongs to the link from now on
   * @throws LinkError when the table of links is full
   */
  constructor(options: FdLinkOptions, context: LinkContext) {
    this.description = options.description;
    this.posix = options.posix;
    this.fd = options.fd;
    this.vnetHdrLen = options.vnetHdrLen;
    this.offload = options.vnetHdrLen > 0;
    this.plain = !this.offload;
    this.context = context;
    this.share = context.turns.join(this, options.description);
    this.reader = undefined;
    this.socket = adoptReadable(this.fd, this.received.bytes, (len) => this.onReadable(len));
    this.closed = new Promise((done) => {
      this.socket.once('close', done);
    });
    this.socket.once('close', () => {
      this.down();
      releaseSlab(this.slab);
      releaseSlab(this.received);
    });
    this.socket.on('error', (error) => {
      this.failure = failureOf(error);
      context.log.error({ link: this.description, error: this.failure }, 'guest link failed');
    });
    this.reader = context.acceptor.attach(
      context.clock.now(),
      this.description,
      this,
      this.description,
    );
    if (this.reader === undefined) {
      this.socket.destroy();
      throw new LinkError(`cannot attach ${this.description}: too many links`);
    }
    this.stats.linksOpen = 1;
    this.stats.linksOpened = 1;
    context.log.info({ link: this.description }, 'guest link up');
  }

  reserve(maxLen: number): number {
    assert(maxLen <= MAX_FRAME_LEN, 'frame too long for the link');
    return this.isUp ? this.vnetHdrLen : -1;
  }

  commit(len: number): void {
    if (len === 0) return;
    if (!this.plain) {
      emitPlainHeader(this.slab.view, 0);
      this.plain = true;
    }
    this.send(len);
  }

  commitOffload(len: number, work: FrameWork): void {
    assert(this.offload, 'the link has no vnet header');
    emitWorkHeader(this.slab.view, 0, work);
    this.plain = false;
    this.send(len);
  }

  flush(): void {
    // Every frame was sent when it was committed.
  }

  async close(): Promise<void> {
    this.down();
    this.socket.destroy();
    await this.closed;
  }

  private send(len: number): void {
    if (!this.isUp) return;
    const sent = this.posix.write(this.fd, this.slab.bytes, 0, this.vnetHdrLen + len);
    if (sent >= 0) {
      this.stats.framesToGuest++;
      this.stats.bytesToGuest += len;
    } else {
      const full = sent === -EAGAIN || sent === -ENOBUFS;
      this.stats.drops.add(full ? 'guest-queue-full' : 'write-failed');
    }
  }

  private onReadable(len: number): boolean {
    this.heldLen = len;
    return this.burst();
  }

  onTurn(): void {
    if (this.reader === undefined) return;
    if (this.heldLen <= 0)
      this.heldLen = this.posix.read(this.fd, this.received.bytes, 0, SLAB_LEN);
    if (this.heldLen <= 0 || this.burst()) this.socket.resume();
  }

  /** @returns false when it was cut short: nothing more is to be read for now */
  private burst(): boolean {
    const { share, context, received } = this;
    const now = context.clock.now();
    if (this.reader === undefined || !share.begin(now)) return false;
    let len = this.heldLen;
    this.heldLen = 0;
    let isCut = false;
    for (let frames = 1; len > 0; frames++) {
      this.onMessage(now, len);
      if (this.reader === undefined || frames === BURST_FRAMES) break;
      isCut = !share.more();
      if (isCut) break;
      len = this.posix.read(this.fd, received.bytes, 0, SLAB_LEN);
    }
    this.reader?.onBatchEnd(now);
    const isLeft = isCut && this.reader !== undefined;
    share.end(isLeft);
    return !isLeft;
  }

  private onMessage(now: number, len: number): void {
    const frameLen = len - this.vnetHdrLen;
    if (frameLen < ETHERNET_HEADER_LEN) {
      this.stats.drops.add('runt-frame');
      return;
    }
    this.stats.framesToHost++;
    this.stats.bytesToHost += frameLen;
    const { frame, received } = this;
    frame.set(received, this.vnetHdrLen, frameLen);
    if (this.offload && !readVnetHeader(received.view, 0, frame)) {
      this.stats.drops.add('bad-offload');
      return;
    }
    this.reader?.onFrame(now, frame);
  }

  private down(): void {
    this.isUp = false;
    const reader = this.reader;
    if (reader === undefined) return;
    this.reader = undefined;
    this.stats.linksOpen = 0;
    this.context.log.info({ link: this.description }, 'guest link down');
    reader.onLinkDown(this.context.clock.now());
  }
}

/** Linux: the interface of the descriptor was deleted. Node has no name for it. */
const EBADFD = -77;

function failureOf(error: Error): string {
  const isDeleted = 'errno' in error && error.errno === EBADFD;
  return isDeleted
    ? 'its network interface was deleted, and is not made again; restart hawser'
    : error.message;
}
