/**
 * A guest behind a program's own transport: whole frames as byte arrays, one call each.
 *
 * Frames from the program wait for the next turn of the event loop, so that it may send them from inside any callback of
 * the network, and then make one batch. The queue is bounded: beyond that frames are dropped and counted, like those of a
 * card whose ring is full. A view is made for each frame towards the guest; a program that needs more speed attaches a
 * stream.
 */
import { makePacketSlab, releaseSlab, type Slab } from '../base/slab.ts';
import type { TurnShare, TurnWork } from '../proxy/turns.ts';
import type { FrameReader, FrameWriter } from '../stack/link.ts';
import { MAX_FRAME_LEN, QEMU_FRAMING } from './framing.ts';
import { type LinkContext, LinkError, type OpenLink } from './link-context.ts';
import { LinkStats } from './link-stats.ts';
import { StreamFrameSplitter } from './stream-splitter.ts';

/** Receives the network's frames for the guests of a link. Implemented by the program. */
export interface PlainFrameWriter {
  /**
   * Send one Ethernet frame to the guest. `frame` is borrowed: it is overwritten after the return.
   *
   * @returns `false` to receive no more frames until `onWritable` of the link's {@link PlainFrameReader}
   */
  write(frame: Uint8Array): unknown;
  /** The frames of one batch were written. */
  flush?(): void;
  /** Every frame that the network was given is processed: there is room for others. */
  onTaken?(): void;
}

/** What a link came by, where that is not the program itself. */
export interface FrameLinkOrigin {
  readonly listener: string;
  /** Of all its links. */
  readonly stats: LinkStats;
}

/** Takes the program's frames from the guests of a link. */
export interface PlainFrameReader {
  /**
   * Take one Ethernet frame from the guest: 14 to 65,550 bytes, without its frame check sequence. It is copied.
   *
   * @param frame a `Uint8Array`, `Buffer` or other array of bytes
   * @returns false when it was dropped: it is not a frame, the link has ended, or the queue is full
   */
  onFrame(frame: Uint8Array): boolean;
  /** The writer takes frames again. */
  onWritable(): void;
}

const ETHERNET_HEADER_LEN = 14;

export class FrameLink implements OpenLink, FrameWriter, PlainFrameReader, TurnWork {
  readonly description: string;
  readonly stats: LinkStats;
  readonly closed: Promise<void>;
  readonly slab: Slab = makePacketSlab(MAX_FRAME_LEN);
  readonly offload = false;
  /** The queue is the program's. */
  readonly isCrowded = false;
  private readonly writer: PlainFrameWriter;
  private readonly context: LinkContext;
  private readonly splitter: StreamFrameSplitter;
  private readonly view: DataView;
  private reader: FrameReader | undefined;
  private readonly share: TurnShare;
  /** Bytes in the splitter's target, and those of them that are being delivered. */
  private waiting = 0;
  private delivering = 0;
  private isFull = false;
  private isFailed = false;
  /** Frames may be sent: from the attaching on, which sends some. */
  private isUp = true;
  private onDown: () => void = () => {};

  /** @throws LinkError when there are too many links */
  constructor(
    writer: PlainFrameWriter,
    description: string,
    context: LinkContext,
    { listener, stats }: FrameLinkOrigin = { listener: description, stats: new LinkStats() },
  ) {
    this.stats = stats;
    this.description = description;
    this.writer = writer;
    this.context = context;
    this.share = context.turns.join(this, listener);
    this.splitter = new StreamFrameSplitter(QEMU_FRAMING, this.stats);
    const { buffer, byteOffset, byteLength } = this.splitter.target;
    this.view = new DataView(buffer, byteOffset, byteLength);
    this.closed = new Promise((resolve) => {
      this.onDown = resolve;
    });
    this.reader = context.acceptor.attach(context.clock.now(), description, this, listener);
    if (this.reader === undefined) {
      this.release();
      throw new LinkError(`cannot attach ${description}: too many links`);
    }
    this.stats.linksOpen++;
    this.stats.linksOpened++;
    context.log.info({ link: description }, 'guest link up');
  }

  /** Bytes of frames, with a few for each, that may be passed now. */
  get room(): number {
    return this.splitter.target.length - this.waiting;
  }

  // --- from the program ---

  onFrame(frame: Uint8Array): boolean {
    const { target } = this.splitter;
    const { headerLen } = QEMU_FRAMING;
    if (this.reader === undefined) return false;
    if (!isBytes(frame)) {
      this.stats.drops.add('not-bytes');
      return false;
    }
    const { length } = frame;
    if (length < ETHERNET_HEADER_LEN || length > MAX_FRAME_LEN) {
      this.stats.drops.add('bad-frame-length');
      return false;
    }
    if (this.waiting + headerLen + length > target.length) {
      this.stats.drops.add('host-queue-full');
      return false;
    }
    if (this.waiting === 0) setImmediate(() => this.onTurn());
    QEMU_FRAMING.writeLength(this.view, this.waiting, length);
    target.set(frame, this.waiting + headerLen);
    this.waiting += headerLen + length;
    return true;
  }

  onWritable(): void {
    if (!this.isFull || this.isFailed) return;
    this.isFull = false;
    setImmediate(() => this.reader?.onWritable(this.context.clock.now()));
  }

  onTurn(): void {
    const { reader, share, splitter, context } = this;
    const now = context.clock.now();
    if (reader === undefined || !share.begin(now)) return;
    if (this.delivering === 0) {
      this.delivering = this.waiting;
      splitter.onRead(this.waiting);
    }
    const isDone = splitter.deliver(now, reader, share) === 'done';
    if (isDone) {
      // Frames that arrived in the meantime are behind those that were delivered.
      splitter.target.copyWithin(0, this.delivering, this.waiting);
      this.waiting -= this.delivering;
      this.delivering = 0;
    }
    share.end(this.waiting > 0);
    if (this.waiting === 0) this.notifyTaken();
  }

  // --- from the stack ---

  reserve(): number {
    if (this.isUp && !this.isFull) return 0;
    this.stats.stalls++;
    return -1;
  }

  commit(len: number): void {
    if (len === 0) return;
    this.stats.framesToGuest++;
    this.stats.bytesToGuest += len;
    try {
      const taken = this.writer.write(this.slab.bytes.subarray(0, len));
      this.isFull = taken === false;
      if (typeof taken === 'object' && taken !== null) this.checkDone(taken);
    } catch (error) {
      this.fail(error);
    }
  }

  commitOffload(): void {
    throw new Error('this link offloads nothing');
  }

  flush(): void {
    try {
      this.writer.flush?.();
    } catch (error) {
      this.fail(error);
    }
  }

  /** A frame is lent for the call alone: an asynchronous function would read it too late. */
  private checkDone(taken: object): void {
    if (!('then' in taken) || typeof taken.then !== 'function') return;
    Promise.resolve(taken).catch(() => {});
    throw new TypeError('write must be done when it returns, not asynchronous');
  }

  private notifyTaken(): void {
    try {
      this.writer.onTaken?.();
    } catch (error) {
      this.fail(error);
    }
  }

  /** The program's part of the link has thrown. */
  private fail(error: unknown): void {
    if (this.isFailed) return;
    this.isFailed = true;
    this.context.log.error({ link: this.description, err: error }, 'guest link failed');
    this.isFull = true;
    setImmediate(() => void this.close());
  }

  close(): Promise<void> {
    const { reader } = this;
    if (reader === undefined) return this.closed;
    this.reader = undefined;
    this.isUp = false;
    this.splitter.stop();
    this.stats.linksOpen--;
    this.context.log.info({ link: this.description }, 'guest link down');
    reader.onLinkDown(this.context.clock.now());
    setImmediate(() => this.release()); // not now: the link may be closed from inside the processing of a frame
    this.onDown();
    return this.closed;
  }

  private release(): void {
    this.splitter.release();
    releaseSlab(this.slab);
  }
}

/** Whether it is an array of bytes, of whichever realm: a program without types may pass anything. */
const isBytes = (frame: ArrayBufferView & { readonly length: number }): boolean =>
  // Cheap first: to read `byteLength` takes 7 ns.
  ArrayBuffer.isView(frame) && (frame instanceof Uint8Array || frame.length === frame.byteLength);
